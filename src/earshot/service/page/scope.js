// Waveform, spectrogram and events, one above the other on one time axis.

import { make } from "./dom.js";
import {
  clock,
  frequencyText,
  frequencyTicks,
  heightOf,
  hertzOf,
  melOf,
  plain,
  timeTickText,
  timeTicks,
} from "./axis.js";
import { paint } from "./picture.js";
import { extremes, spectra } from "./spectrum.js";

const LEFT = 52; // CSS pixels for the words of the vertical axes; the style sheet's --gutter
const RIGHT = 16;
const WAVE_HEIGHT = 72;
const SPECTRUM_HEIGHT = 208;
const LANE_HEIGHT = 30;
const AXIS_HEIGHT = 26;
const GAP = 8;
const COLUMNS = 1200; // spectra computed for one recording, whatever the width of the screen
const HIT_PIXELS = 6;
const TICK_SPACING = 60; // at least, between two words of the time axis

export class Scope {
  #root;
  #canvas = make("canvas", { role: "img" });
  #playhead = make("div", { class: "playhead", hidden: true });
  #readout = make("div", { class: "readout", "aria-hidden": "true", hidden: true });
  #onSeek;
  #onEvent;
  #redraw = 0;
  #duration_s = 0;
  #top_hz = 0;
  #wave = null;
  #spectra = null;
  #picture = null;
  #events = [];
  #labels = [];
  #selected = -1;

  /**
   * @param {HTMLElement} root
   * @param {(time_s: number) => void} onSeek the plot was clicked at this time.
   * @param {(index: number) => void} onEvent this event was clicked.
   */
  constructor(root, onSeek, onEvent) {
    this.#root = root;
    this.#onSeek = onSeek;
    this.#onEvent = onEvent;
    root.append(this.#canvas, this.#playhead, this.#readout);
    new ResizeObserver(() => this.#later()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#picture = null;
      this.#later();
    });
    this.#canvas.onclick = (event) => this.#click(event);
    this.#canvas.onpointermove = (event) => this.#point(event);
    this.#canvas.onpointerleave = () => (this.#readout.hidden = true);
  }

  clear() {
    this.#duration_s = this.#top_hz = 0;
    this.#wave = this.#spectra = this.#picture = null;
    this.#events = [];
    this.#labels = [];
    this.#selected = -1;
    this.#playhead.hidden = this.#readout.hidden = true;
    this.#later();
  }

  setDuration(duration_s) {
    this.#duration_s = duration_s;
    this.#later();
  }

  /** Show one channel of sound; resolves to its peak, full scale at 1, once it is drawn. */
  async setSamples(samples, rate_hz, signal) {
    const found = await spectra(samples, COLUMNS, 1024, signal);
    this.#duration_s = samples.length / rate_hz;
    this.#top_hz = rate_hz / 2;
    this.#wave = extremes(samples, COLUMNS);
    this.#spectra = found;
    this.#picture = null;
    this.#later();
    return this.#peak();
  }

  /** @param {{label: string, onset_s: number, offset_s: number, confidence: number}[]} events in any order. */
  setEvents(events) {
    this.#events = events;
    this.#labels = [...new Set(events.map((event) => event.label))];
    this.#later();
  }

  select(index) {
    this.#selected = index;
    this.#later();
  }

  setTime(time_s) {
    const { width } = this.#layout();
    this.#playhead.hidden = !(this.#duration_s > 0) || !(width > 0);
    const x = LEFT + (Math.min(time_s, this.#duration_s) / this.#duration_s) * width;
    this.#playhead.style.transform = `translateX(${x}px)`;
  }

  /** Where things are, in CSS pixels from the canvas's corner. */
  #layout() {
    const waveTop = GAP;
    const spectrumTop = waveTop + (this.#wave ? WAVE_HEIGHT + GAP : 0);
    const lanesTop = spectrumTop + (this.#spectra ? SPECTRUM_HEIGHT + GAP : 0);
    const axisTop = lanesTop + this.#labels.length * LANE_HEIGHT;
    const width = this.#root.clientWidth - LEFT - RIGHT;
    return { width, waveTop, spectrumTop, lanesTop, axisTop, height: axisTop + AXIS_HEIGHT };
  }

  #later() {
    this.#redraw ||= requestAnimationFrame(() => {
      this.#redraw = 0;
      this.#draw();
    });
  }

