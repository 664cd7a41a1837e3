// The square that the network sees: dragged, zoomed and moved by keys over the whole picture.

const STEP = 0.02;

/** Keep a square of whole pixels inside a picture. */
export function inside({ left, top, side }, width, height, least = 16) {
  const whole = Math.round(Math.min(Math.max(side, least), Math.min(width, height)));
  return {
    side: whole,
    left: Math.round(Math.min(Math.max(left, 0), width - whole)),
    top: Math.round(Math.min(Math.max(top, 0), height - whole)),
  };
}

/** Change a square's side around its middle. */
export function resized({ left, top, side }, wanted, width, height) {
  const possible = Math.min(wanted, width, height); // else the middle would move on
  const shift = (side - possible) / 2;
  return inside({ left: left + shift, top: top + shift, side: possible }, width, height);
}

const spread = ([[x, y], [otherX, otherY]]) => Math.hypot(x - otherX, y - otherY);

export class Cropper {
  /**
   * @param {HTMLCanvasElement} canvas where the picture is shown
   * @param {Function} moved called with the square, while it moves
   * @param {Function} settled called with the picture's key and the square, once that rests
   */
  constructor(canvas, moved, settled) {
    this.canvas = canvas;
    this.moved = moved;
    this.settled = settled;
    this.picture = null;
    this.timer = null; // runs from a move until the square is taken to rest
    this.pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#up(event));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show a picture: its key, a small image of it, its size in pixels and the square. */
  show(key, image, width, height, square) {
    // The answer about an earlier square does not undo a move; another picture ends it.
    if (this.timer !== null && key !== this.picture.key) this.#settle();
    if (this.timer === null) this.square = square;
    this.picture = { key, image, width, height };
    this.canvas.width = image.width;
    this.canvas.height = image.height;
    this.#draw();
  }

  /** Set the square; the answer follows once it rests. */
  set(square) {
    this.square = square;
    this.#draw();
    this.moved(square);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#settle(), 250);
  }

  /** Take the square to rest, for who asks about it; returns it. */
  rest() {
    clearTimeout(this.timer);
    this.timer = null;
    return this.square;
  }

  #settle() {
    this.settled(this.picture.key, this.rest());
  }

  /** Set the side, as a share of the shorter side of the picture. */
  zoom(share) {
    const { width, height } = this.picture;
    this.set(resized(this.square, share * Math.min(width, height), width, height));
  }

  /** The side as a share of the picture's shorter side. */
  get share() {
    return this.square.side / Math.min(this.picture.width, this.picture.height);
  }

  #draw() {
    const { image, width } = this.picture;
    const { left, top, side } = this.square;
    const scale = image.width / width;
    const context = this.canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    context.fillStyle = "rgb(0 0 0 / 55%)";
    context.beginPath();
    context.rect(0, 0, image.width, image.height);
    context.rect(left * scale, top * scale, side * scale, side * scale);
    context.fill("evenodd");
    for (const [colour, line] of [["black", 6], ["white", 3]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(left * scale + 3, top * scale + 3, side * scale - 6, side * scale - 6);
    }
  }

  /** Pixels of the picture for each pixel of the screen. */
  get #factor() {
    return this.picture.width / this.canvas.getBoundingClientRect().width;
  }

  #down(event) {
    if (!this.picture || this.pointers.size === 2) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#place(event);
    this.#begin();
  }

  /** Remember where a gesture starts, so that rounding to whole pixels does not add up. */
  #begin() {
    this.start = { square: this.square, points: [...this.pointers.values()] };
  }

  #place(event) {
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  #move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.#place(event);
    const { width, height } = this.picture;
    const { square, points } = this.start;
    const now = [...this.pointers.values()];
    if (now.length === 2) {
      const side = square.side * (spread(points) / Math.max(spread(now), 1));
      this.set(resized(square, side, width, height));
      return;
    }
    const left = square.left + (now[0][0] - points[0][0]) * this.#factor;
    const top = square.top + (now[0][1] - points[0][1]) * this.#factor;
    this.set(inside({ ...square, left, top }, width, height));
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
    this.#begin();
  }

  #wheel(event) {
    // Without a modifier the page scrolls, as it does everywhere else.
    if (!this.picture || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    const { width, height } = this.picture;
    const turned = event.deltaY || event.deltaX;
    this.set(resized(this.square, this.square.side * (turned > 0 ? 1.08 : 1 / 1.08), width, height));
  }

  #key(event) {
    if (!this.picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = this.picture;
    const step = Math.max(1, STEP * Math.min(width, height));
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { left, top, side } = this.square;
    if (event.key in directions) {
      const [x, y] = directions[event.key];
      this.set(inside({ side, left: left + x * step, top: top + y * step }, width, height));
    } else if ("+=".includes(event.key)) {
      this.set(resized(this.square, side + 2 * step, width, height));
    } else if (event.key === "-") {
      this.set(resized(this.square, side - 2 * step, width, height));
    } else {
      return;
    }
    event.preventDefault();
  }
}
