// What the model is, what it knows, how well, and what it cannot hear.

import { byId, make } from "./dom.js";
import { frequencyText, percent, plain, sizeText } from "./axis.js";

/** The parts of GET /model that the page needs, under its own names. */
export function readModel(document) {
  return {
    classes: document.classes,
    cannotHear: document.cannot_hear,
    recall: document.metrics.test?.recall ?? {},
    accuracy: document.metrics.test?.accuracy,
    dataset: document.lineage.dataset,
    split: document.lineage.split,
    licence: document.licence,
    window_s: document.window.window_s,
    rate_hz: document.window.sample_rate_hz,
    highest_hz: document.window.highest_hz,
    reviewBelow: document.review_threshold,
    unknownBelow: document.unknown_threshold,
    largestClip_bytes: document.limits.clip_max_mb * 1e6,
    largestRecording_bytes: document.limits.recording_max_mb * 1e6,
    name: document.model,
  };
}

export function showModel(model) {
  const { classes, dataset, split } = model;
  byId("model-line").textContent = `${classes.length} sounds, learned from ${dataset.title ?? dataset.name}`;
  const test = split.test_clips_of_known_recordings === 0 ? "recordings it had never heard" : "its test";
  const tested = Object.keys(model.recall).length > 0;
  byId("model-body").replaceChildren(
    make("ul", { class: "cannot" }, ...model.cannotHear.map((text) => make("li", {}, text))),
    make("h3", {}, `It knows ${classes.length} sounds`),
    make("p", { class: "muted note" }, tested ? `The bars show how many of each it recognised in ${test}.` : ""),
    make("ul", { class: "known" }, ...classes.map((label) => known(label, model.recall[label]))),
    make(
      "details",
      {},
      make("summary", {}, "Where it comes from"),
      facts([
        ["Data", dataset.title ?? dataset.name],
        ["Licence of the data", model.licence.data],
        ["Citation", model.licence.citation],
        ["Tested on", split.test ? `${split.test.clips} clips of ${split.test.recordings} recordings` : ""],
        ["Right in the test", model.accuracy === undefined ? "" : percent(model.accuracy)],
        ["Calls unknown", model.unknownBelow ? `sounds known to less than ${percent(model.unknownBelow)}` : ""],
        ["Listens to", `${model.window_s} s at once, up to ${frequencyText(model.highest_hz)}`],
        ["Largest file", sizeText(model.largestRecording_bytes)],
        ["Model", [model.name.architecture, model.name.sha256?.slice(0, 12)].filter(Boolean).join(", ")],
      ]),
      make("p", { class: "muted note" }, model.licence.note ? `Mind that ${model.licence.note}.` : ""),
    ),
  );
  byId("model").hidden = false;
}

function known(label, recall) {
  const row = make("li", {}, make("span", {}, plain(label)));
  if (recall === undefined || recall === null) return row;
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
  bar.firstChild.style.width = percent(recall);
  row.append(bar, make("span", { class: "time muted" }, `${Math.round(recall * 100)}%`));
  return row;
}

function facts(rows) {
  const stated = rows.filter(([, value]) => value);
  return make("dl", {}, ...stated.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
