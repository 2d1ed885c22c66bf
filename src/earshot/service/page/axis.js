// Scales, ticks and the words on them. Pure functions: no page needed.

const TIME_STEPS_S = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
];
const FREQUENCY_TICKS_HZ = [0, 250, 500, 1000, 2000, 4000, 8000, 16000];

/** Round times in seconds, ascending, from 0 to `duration_s`; no more than about `most` of them. */
export function timeTicks(duration_s, most) {
  if (!(duration_s > 0)) return [0];
  const step = TIME_STEPS_S.find((candidate) => duration_s / candidate <= most) ?? TIME_STEPS_S.at(-1);
  // Multiples, not a running sum, so that 0.1 + 0.2 stays 0.3.
  return Array.from({ length: Math.floor(duration_s / step + 1e-6) + 1 }, (_, i) => Number((i * step).toFixed(6)));
}

/** A tick's words: seconds below a minute ("0.5 s"), else "m:ss" or "h:mm:ss". */
export function timeTickText(time_s, duration_s) {
  return duration_s < 60 ? `${time_s} s` : clock(time_s, 0);
}

/** A point in time as "m:ss" or "h:mm:ss", with `digits` decimals of a second. */
export function clock(time_s, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(Math.max(0, time_s) * scale);
  const seconds = (whole % (60 * scale)) / scale;
  const minutes = Math.floor(whole / (60 * scale));
  const text = seconds.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${text}` : `${minutes}:${text}`;
}

/** A length of time in words: "3.2 s", "4 min 10 s", "2 h 5 min". */
export function lengthText(duration_s) {
  if (duration_s < 9.95) return `${duration_s.toFixed(1)} s`;
  const seconds = Math.round(duration_s);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min` + (seconds % 60 ? ` ${seconds % 60} s` : "");
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h` + (minutes % 60 ? ` ${minutes % 60} min` : "");
}

/** Mel scale of O'Shaughnessy (1987), the one the model's front end uses. */
export const melOf = (frequency_hz) => 2595 * Math.log10(1 + frequency_hz / 700);
export const hertzOf = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Height of a frequency as a fraction of the axis: 0 at 0 Hz (bottom), 1 at `top_hz`. */
export const heightOf = (frequency_hz, top_hz) => melOf(frequency_hz) / melOf(top_hz);

/** Round frequencies from 0 to `top_hz`, ascending. */
export const frequencyTicks = (top_hz) => FREQUENCY_TICKS_HZ.filter((tick) => tick <= top_hz);

export const frequencyText = (frequency_hz) =>
  frequency_hz >= 1000 ? `${frequency_hz / 1000} kHz` : `${frequency_hz} Hz`;

/** A probability for people: never "100 %" for what is not certain, nor "0 %" for what is not impossible. */
export function percent(probability) {
  const value = probability * 100;
  if (value > 0 && value < 0.1) return "<0.1%";
  if (value < 100 && value > 99.9) return ">99.9%";
  return `${value.toFixed(1)}%`;
}

/** An amplitude, full scale at 1, as a level: "−12.3 dB of full scale". */
export function levelText(amplitude) {
  if (!(amplitude > 0)) return "none";
  return `${(20 * Math.log10(amplitude)).toFixed(1).replace("-", "−")} dB of full scale`;
}

/** Bytes in decimal units, as phones and browsers show them. */
export function sizeText(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** A class name for people: "dog_bark" is "dog bark". */
export const plain = (label) => label.replaceAll("_", " ");
