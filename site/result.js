// Shows one answer: sentences, figures, bars, the heat map and what testing says.

import { corrected, decide, described, distance, filled, malignant } from "./answer.js";
import { record, warnings, withPatient } from "./answer.js";
import { coloured, enlargedMap, mapOf } from "./heatmap.js";

const SVG = "http://www.w3.org/2000/svg";
const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)}%`;
const element = (id) => document.getElementById(id);

/** Make an element with a class and a text. */
export function made(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

/** Work out everything that is said about a picture from what the worker found. */
export function answerOf(found, data, known, patient) {
  const fromPicture = corrected(found.raw, data.network);
  const probabilities = withPatient(fromPicture, patient, data.patient);
  const label = decide(probabilities, data.network);
  const far = data.familiarity && found.features
    ? distance(found.features, data.familiarity, known)
    : 0;
  return {
    probabilities,
    label,
    malignant: malignant(probabilities, data.classes),
    patient: described(patient),
    warnings: warnings({ ...found, distance: far }, data),
    record: record(label, probabilities[label], patient, data),
  };
}

/** Give a class its full name with its code behind it. */
export const fullName = ({ name, code }) => `${name} (${code})`;

function bar(probability, colour) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const filled = document.createElementNS(SVG, "rect");
  filled.setAttribute("width", 100 * probability);
  filled.setAttribute("height", 1);
  // Black in the figures; on a dark page it takes the colour of the text.
  filled.setAttribute("fill", colour === "#000000" ? "currentColor" : colour);
  svg.append(filled);
  return svg;
}

/** Lay out the seven classes as radio buttons, each with its bar. */
export function showBars(answer, chosen, data, choose) {
  const rows = data.classes.map((one, label) => {
    const row = made("label", "class");
    const input = made("input");
    Object.assign(input, { type: "radio", name: "class", value: one.code, checked: label === chosen });
    input.addEventListener("change", () => choose(label));
    const name = made("span", "name", fullName(one));
    if (one.malignant) name.append(made("span", "tag", "malignant"));
    const value = made("span", "value", percent(answer.probabilities[label], 1));
    row.append(input, name, value, bar(answer.probabilities[label], one.colour));
    return row;
  });
  // The keyboard's place would be lost with the button that had it.
  const focused = element("bars").contains(document.activeElement);
  element("bars").replaceChildren(...rows);
  if (focused) element("bars").querySelector(":checked")?.focus();
}

function list(target, sentences, tag) {
  target.replaceChildren(...sentences.map((sentence) => made(tag, "", sentence)));
}

/** Show the answer in words and figures. */
export function showAnswer(answer, views, data) {
  const one = data.classes[answer.label];
  const probability = answer.probabilities[answer.label];
  element("answer-title").textContent = fullName(one);
  element("description").textContent = one.description;
  element("named").textContent = percent(probability);
  element("malignant").textContent = percent(answer.malignant);
  element("benign").textContent = percent(1 - answer.malignant);
  element("malignant-bar").style.width = percent(answer.malignant, 1);
  element("rule").textContent = data.texts.decision_rule;
  element("rule").hidden = probability >= Math.max(...answer.probabilities);
  const { alone, given } = data.texts;
  const basis = answer.patient ? filled(given, answer) : alone;
  const average = views > 1
    ? "The mean over eight flips and quarter turns of the picture."
    : "One view of the picture; the command line and the app average over its eight flips and quarter turns.";
  element("views").textContent = `${basis} ${average}`;
  list(element("warnings"), answer.warnings, "p");
  const { home, elsewhere } = answer.record;
  list(element("record"), home.length ? home : [data.texts.no_record], "li");
  list(element("elsewhere"), elsewhere, "li");
  element("elsewhere-title").hidden = !elsewhere.length;
}

/** Draw the square with the heat map of a class over it. */
export function showMap(found, label, opacity, data) {
  const canvas = element("shown");
  const context = canvas.getContext("2d");
  const { picture, maps } = found;
  canvas.width = canvas.height = Math.max(picture.width, 240);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const name = fullName(data.classes[label]);
  element("explained").textContent = maps
    ? filled(data.texts.heat_map, { code: name })
    : "This network gives no heat map.";
  const tinted = maps ? ` with the evidence for ${name} tinted` : "";
  canvas.setAttribute("aria-label", `The picture's square${tinted}`);
  if (!maps) return;
  const { small, rows, columns } = mapOf(maps, label);
  const map = enlargedMap(small, rows, columns, data.network.image_size);
  const layer = new OffscreenCanvas(data.network.image_size, data.network.image_size);
  layer.getContext("2d").putImageData(coloured(map, layer.width, data.colours), 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
}

/** Encode what a reader of the table would misread in a file's name, as `predict` does. */
export function cell(name) {
  const encoded = (one) => (one === "-" ? "%2D" : encodeURIComponent(one));
  return (name.toWellFormed?.() ?? name).replace(/(?! )[%\p{C}\p{Z}]/gu, encoded).replace(/^[=+@-]/, encoded);
}

/** Write the answers as a table, one row a picture, as the app does. */
export function table(rows, data) {
  const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const codes = data.classes.map(({ code }) => code);
  const lines = rows.map(({ name, answer }) => {
    const { code, name: full } = data.classes[answer.label];
    const shares = [answer.malignant, ...answer.probabilities].map((share) => share.toFixed(6));
    const words = [answer.patient, answer.warnings.join(" ")].map(quoted);
    return [quoted(cell(name)), code, quoted(full), ...shares, ...words].join(",");
  });
  const columns = ["image", "predicted", "name", "malignant", ...codes, "patient", "warnings"];
  return [columns.join(","), ...lines, ""].join("\n");
}
