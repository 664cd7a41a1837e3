// From a file to pixels: what it is, whether it is whole, how large, and a square of it.

import { AreaResizer, enlarge } from "./resize.js";

const STRIP_PIXELS = 4_000_000;
const HEADER_BYTES = 4_000_000;

/** A picture that cannot be used, with the key of the sentence that says why. */
export class PictureError extends Error {
  constructor(key, facts = {}) {
    super(key);
    this.key = key;
    this.facts = facts;
  }
}

const text = (bytes, from, length) =>
  String.fromCharCode(...bytes.subarray(from, from + length));

/** Name the kind of a file by its first bytes, whatever it is called; "" where unknown. */
export function kindOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "jpeg";
  if (text(bytes, 0, 4) === "\x89PNG") return "png";
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return "webp";
  if (text(bytes, 0, 3) === "GIF") return "gif";
  if (text(bytes, 0, 2) === "BM") return "bmp";
  // HEIC and AVIF; films begin with such a box, too.
  const brands = text(bytes, 4, 4) === "ftyp" ? text(bytes, 8, 24) : "";
  return /he[iv]|mif1|msf1|avi[fs]/.test(brands) ? "heic" : "";
}

/** Read width and height from a header, without decoding; null where they are not found. */
export function sizeOf(bytes, kind) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (kind === "png") return [view.getUint32(16), view.getUint32(20)];
    if (kind === "gif") return [view.getUint16(6, true), view.getUint16(8, true)];
    if (kind === "bmp") return [Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true))];
    if (kind === "webp") return sizeOfWebp(bytes, view);
    if (kind === "jpeg") return sizeOfJpeg(bytes, view);
    return sizeInBoxes(bytes, view);
  } catch (error) {
    if (error instanceof RangeError) return null; // the file ends inside its header
    throw error;
  }
}

function sizeOfJpeg(bytes, view) {
  let place = 2;
  while (place < bytes.length) {
    const marker = bytes[place + 1];
    if (bytes[place] !== 0xff) return null;
    if (marker === 0xff) {
      place += 1; // padding between segments
      continue;
    }
    // Every start of frame but the tables DHT, JPG and DAC, which share its range.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return [view.getUint16(place + 7), view.getUint16(place + 5)];
    }
    place += 2 + view.getUint16(place + 2);
  }
  return null;
}

function sizeOfWebp(bytes, view) {
  const form = text(bytes, 12, 4);
  if (form === "VP8X") {
    const number = (at) => bytes[at] + 256 * bytes[at + 1] + 65536 * bytes[at + 2];
    return [number(24) + 1, number(27) + 1];
  }
  if (form === "VP8L") {
    const packed = view.getUint32(21, true);
    return [(packed & 0x3fff) + 1, ((packed >>> 14) & 0x3fff) + 1];
  }
  return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
}

/** HEIC and AVIF: the largest of the "ispe" boxes, which give a size for every tile too. */
function sizeInBoxes(bytes, view) {
  let largest = null;
  for (let place = 0; place + 16 <= bytes.length; place += 1) {
    if (bytes[place] !== 0x69 || text(bytes, place, 4) !== "ispe") continue;
    const found = [view.getUint32(place + 8), view.getUint32(place + 12)];
    if (!largest || found[0] * found[1] > largest[0] * largest[1]) largest = found;
  }
  return largest;
}

function contains(bytes, wanted, from = 0) {
  for (let place = bytes.indexOf(wanted[0], from); place >= 0; ) {
    if (wanted.every((value, step) => bytes[place + step] === value)) return true;
    place = bytes.indexOf(wanted[0], place + 1);
  }
  return false;
}

/** Look for the end marker: a decoder fills a file that was cut short with grey. */
export function isWhole(bytes, kind) {
  if (kind === "png") return contains(bytes, [0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);
  if (kind !== "jpeg") return true;
  let place = 2; // behind the header, whose thumbnail has an end of its own
  while (bytes[place] === 0xff && bytes[place + 1] !== 0xda) {
    place += bytes[place + 1] === 0xff ? 1 : 2 + 256 * bytes[place + 2] + bytes[place + 3];
  }
  return contains(bytes, [0xff, 0xd9], place);
}

/** Check a file before it is decoded; throws a PictureError that says what is wrong. */
export async function check(file, limits) {
  if (!file.size) throw new PictureError("empty");
  if (file.size > limits.bytes) {
    throw new PictureError("too_many_bytes", { megabytes: Math.round(file.size / 1e6) });
  }
  const content = await file.arrayBuffer().catch(() => {
    throw new PictureError("no_image"); // a folder, or a file that is gone
  });
  const bytes = new Uint8Array(content);
  const kind = kindOf(bytes);
  if (!kind) throw new PictureError("no_image");
  const size = sizeOf(bytes.subarray(0, HEADER_BYTES), kind);
  if (!size) throw new PictureError("damaged");
  const [width, height] = size;
  if (width * height > limits.pixels) throw new PictureError("too_large", { width, height });
  if (Math.min(width, height) < limits.side) throw new PictureError("too_small", { width, height });
  if (!isWhole(bytes, kind)) throw new PictureError("damaged");
  return kind;
}

/** Decode a file, brought to sRGB by its colour profile and turned as its EXIF entry says. */
export async function decode(file, limits) {
  const kind = await check(file, limits);
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new PictureError(kind === "heic" ? "heic" : "damaged");
  }
}

/** Hand out a square of a picture as RGBA bytes, a strip of rows at a time. */
function* strips(bitmap, { left, top, side }) {
  const rows = Math.max(1, Math.min(side, Math.floor(STRIP_PIXELS / side)));
  const canvas = new OffscreenCanvas(side, rows);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  for (let row = 0; row < side; row += rows) {
    const height = Math.min(rows, side - row);
    context.fillStyle = "white"; // behind transparent pictures
    context.fillRect(0, 0, side, height);
    context.drawImage(bitmap, left, top + row, side, height, 0, 0, side, height);
    yield context.getImageData(0, 0, side, height).data;
  }
}

/** Cut a square out and resize it as `predict` does; RGB bytes, one square for each size. */
export function squares(bitmap, square, sizes) {
  const shrinking = sizes.map((size) => (size <= square.side ? new AreaResizer(square.side, size) : null));
  let whole = null;
  for (const strip of strips(bitmap, square)) {
    for (const resizer of shrinking) resizer?.add(strip);
    // Only a square smaller than the network's input grows, and that is a single strip.
    whole = strip;
  }
  return sizes.map((size, number) =>
    shrinking[number] ? shrinking[number].result() : enlarge(whole, square.side, size),
  );
}
