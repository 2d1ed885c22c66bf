// The timeline as a list, and as files that other programs read.

import { byId, make } from "./dom.js";
import { clock, percent, plain } from "./axis.js";

const FIRST_SHOWN = 50; // a day of traffic has thousands of events: the list grows when asked

export class EventList {
  #events = [];
  #shown = 0;
  #limit = FIRST_SHOWN;
  #name = "";
  #onEvent;

  /** @param {(index: number) => void} onEvent this event was chosen. */
  constructor(onEvent) {
    this.#onEvent = onEvent;
    byId("more-events").onclick = () => {
      this.#limit = Infinity;
      const first = this.#shown;
      this.#grow();
      byId("event-list").children[first]?.querySelector("button").focus();
    };
    byId("save-csv").onclick = () => save(`${this.#name}.csv`, "text/csv", csv(this.#events));
    byId("save-labels").onclick = () => save(`${this.#name}.txt`, "text/plain", audacity(this.#events));
  }

  clear(name) {
    this.#name = name.replace(/\.[^.]*$/, "") || "timeline";
    this.#events = [];
    this.#shown = 0;
    this.#limit = FIRST_SHOWN;
    byId("event-list").replaceChildren();
    byId("more-events").hidden = true;
    byId("events").hidden = true;
  }

  /** Show `events`: the ones shown before and more after them, unless `anew`. */
  set(events, { anew = false } = {}) {
    if (anew) {
      this.#shown = 0;
      byId("event-list").replaceChildren();
    }
    this.#events = events;
    byId("events").hidden = false;
    byId("event-count").textContent = events.length ? `${events.length}` : "Nothing it knows was heard.";
    byId("save-csv").hidden = byId("save-labels").hidden = !events.length;
    this.#grow();
  }

  select(index) {
    [...byId("event-list").children].forEach((row, i) => row.classList.toggle("selected", i === index));
  }

  #grow() {
    const to = Math.min(this.#events.length, this.#limit);
    const rows = this.#events.slice(this.#shown, to).map((event, i) => this.#row(event, this.#shown + i));
    byId("event-list").append(...rows);
    this.#shown = Math.max(this.#shown, to);
    const more = byId("more-events");
    more.hidden = this.#shown >= this.#events.length;
    more.textContent = `Show all ${this.#events.length}`;
  }

  #row(event, index) {
    const button = make(
      "button",
      {
        type: "button",
        onclick: () => this.#onEvent(index),
        "aria-label":
          `Play ${plain(event.label)}, ${clock(event.onset_s)} to ${clock(event.offset_s)}, ` +
          `${percent(event.confidence)} sure`,
      },
      make("span", { class: "time" }, `${clock(event.onset_s)} – ${clock(event.offset_s)}`),
      make("span", { class: "event-label" }, plain(event.label)),
      make("span", { class: "time muted" }, percent(event.confidence)),
    );
    return make("li", {}, button);
  }
}

function csv(events) {
  const rows = events.map((event) => [event.onset_s, event.offset_s, quoted(event.label), event.confidence].join(","));
  return ["onset_s,offset_s,label,confidence", ...rows, ""].join("\n");
}

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Audacity's label track: start, end and text between tabs. */
const audacity = (events) =>
  events.map((event) => `${event.onset_s}\t${event.offset_s}\t${plain(event.label)}\n`).join("");

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
