// Class activation maps (Zhou et al. 2016): behind global average pooling and one dense layer they
// are Grad-CAM, so no gradient is needed.

/**
 * Turn a small map into one that covers the picture, from 0 to 1.
 *
 * As `lesions.explanation` does: negative evidence is cut off, the map enlarged bilinearly with
 * the outer half cells held constant, and divided by its maximum.
 *
 * @param {Float32Array} small rows x columns values
 * @returns {Float32Array} size x size values
 */
export function enlargedMap(small, rows, columns, size) {
  const down = places(rows, size);
  const across = places(columns, size);
  const positive = Float32Array.from(small, (value) => Math.max(value, 0));
  const result = new Float32Array(size * size);
  let peak = 0;
  for (let y = 0; y < size; y += 1) {
    const [above, below, low] = down[y];
    for (let x = 0; x < size; x += 1) {
      const [left, right, share] = across[x];
      const upper =
        positive[above * columns + left] * (1 - share) + positive[above * columns + right] * share;
      const lower =
        positive[below * columns + left] * (1 - share) + positive[below * columns + right] * share;
      const value = upper * (1 - low) + lower * low;
      result[y * size + x] = value;
      peak = Math.max(peak, value);
    }
  }
  return peak > 0 ? result.map((value) => value / peak) : result;
}

/** For each new position, the two old ones around it and the share of the second. */
function places(length, size) {
  return Array.from({ length: size }, (_, target) => {
    const place = Math.min(Math.max(((target + 0.5) * length) / size - 0.5, 0), length - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, length - 1), place - first];
  });
}

/** Take one class's map out of the network's output: float, rows x columns x classes. */
export function mapOf(maps, label) {
  const [rows, columns, classes] = maps.shape;
  const small = new Float32Array(rows * columns);
  for (let place = 0; place < small.length; place += 1) small[place] = maps.values[place * classes + label];
  return { small, rows, columns };
}

/**
 * Colour a map for laying over a picture: only what is hot is tinted.
 *
 * @param {Array} colours 256 triples of 0 to 255
 * @returns {ImageData} opaque from 0.5 of the maximum upwards, fading below
 */
export function coloured(map, size, colours) {
  const image = new ImageData(size, size);
  map.forEach((value, place) => {
    const [red, green, blue] = colours[Math.round(value * 255)];
    image.data.set([red, green, blue, Math.round(255 * Math.min(value / 0.5, 1))], place * 4);
  });
  return image;
}
