// From the network's raw output to everything that the page says: plain numbers in and out.

// As tables of predictions hold it: a probability below this counts as this.
const FLOOR = 1e-7;

// Years of an age band, where the last one begins, and the highest age that counts.
const BAND = 10;
const OLDEST_BAND = 80;
const OLDEST = 120;

function softmax(scores) {
  const highest = Math.max(...scores);
  const exponents = scores.map((score) => Math.exp(score - highest));
  const sum = exponents.reduce((total, value) => total + value, 0);
  return exponents.map((value) => value / sum);
}

/** Correct raw probabilities to class frequencies, as the exported description says. */
export function corrected(raw, network) {
  const { power, offset, class_frequencies: frequencies } = network.correction;
  return softmax(
    raw.map(
      (probability, label) =>
        power * Math.log(Math.max(probability, FLOOR)) + offset * Math.log(frequencies[label]),
    ),
  );
}

/** Apply the decision rule; the label of the class that is named. */
export function decide(probabilities, network) {
  const strength = network.decision_strength;
  const scores = probabilities.map(
    (probability, label) =>
      probability / network.correction.class_frequencies[label] ** strength,
  );
  return scores.indexOf(Math.max(...scores));
}

/** Sum the probabilities of the malignant classes. */
export function malignant(probabilities, classes) {
  return probabilities.reduce((sum, value, label) => sum + (classes[label].malignant ? value : 0), 0);
}

/** Measure fine detail as `lesions.inference.familiarity.sharpness` does; RGB bytes of a square. */
export function sharpness(rgb, side) {
  const grey = new Float32Array(side * side);
  for (let place = 0; place < grey.length; place += 1) {
    // OpenCV's whole-number weights of red, green and blue.
    const sum = 9798 * rgb[3 * place] + 19235 * rgb[3 * place + 1] + 3735 * rgb[3 * place + 2];
    grey[place] = (sum + 16384) >> 15;
  }
  const mirrored = (index) => (index < 0 ? 1 : index >= side ? side - 2 : index);
  let sum = 0;
  let squares = 0;
  for (let y = 0; y < side; y += 1) {
    const above = mirrored(y - 1) * side;
    const below = mirrored(y + 1) * side;
    for (let x = 0; x < side; x += 1) {
      const value =
        grey[above + x] + grey[below + x] + grey[y * side + mirrored(x - 1)] +
        grey[y * side + mirrored(x + 1)] - 4 * grey[y * side + x];
      sum += value;
      squares += value * value;
    }
  }
  const mean = sum / grey.length;
  return Math.log(squares / grey.length - mean * mean + 1e-6);
}

/**
 * Measure how far features are from the training photographs.
 *
 * `known` holds the training photographs' features as whole numbers of `step` standard deviations.
 */
export function distance(features, familiarity, known) {
  const { centre, spread, clip, step, neighbours } = familiarity;
  const scaled = Float64Array.from(features, (value, place) => {
    const deviations = (value - centre[place]) / spread[place];
    return Math.min(Math.max(deviations, -clip), clip) / step;
  });
  const length = scaled.length;
  const distances = [];
  for (let start = 0; start < known.length; start += length) {
    let sum = 0;
    for (let place = 0; place < length; place += 1) {
      const difference = scaled[place] - known[start + place];
      sum += difference * difference;
    }
    distances.push(Math.sqrt(sum) * step);
  }
  distances.sort((a, b) => a - b);
  const nearest = distances.slice(0, neighbours);
  return nearest.reduce((total, value) => total + value, 0) / nearest.length / Math.sqrt(length);
}

/** Fill the names in braces of a sentence: "{name} is empty." */
export function filled(sentence, facts) {
  return sentence.replace(/\{(\w+)\}/g, (_, key) => facts[key] ?? "");
}

/** List what speaks against believing an answer, in sentences. */
export function warnings(found, data) {
  const sentences = data.texts.warnings;
  const list = [];
  const size = data.network.image_size;
  if (found.side < size) list.push(filled(sentences.tiny, { side: found.side, size }));
  if (data.familiarity && found.sharpness < data.familiarity.blurred) list.push(sentences.blurred);
  if (data.familiarity && found.distance > data.familiarity.far) list.push(sentences.unlike);
  return list;
}

/** List what testing says about an answer, in sentences: at home and in other clinics. */
export function record(label, probability, patient, data) {
  if (!data.record) return { home: [], elsewhere: [] };
  const { when_given: given, when_named: named, when_true: found } = data.record;
  const { when_as_sure: sure, headline } = data.record;
  const home = [
    given[Number(isKnown(patient))],
    named[label],
    found[label],
    sure[Math.round(probability * 100)],
    headline,
  ];
  return { home: home.filter(Boolean), elsewhere: data.record.elsewhere[label] };
}

/** Name the categories of a patient as the stored tables do; what is missing is "unknown". */
function categories({ age, sex, localization }) {
  const years = Number(age);
  const isKnown = age !== "" && age !== null && years >= 0 && years <= OLDEST;
  const band = isKnown ? String(Math.min(Math.floor(years / BAND) * BAND, OLDEST_BAND)) : "unknown";
  return { age: band, sex: sex || "unknown", localization: localization || "unknown" };
}

/** Describe what is known of a patient in a few words, as `lesions.data.Patient` does. */
export function described(patient) {
  const { age, sex, localization } = categories(patient);
  const years = age === "unknown" ? age : `age ${Number(patient.age)}`;
  return [years, sex, localization].filter((one) => one !== "unknown").join(", ");
}

/** Whether anything is known of a patient. */
function isKnown(patient) {
  return Object.values(categories(patient)).some((category) => category !== "unknown");
}

/**
 * Multiply the picture's probabilities with those that age, sex and site give.
 *
 * This is `lesions.evaluation.patient_data.Fusion`, whose numbers `fusion` holds; without them, or
 * where nothing is known of the patient, the probabilities stay as they are.
 *
 * @param {Object} patient age in years, sex and localization; "" where unknown
 */
export function withPatient(probabilities, patient, fusion) {
  if (!fusion || !isKnown(patient)) return probabilities;
  const known = Object.entries(categories(patient));
  const given = fusion.intercepts.map((intercept, label) =>
    known.reduce((sum, [name, one]) => sum + (fusion.tables[name][one]?.[label] ?? 0), intercept),
  );
  const patients = softmax(given);
  return softmax(
    probabilities.map(
      (probability, label) =>
        fusion.power * Math.log(Math.max(probability, FLOOR)) +
        fusion.offset * Math.log(fusion.class_frequencies[label]) +
        fusion.weight * Math.log(patients[label]),
    ),
  );
}
