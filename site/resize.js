// The resize of `predict`: area means where a square shrinks, bicubic where it grows.
// Both follow OpenCV's arithmetic (INTER_AREA and INTER_CUBIC on 8-bit pixels), because the
// network was trained on pictures that OpenCV had resized.

/** Round as C's rint does: a tie goes to the even number. */
function roundToEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/**
 * Say how each source position is shared out over the new ones.
 *
 * Where a side shrinks, a source position overlaps two new ones at most: `first` of them takes
 * the share `own`, the one after it the share `next`, of that new position's area.
 */
function areaShares(side, size) {
  const scale = side / size;
  const first = new Int32Array(side).fill(-1);
  const own = new Float64Array(side);
  const next = new Float64Array(side);
  for (let target = 0; target < size; target += 1) {
    const low = target * scale;
    const high = Math.min(low + scale, side);
    const width = Math.min(scale, side - low);
    for (let source = Math.floor(low); source < Math.min(Math.ceil(high), side); source += 1) {
      const overlap = Math.min(high, source + 1) - Math.max(low, source);
      if (overlap <= 1e-3) continue; // slivers that only rounding makes; OpenCV omits them too
      if (first[source] < 0) {
        first[source] = target;
        own[source] = overlap / width;
      } else {
        next[source] = overlap / width;
      }
    }
  }
  return { first, own, next };
}

/**
 * Shrinks a square by area means, row by row, so that a huge picture is never held twice.
 *
 * Feed it the rows of the square from the top, a strip at a time, by `add`.
 */
export class AreaResizer {
  constructor(side, size) {
    this.side = side;
    this.size = size;
    this.shares = areaShares(side, size);
    this.row = 0;
    this.sums = new Float64Array(size * size * 3);
    this.across = new Float64Array(size * 3);
  }

  /** Add a strip: RGBA bytes, whole rows of the square, as many as there are. */
  add(rgba) {
    const length = 4 * this.side;
    for (let start = 0; start < rgba.length; start += length) {
      this.#shrinkRow(rgba, start);
      const { first, own, next } = this.shares;
      this.#addRow(first[this.row], own[this.row]);
      if (next[this.row]) this.#addRow(first[this.row] + 1, next[this.row]);
      this.row += 1;
    }
  }

  #shrinkRow(rgba, start) {
    const { across, side } = this;
    const { first, own, next } = this.shares;
    across.fill(0);
    for (let x = 0, from = start; x < side; x += 1, from += 4) {
      let to = first[x] * 3;
      let share = own[x];
      across[to] += share * rgba[from];
      across[to + 1] += share * rgba[from + 1];
      across[to + 2] += share * rgba[from + 2];
      share = next[x];
      if (share === 0) continue;
      to += 3;
      across[to] += share * rgba[from];
      across[to + 1] += share * rgba[from + 1];
      across[to + 2] += share * rgba[from + 2];
    }
  }

  #addRow(target, share) {
    const { across, sums } = this;
    const offset = target * across.length;
    for (let place = 0; place < across.length; place += 1) {
      sums[offset + place] += share * across[place];
    }
  }

  /** Return the new square: RGB bytes, size x size. */
  result() {
    const result = new Uint8Array(this.sums.length);
    // OpenCV's short cut for exactly half the side rounds ties up, its general way to even.
    const halved = this.side === 2 * this.size;
    for (let place = 0; place < result.length; place += 1) {
      // Shares such as 1/49 leave the sum a hair off the tie or the whole number that is meant.
      const sum = Math.round(this.sums[place] * 1e7) / 1e7;
      result[place] = halved ? Math.floor(sum + 0.5) : roundToEven(sum);
    }
    return result;
  }
}

const FIXED = 2048; // OpenCV's bicubic weights are whole multiples of 1/2048
const SHARPNESS = -0.75; // the free parameter of bicubic interpolation, OpenCV's choice

function cubicWeights(side, size) {
  const scale = side / size;
  const a = SHARPNESS;
  return Array.from({ length: size }, (_, target) => {
    const place = (target + 0.5) * scale - 0.5;
    const first = Math.floor(place);
    const t = place - first;
    const far = (d) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    const near = (d) => ((a + 2) * d - (a + 3)) * d * d + 1;
    const weights = [far(t + 1), near(t), near(1 - t)];
    weights.push(1 - weights[0] - weights[1] - weights[2]);
    const sources = [-1, 0, 1, 2].map((step) => Math.min(Math.max(first + step, 0), side - 1));
    return { sources, weights: weights.map((weight) => roundToEven(weight * FIXED)) };
  });
}

/** Enlarge a square bicubically: RGBA bytes in, RGB bytes out. */
export function enlarge(rgba, side, size) {
  const weights = cubicWeights(side, size);
  const across = new Int32Array(side * size * 3);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const { sources, weights: shares } = weights[x];
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 0;
        for (let k = 0; k < 4; k += 1) sum += shares[k] * rgba[(y * side + sources[k]) * 4 + channel];
        across[(y * size + x) * 3 + channel] = sum;
      }
    }
  }
  const result = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y += 1) {
    const { sources, weights: shares } = weights[y];
    for (let place = 0; place < size * 3; place += 1) {
      let sum = 0;
      for (let k = 0; k < 4; k += 1) sum += shares[k] * across[sources[k] * size * 3 + place];
      result[y * size * 3 + place] = Math.floor(sum / (FIXED * FIXED) + 0.5);
    }
  }
  return new Uint8Array(result.buffer);
}

/** Resize a square held in memory: RGBA bytes, side x side; RGB bytes, size x size, out. */
export function resizeSquare(rgba, side, size) {
  if (side < size) return enlarge(rgba, side, size);
  const resizer = new AreaResizer(side, size);
  resizer.add(rgba);
  return resizer.result();
}

/** Find the largest centred square. */
export function centreSquare(width, height) {
  const side = Math.min(width, height);
  return { left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2), side };
}
