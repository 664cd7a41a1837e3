// The page: takes pictures in, asks the worker, and keeps track of what is shown.

import { filled } from "./answer.js";
import { Cropper } from "./crop.js";
import { largeFiles, siteData, startWorker } from "./load.js";
import { centreSquare } from "./resize.js";
import { answerOf, fullName, made, showAnswer, showBars, showMap, table } from "./result.js";

const element = (id) => document.getElementById(id);
const pictures = new Map(); // by key: name, file, square, views, found, answer, credit
let data = null;
let known = null;
let worker = null;
let current = null;
let chosen = 0;
let asked = 0;
let cropper = null;
let broken = false; // where the network could not be loaded, and a sentence says so
// What the browser tests and the measurements read.
globalThis.lesions = { pictures, ready: false };

function say(sentence) {
  element("status").textContent = sentence;
}

function announce(picture) {
  say(`${picture.name}: ${fullName(data.classes[picture.answer.label])}.`);
}

function problem(key, facts, name) {
  if (broken) return;
  broken = key === "not_loaded";
  const sentence = filled(data?.problems[key] ?? "This page could not be loaded; try again.", {
    ...facts,
    name,
  });
  element("problems").append(made("li", "", sentence));
}

/** Ask the worker about a picture. */
function ask(key, square = null, views = 1) {
  const picture = pictures.get(key);
  if (!picture) return; // removed meanwhile
  asked += 1;
  picture.asked = performance.now();
  worker.postMessage({ type: "answer", id: asked, key, file: picture.file, square, views });
}

/** Take files in, whatever way they came. */
function add(files, credit = "") {
  if (broken || !files.length) return;
  element("problems").replaceChildren();
  let first = null;
  for (const file of files) {
    const key = `${performance.now()} ${pictures.size} ${file.name}`;
    pictures.set(key, { key, name: file.name || "picture", file, credit });
    first ??= key;
    ask(key);
  }
  say(`Looking at ${files.length === 1 ? files[0].name : `${files.length} pictures`} …`);
  select(first);
}

/** Show the strip of all pictures; it appears with the second one. */
function showStrip() {
  element("several").hidden = pictures.size < 2;
  element("clear").hidden = !pictures.size;
  const entries = [...pictures.values()].map((picture) => {
    const entry = made("li");
    const button = made("button");
    button.type = "button";
    button.setAttribute("aria-pressed", picture.key === current);
    const thumbnail = made("canvas");
    thumbnail.width = thumbnail.height = 144;
    if (picture.found) thumbnail.getContext("2d").drawImage(picture.found.picture, 0, 0, 144, 144);
    const answer = picture.answer ? fullName(data.classes[picture.answer.label]) : "…";
    button.append(thumbnail, made("span", "", picture.name), made("span", "", answer));
    button.addEventListener("click", () => select(picture.key));
    entry.append(button);
    return entry;
  });
  const place = [...element("strip").querySelectorAll("button")].indexOf(document.activeElement);
  element("strip").replaceChildren(...entries);
  element("strip").querySelectorAll("button")[place]?.focus();
  element("table").disabled = ![...pictures.values()].some((picture) => picture.answer);
}

function select(key) {
  current = key;
  showStrip();
  const picture = pictures.get(key);
  element("result").hidden = !picture.found; // what is shown belongs to the chosen picture
  if (picture.found) show(picture, true);
}

/** Show a picture's answer; a new picture starts with the map of the class that is named. */
function show(picture, isNew) {
  const { found, answer } = picture;
  if (isNew) chosen = answer.label;
  element("result").hidden = false;
  element("credit").textContent = [picture.name, picture.credit].filter(Boolean).join(" · ");
  element("eight").disabled = found.views > 1;
  element("eight-bar").hidden = true;
  showAnswer(answer, found.views, data);
  cropper.show(picture.key, found.whole, found.width, found.height, found.square);
  showZoom();
  redraw();
}

function redraw() {
  const picture = pictures.get(current);
  if (!picture?.found) return;
  const opacity = element("opacity").value;
  element("opacity-value").textContent = `${opacity}%`;
  showBars(picture.answer, chosen, data, (label) => {
    chosen = label;
    redraw();
  });
  showMap(picture.found, chosen, opacity / 100, data);
}

function showZoom() {
  const share = Math.round(cropper.share * 100);
  element("zoom").value = share;
  element("zoom-value").textContent = `${share}%`;
}

function patient() {
  const value = (id) => element(id).value;
  return { age: value("age"), sex: value("sex"), localization: value("localization") };
}

function answered(found) {
  const picture = pictures.get(found.key);
  if (!picture) return; // removed meanwhile
  const isNew = !picture.found;
  picture.seconds = (performance.now() - picture.asked) / 1000;
  picture.found = found;
  picture.answer = answerOf(found, data, known, patient());
  if (found.key === current) {
    show(picture, isNew);
    announce(picture);
    if (isNew) reveal(element("answer-title"));
  }
  showStrip();
}

/** Bring an answer to the reader: the keyboard always, the page where it lies below the screen. */
function reveal(title) {
  title.focus({ preventScroll: true });
  if (title.getBoundingClientRect().top > 0.7 * innerHeight) title.scrollIntoView();
}

