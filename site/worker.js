// The network's own thread: it decodes, resizes and computes, so that the page never freezes.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { sharpness } from "./answer.js";
import { PictureError, decode, squares } from "./picture.js";
import { centreSquare } from "./resize.js";

const FOCUS_SIDE = 256;
const PREVIEW_SIDE = 720;
const SHOWN_SIDE = 480;
const VIEWS = 8;

let session = null;
let limits = null;
let imageSize = 0;
let opened = { key: null, bitmap: null };
let begin; // with what `start` leaves
const begun = new Promise((resolve) => (begin = resolve));
let last = begun;
const newest = new Map(); // by picture: the number of the newest question about it

async function start({ network, runtime, ...options }) {
  ({ limits, imageSize } = options);
  // One thread: several need headers that a free static host does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = runtime;
  session = await ort.InferenceSession.create(new Uint8Array(network));
  postMessage({ type: "ready" });
}

/** Turn a square by quarters and mirror it: one of the eight views of the symmetric square. */
function view(rgb, size, number) {
  const result = new Float32Array(rgb.length);
  const end = size - 1;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const column = number >= 4 ? end - x : x;
      const from = [
        [y, column],
        [column, end - y],
        [end - y, end - column],
        [end - column, y],
      ][number % 4];
      const source = (from[0] * size + from[1]) * 3;
      result.set([rgb[source], rgb[source + 1], rgb[source + 2]], (y * size + x) * 3);
    }
  }
  return result;
}

async function computed(rgb, number) {
  const input = new ort.Tensor("float32", view(rgb, imageSize, number), [1, imageSize, imageSize, 3]);
  return session.run({ [session.inputNames[0]]: input });
}

function close() {
  opened.bitmap?.close();
  opened = { key: null, bitmap: null };
}

/** Decode a file unless it is the one that is open; only one picture is held at a time. */
async function open(key, file) {
  if (opened.key === key) return opened.bitmap;
  close();
  opened = { key, bitmap: await decode(file, limits) };
  return opened.bitmap;
}

/** Draw a part of a picture for the screen, at most `longest` pixels long. */
function drawn(bitmap, { left, top, width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(width * scale)),
    Math.max(1, Math.round(height * scale)),
  );
  const context = canvas.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas.transferToImageBitmap();
}

async function answer({ id, key, file, square, views }) {
  const outdated = () => id < newest.get(key);
  if (outdated()) return;
  const bitmap = await open(key, file);
  const { width, height } = bitmap;
  const cut = square ?? centreSquare(width, height);
  const whole = drawn(bitmap, { left: 0, top: 0, width, height }, PREVIEW_SIDE);
  const part = { left: cut.left, top: cut.top, width: cut.side, height: cut.side };
  const picture = drawn(bitmap, part, SHOWN_SIDE);
  const focus = Math.min(FOCUS_SIDE, cut.side);
  const [rgb, sharp] = squares(bitmap, cut, [imageSize, focus]);
  const raw = new Float64Array(7);
  let first = null;
  for (let number = 0; number < views; number += 1) {
    const outputs = await computed(rgb, number);
    outputs.probabilities.data.forEach((value, label) => (raw[label] += value / views));
    first ??= outputs;
    postMessage({ type: "progress", key, done: number + 1, of: views });
    // A turn of the event loop, in which a newer question about this picture may come in.
    await new Promise((resolve) => setTimeout(resolve));
    if (outdated()) return;
  }
  const { activation_maps: maps, features } = first;
  const found = {
    key,
    views,
    raw: Array.from(raw),
    maps: maps && { values: maps.data, shape: maps.dims.slice(1) },
    features: features?.data,
    sharpness: sharpness(sharp, focus),
    side: cut.side,
    square: cut,
    width,
    height,
    rgb,
    whole,
    picture,
  };
  postMessage({ type: "answer", ...found }, [whole, picture]);
}

async function handled(message) {
  try {
    await (message.type === "start" ? start(message) : answer(message));
  } catch (error) {
    const otherwise = message.type === "start" ? "not_loaded" : "failed";
    const { key: problem, facts } =
      error instanceof PictureError ? error : { key: otherwise, facts: {} };
    postMessage({ type: "problem", key: message.key, problem, facts, detail: `${error}` });
  }
}

addEventListener("message", ({ data }) => {
  if (data.type === "start") return begin(handled(data));
  if (data.type === "forget") {
    newest.set(data.key, Infinity); // nothing is newer
    last = last.then(() => opened.key === data.key && close());
    return;
  }
  newest.set(data.key, data.id);
  last = last.then(() => handled(data)); // a picture chosen early waits for the network
});
