// Plays the recording, or one part of it. The slider is the keyboard's way through the sound.

import { byId } from "./dom.js";
import { clock } from "./axis.js";

export class Player {
  #audio = byId("audio");
  #button = byId("play");
  #slider = byId("seek");
  #url = null;
  #duration_s = NaN;
  #stopAt_s = Infinity;
  #onTime;

  /** @param {(time_s: number) => void} onTime called whenever the position changes, each frame while playing. */
  constructor(onTime) {
    this.#onTime = onTime;
    this.#button.onclick = () => this.#toggle();
    this.#slider.oninput = () => this.seek(Number(this.#slider.value));
    for (const type of ["seeked", "timeupdate", "ended"]) this.#audio.addEventListener(type, () => this.#show());
    this.#audio.onplay = () => {
      this.#label();
      this.#follow();
    };
    this.#audio.onpause = () => this.#label();
    this.#audio.onerror = () => this.#allow(false);
    this.#audio.onloadedmetadata = () => this.#allow(true);
  }

  get element() {
    return this.#audio;
  }

  /** Whether this browser plays the file, as far as it knows yet. */
  get possible() {
    return !this.#button.disabled;
  }

  load(file) {
    this.#audio.pause();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(file);
    this.#duration_s = NaN;
    this.#stopAt_s = Infinity;
    this.#allow(true);
    this.#audio.src = this.#url;
    this.#label();
    this.#show();
  }

  setDuration(duration_s) {
    this.#duration_s = duration_s;
    this.#slider.max = duration_s;
    this.#show();
  }

  seek(time_s) {
    this.#stopAt_s = Infinity;
    this.#audio.currentTime = time_s;
    this.#show();
  }

  /** Play from `from_s` and stop at `to_s`. */
  playPart(from_s, to_s) {
    this.seek(from_s);
    this.#stopAt_s = to_s;
    this.#audio.play().catch(() => {}); // cannot be played: said under the player already
  }

  #toggle() {
    this.#stopAt_s = Infinity;
    if (this.#audio.paused) this.#audio.play().catch(() => {});
    else this.#audio.pause();
  }

  #follow() {
    if (this.#audio.paused) return;
    if (this.#audio.currentTime >= this.#stopAt_s) {
      this.#audio.pause();
      this.#stopAt_s = Infinity;
    }
    this.#show();
    requestAnimationFrame(() => this.#follow());
  }

  #show() {
    const time_s = this.#audio.currentTime || 0;
    const known = Number.isFinite(this.#duration_s);
    this.#slider.value = time_s;
    this.#slider.setAttribute("aria-valuetext", clock(time_s));
    this.#slider.style.setProperty("--done", known ? `${(100 * time_s) / this.#duration_s}%` : "0%");
    byId("clock").textContent = clock(time_s) + (known ? ` / ${clock(this.#duration_s)}` : "");
    this.#onTime(time_s);
  }

  #label() {
    this.#button.setAttribute("aria-label", this.#audio.paused ? "Play" : "Pause");
    this.#button.classList.toggle("playing", !this.#audio.paused);
  }

  #allow(possible) {
    this.#button.disabled = this.#slider.disabled = !possible;
    const note = byId("player-note");
    note.hidden = possible;
    note.textContent = "This browser cannot play this kind of file. The service's answer does not depend on it.";
  }
}
