// What the model is, what it knows and what it cannot hear.

import { byId, make } from "./dom.js";
import { percent, plain } from "./axis.js";

/** The parts of GET /model that the page needs, under its own names. */
export function readModel(document) {
  return {
    classes: document.classes,
    cannotHear: document.cannot_hear,
    window_s: document.window?.window_s ?? document.window?.duration_s,
    rate_hz: document.window?.sample_rate_hz ?? 22050,
    review_below: document.review_threshold,
    document,
  };
}

export function showModel(model) {
  byId("model-line").textContent = `knows ${model.classes.length} sounds`;
  const cannot = [].concat(model.cannotHear ?? []);
  byId("model-body").replaceChildren(
    make("h3", {}, "Knows"),
    make("ul", { class: "chips" }, ...model.classes.map((label) => make("li", {}, plain(label)))),
    make("h3", {}, "Cannot hear"),
    ...cannot.map((text) => make("p", {}, plain(String(text)))),
  );
  byId("model").hidden = false;
}