function refused({ key, problem: reason, facts, detail }) {
  const picture = pictures.get(key);
  if (key && !picture) return; // removed meanwhile
  const isShown = key === current;
  if (reason === "failed" || reason === "not_loaded") console.error(detail);
  problem(reason, facts, picture?.name);
  element("loading").hidden ||= reason === "not_loaded";
  if (picture && !picture.found) {
    pictures.delete(key);
    if (isShown) current = pictures.keys().next().value ?? null;
  }
  const left = pictures.get(current);
  if (isShown && left?.found) show(left, !picture.found);
  element("result").hidden = !left?.found;
  showStrip();
}

function progress({ key, done, of }) {
  if (key !== current || of === 1) return;
  element("eight-bar").hidden = false;
  element("eight-bar").value = done;
}

function heard({ data: message }) {
  if (message.type === "answer") answered(message);
  if (message.type === "problem") refused(message);
  if (message.type === "progress") progress(message);
  if (message.type === "ready") {
    element("loading").hidden = true;
    lesions.ready = true;
    say("The network is ready.");
  }
}

/** Fetch the sample while the page loads, so that nothing is fetched later. */
async function offerSample() {
  const response = await fetch(data.sample.file);
  const file = new File([await response.blob()], data.sample.name, { type: "image/jpeg" });
  element("sample").addEventListener("click", () => add([file], data.sample.credit));
}

function download(text, name) {
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function listenForPictures() {
  for (const [button, input] of [["choose", "files"], ["photograph", "camera"]]) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", ({ target }) => {
      add([...target.files]);
      target.value = "";
    });
  }
  addEventListener("paste", ({ clipboardData }) => add([...clipboardData.files]));
  const drop = element("drop");
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault(); // the browser would leave the page for the picture
      drop.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") add([...event.dataTransfer.files]);
    });
  }
}

function listenForChoices() {
  element("opacity").addEventListener("input", redraw);
  element("zoom").addEventListener("input", ({ target }) => cropper.zoom(target.value / 100));
  element("centre").addEventListener("click", () => {
    const { width, height } = pictures.get(current).found;
    cropper.set(centreSquare(width, height));
  });
  element("eight").addEventListener("click", () => {
    element("eight").disabled = true;
    ask(current, cropper.rest(), 8); // about the square as it is shown, answered or not
  });
  element("clear").addEventListener("click", () => {
    for (const key of pictures.keys()) worker.postMessage({ type: "forget", key });
    pictures.clear();
    for (const field of element("patient").elements) field.value = ""; // the next may be of another
    current = null;
    element("result").hidden = true;
    showStrip();
    say("All pictures are removed.");
    element("choose").focus();
  });
  element("table").addEventListener("click", () => {
    const rows = [...pictures.values()].filter((picture) => picture.answer);
    download(table(rows, data), "answers.csv");
  });
}

/** Offer age, sex and site where the network's description says what they are worth. */
function offerPatient() {
  element("patient").hidden = !data.patient;
  if (!data.patient) return;
  for (const id of ["sex", "localization"]) {
    for (const value of Object.keys(data.patient.tables[id])) {
      if (value !== "unknown") element(id).append(new Option(value, value));
    }
  }
  element("age").addEventListener("change", ({ target }) => target.reportValidity());
  element("patient").addEventListener("input", () => {
    for (const picture of pictures.values()) {
      if (picture.found) picture.answer = answerOf(picture.found, data, known, patient());
    }
    const shown = pictures.get(current);
    if (shown?.found) {
      show(shown, true);
      announce(shown);
    }
    showStrip();
  });
}

function introduce() {
  const { network, texts } = data;
  document.title = texts.title;
  element("title").textContent = texts.title;
  element("introduction").textContent = texts.introduction;
  element("bars-title").textContent = texts.probability;
  element("record-title").textContent = texts.record;
  element("elsewhere-title").textContent = texts.record_elsewhere;
  element("notice").textContent = texts.notice;
  element("network").textContent = `${network.architecture}, ${network.image_size} px. ${texts.credit}`;
}

async function main() {
  element("loading").hidden = false;
  try {
    data = await siteData();
    introduce();
    offerPatient();
    cropper = new Cropper(element("crop"), showZoom, ask);
    worker = startWorker();
    worker.addEventListener("message", heard);
    worker.addEventListener("error", (event) => refused({ problem: "not_loaded", detail: event.message }));
    listenForPictures();
    listenForChoices();
    await offerSample();
    const files = await largeFiles(data, (come, total) => {
      const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
      element("loading-bar").value = (100 * come) / total;
      element("loading-text").textContent =
        `Loading the network: ${megabytes(come)} of ${megabytes(total)} MB, the first time only`;
    });
    known = files.known;
    worker.postMessage(
      {
        type: "start",
        network: files.network,
        runtime: files.runtime,
        imageSize: data.network.image_size,
        limits: data.limits,
      },
      [files.network, files.runtime],
    );
  } catch (error) {
    console.error(error);
    element("loading").hidden = true;
    problem("not_loaded", {}, "");
    return;
  }
  navigator.serviceWorker?.register("service.js", { updateViaCache: "none" }).catch(console.error);
}

main();
