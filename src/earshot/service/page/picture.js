// The spectrogram's pixels.

import { make } from "./dom.js";
import { hertzOf, melOf } from "./axis.js";

const ROWS = 256;
const RANGE_DB = 70;
const QUIETEST_TOP_DB = -60; // below this the picture stays empty: silence must look like silence

/**
 * Spectra as a picture: time to the right, mel upwards, colour for level.
 *
 * @param {Float32Array} values decibels of full scale, columns x bins, as `spectra` gives them.
 * @param {number} columns
 * @param {number} top_hz frequency of the last bin.
 * @param {string[]} colours "#rrggbb" from the quietest to the strongest.
 * @returns {HTMLCanvasElement}
 */
export function paint(values, columns, top_hz, colours) {
  const heat = colours.map(rgb);
  const bins = values.length / columns;
  const top_db = Math.max(
    QUIETEST_TOP_DB,
    values.reduce((top, value) => Math.max(top, value), -Infinity),
  );
  const canvas = make("canvas", { width: columns, height: ROWS });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, ROWS);
  const binOf = (row) => (hertzOf((row / ROWS) * melOf(top_hz)) / top_hz) * (bins - 1);
  for (let row = 0; row < ROWS; row++) {
    const from = binOf(row);
    const to = binOf(row + 1);
    for (let column = 0; column < columns; column++) {
      const level = levelBetween(values, column * bins, from, to);
      const [r, g, b] = shade(heat, 1 + (level - top_db) / RANGE_DB);
      const at = 4 * ((ROWS - 1 - row) * columns + column);
      image.data[at] = r;
      image.data[at + 1] = g;
      image.data[at + 2] = b;
      image.data[at + 3] = 255;
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** The strongest bin a row of the picture covers, or the value between two bins where it covers none. */
function levelBetween(values, offset, from, to) {
  const first = Math.ceil(from);
  if (first > to) {
    const low = Math.floor(from);
    const part = (from + to) / 2 - low;
    return values[offset + low] * (1 - part) + values[offset + low + 1] * part;
  }
  let level = -Infinity;
  for (let bin = first; bin <= to; bin++) level = Math.max(level, values[offset + bin]);
  return level;
}

function shade(heat, fraction) {
  const place = Math.max(0, Math.min(1, fraction)) * (heat.length - 1);
  const low = Math.min(Math.floor(place), heat.length - 2);
  return heat[low].map((value, i) => value + (heat[low + 1][i] - value) * (place - low));
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
