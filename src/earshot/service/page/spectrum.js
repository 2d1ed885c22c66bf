// Short-time spectra: a real FFT and what a spectrogram of any width needs of a recording.

const YIELD_EVERY = 1500; // transforms between two breaths of the page

/** In-place radix-2 FFT of size n = re.length, a power of two, with tables made once. */
export function makeFft(n) {
  const reversed = new Uint32Array(n);
  const bits = Math.log2(n);
  for (let i = 0; i < n; i++) {
    for (let bit = 0; bit < bits; bit++) if (i & (1 << bit)) reversed[i] |= 1 << (bits - 1 - bit);
  }
  const cosine = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sine = Float64Array.from({ length: n / 2 }, (_, k) => Math.sin((2 * Math.PI * k) / n));
  return (re, im) => {
    for (let i = 0; i < n; i++) {
      const j = reversed[i];
      if (j > i) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2;
      const stride = n / size;
      for (let start = 0; start < n; start += size) {
        for (let k = 0; k < half; k++) {
          const a = start + k;
          const b = a + half;
          const c = cosine[k * stride];
          const s = sine[k * stride];
          const x = re[b] * c + im[b] * s;
          const y = im[b] * c - re[b] * s;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  };
}

/**
 * Spectra in decibels of full scale (a sine of amplitude 1 is 0 dB), one per column.
 *
 * A column holds the loudest of every frame inside it, so that a bang is seen however long the recording is. Frame
 * centres never lie further apart than half a window. Samples beyond the ends count as silence.
 *
 * @param {Float32Array} samples one channel.
 * @param {number} columns how many spectra.
 * @param {number} size window length in samples, a power of two.
 * @param {AbortSignal} [signal] stops the work; the promise then rejects.
 * @returns {Promise<Float32Array>} columns x (size / 2 + 1), row by row.
 */
export async function spectra(samples, columns, size = 1024, signal = undefined) {
  const bins = size / 2 + 1;
  const fft = makeFft(size);
  const window = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
  const full = size / 4; // |FFT| of a full-scale sine under a Hann window, whose mean is 1/2
  const out = new Float32Array(columns * bins);
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  const width = samples.length / columns;
  const frames = Math.max(1, Math.ceil(width / (size / 2)));
  let done = 0;
  for (let column = 0; column < columns; column++) {
    const row = out.subarray(column * bins, (column + 1) * bins);
    for (let frame = 0; frame < frames; frame++) {
      const from = Math.round((column + (frame + 0.5) / frames) * width) - size / 2;
      for (let i = 0; i < size; i++) re[i] = (samples[from + i] ?? 0) * window[i];
      im.fill(0);
      fft(re, im);
      for (let k = 0; k < bins; k++) row[k] = Math.max(row[k], re[k] * re[k] + im[k] * im[k]);
      if (++done % YIELD_EVERY === 0) {
        await new Promise((resolve) => setTimeout(resolve));
        signal?.throwIfAborted();
      }
    }
  }
  for (let i = 0; i < out.length; i++) out[i] = 10 * Math.log10(out[i] / (full * full) + 1e-12);
  return out;
}

/** Lowest and highest sample of each column: [low, high] pairs, Float32Array of 2 x columns. */
export function extremes(samples, columns) {
  const out = new Float32Array(columns * 2);
  for (let column = 0; column < columns; column++) {
    const from = Math.floor((column * samples.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * samples.length) / columns));
    let low = Infinity;
    let high = -Infinity;
    for (let i = from; i < to && i < samples.length; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    out[2 * column] = low <= high ? low : 0;
    out[2 * column + 1] = low <= high ? high : 0;
  }
  return out;
}