  #draw() {
    const at = this.#layout();
    this.#root.hidden = !(this.#duration_s > 0);
    if (this.#root.hidden || at.width <= 0) return;
    const scale = devicePixelRatio;
    this.#canvas.width = Math.round(this.#root.clientWidth * scale);
    this.#canvas.height = Math.round(at.height * scale);
    this.#canvas.style.height = `${at.height}px`;
    this.#playhead.style.height = `${at.axisTop - GAP}px`;
    const pen = this.#canvas.getContext("2d");
    pen.scale(scale, scale);
    const ink = palette(this.#root);
    pen.font = `11px ${ink.font}`;
    pen.textBaseline = "middle";
    if (this.#spectra) this.#drawSpectra(pen, ink, at);
    this.#drawTime(pen, ink, at);
    if (this.#wave) this.#drawWave(pen, ink, at);
    this.#drawEvents(pen, ink, at);
    this.#canvas.setAttribute("aria-label", this.#words());
  }

  #drawTime(pen, ink, at) {
    pen.textAlign = "center";
    for (const tick of timeTicks(this.#duration_s, Math.max(2, Math.floor(at.width / TICK_SPACING)))) {
      const x = Math.round(LEFT + (tick / this.#duration_s) * at.width) + 0.5;
      pen.fillStyle = ink.line;
      if (this.#wave) pen.fillRect(x - 0.5, at.waveTop, 1, WAVE_HEIGHT);
      pen.fillRect(
        x - 0.5,
        at.lanesTop - (this.#spectra ? GAP : 0),
        1,
        at.axisTop - at.lanesTop + 5 + (this.#spectra ? GAP : 0),
      );
      pen.fillStyle = ink.muted;
      pen.fillText(timeTickText(tick, this.#duration_s), x, at.axisTop + 15);
    }
  }

  #peak() {
    return this.#wave.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  }

  #drawWave(pen, ink, at) {
    const reach = niceAmplitude(this.#peak());
    const middle = at.waveTop + WAVE_HEIGHT / 2;
    const half = WAVE_HEIGHT / 2;
    pen.fillStyle = ink.line;
    pen.fillRect(LEFT, middle, at.width, 1);
    pen.fillStyle = ink.signal;
    const columns = this.#wave.length / 2;
    for (let column = 0; column < columns; column++) {
      const low = Math.max(-1, this.#wave[2 * column] / reach) * half; // resampling may ring beyond full scale
      const high = Math.min(1, this.#wave[2 * column + 1] / reach) * half;
      const x = LEFT + (column / columns) * at.width;
      pen.fillRect(x, middle - high, Math.max(0.6, at.width / columns), Math.max(1, high - low));
    }
    pen.textAlign = "right";
    pen.fillStyle = ink.muted;
    pen.fillText(`+${reach}`, LEFT - 8, at.waveTop + 6);
    pen.fillText("0", LEFT - 8, middle);
    pen.fillText(`−${reach}`, LEFT - 8, at.waveTop + WAVE_HEIGHT - 6);
  }

  #drawSpectra(pen, ink, at) {
    this.#picture ??= paint(this.#spectra, COLUMNS, this.#top_hz, ink.heat);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.#picture, LEFT, at.spectrumTop, at.width, SPECTRUM_HEIGHT);
    pen.textAlign = "right";
    for (const tick of frequencyTicks(this.#top_hz)) {
      const y = at.spectrumTop + (1 - heightOf(tick, this.#top_hz)) * SPECTRUM_HEIGHT;
      pen.fillStyle = ink.muted;
      pen.fillRect(LEFT - 4, Math.round(y - 0.5), 4, 1);
      pen.fillText(frequencyText(tick), LEFT - 8, Math.min(y, at.spectrumTop + SPECTRUM_HEIGHT - 5));
    }
  }

  #drawEvents(pen, ink, at) {
    this.#labels.forEach((label, lane) => {
      const top = at.lanesTop + lane * LANE_HEIGHT;
      pen.fillStyle = ink.line;
      pen.fillRect(LEFT, top + LANE_HEIGHT - 3, at.width, 1);
      pen.textAlign = "left";
      pen.fillStyle = ink.surface;
      pen.fillRect(LEFT + 2, top, pen.measureText(plain(label)).width + 6, 16);
      pen.fillStyle = ink.text;
      pen.fillText(plain(label), LEFT + 4, top + 9);
    });
    this.#events.forEach((event, index) => {
      const { x, width } = this.#span(event, at);
      const y = at.lanesTop + this.#labels.indexOf(event.label) * LANE_HEIGHT + 17;
      pen.fillStyle = index === this.#selected ? ink.text : ink.signal;
      pen.beginPath();
      pen.roundRect(x, y, width, 9, Math.min(2, width / 2));
      pen.fill();
    });
  }

  #span(event, at) {
    const x = LEFT + (event.onset_s / this.#duration_s) * at.width;
    return { x, width: Math.max(3, ((event.offset_s - event.onset_s) / this.#duration_s) * at.width - 1) };
  }

  #click(click) {
    const at = this.#layout();
    const lane = Math.floor((click.offsetY - at.lanesTop) / LANE_HEIGHT);
    const near = (event) => {
      const { x, width } = this.#span(event, at);
      return click.offsetX >= x - HIT_PIXELS && click.offsetX <= x + width + HIT_PIXELS;
    };
    const index = this.#events.findIndex((event) => this.#labels.indexOf(event.label) === lane && near(event));
    if (index >= 0) this.#onEvent(index);
    else this.#onSeek(this.#timeAt(click.offsetX, at));
  }

  #point(pointer) {
    const at = this.#layout();
    const inside = pointer.offsetX >= LEFT && pointer.offsetX <= LEFT + at.width && pointer.offsetY < at.axisTop;
    this.#readout.hidden = !inside || pointer.pointerType === "touch";
    if (this.#readout.hidden) return;
    const up = 1 - (pointer.offsetY - at.spectrumTop) / SPECTRUM_HEIGHT;
    const pitch = this.#spectra && up >= 0 && up <= 1 ? hertzOf(up * melOf(this.#top_hz)) : null;
    this.#readout.textContent =
      clock(this.#timeAt(pointer.offsetX, at), 2) + (pitch === null ? "" : ` · ${Math.round(pitch)} Hz`);
    const aside = pointer.offsetX > LEFT + at.width / 2 ? "calc(-100% - 10px)" : "10px"; // never off the screen
    this.#readout.style.transform = `translate(${pointer.offsetX}px, ${pointer.offsetY}px) translate(${aside}, -50%)`;
  }

  #timeAt(x, at) {
    return Math.max(0, Math.min(1, (x - LEFT) / at.width)) * this.#duration_s;
  }

  #words() {
    const parts = [];
    if (this.#wave) parts.push("waveform", `spectrogram from 0 to ${frequencyText(Math.round(this.#top_hz))}`);
    if (this.#events.length) parts.push(`${this.#events.length} events, listed below`);
    return `Over ${clock(this.#duration_s)}: ${parts.join(", ") || "nothing yet"}`;
  }
}

/** The smallest of 1, 0.5, 0.2, 0.1 ... 0.01 that holds `peak`. */
function niceAmplitude(peak) {
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((reach) => peak <= reach) ?? 1;
}

/** Colours and font of the theme, from the style sheet. */
function palette(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    text: value("--text"),
    muted: value("--muted"),
    line: value("--line"),
    surface: value("--surface"),
    signal: value("--accent"),
    font: style.fontFamily,
    heat: [0, 1, 2, 3, 4].map((i) => value(`--heat-${i}`)),
  };
}
