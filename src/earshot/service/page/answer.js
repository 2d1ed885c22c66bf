// What the model thinks it heard, and how far that can be trusted, in words.

import { byId, make } from "./dom.js";
import { lengthText, percent, plain } from "./axis.js";

const CALIBRATED =
  "Calibrated: of answers given 80%, about 8 in 10 should be right, on sounds like those it was tested on.";
const UNKNOWN = "unknown"; // the service's answer to a sound of none of its classes

export function clearAnswer() {
  byId("answer").hidden = byId("ranks").hidden = true;
}

/** Show the service's answer to /classify; returns it as one sentence, to be spoken. */
export function showAnswer(answer, model) {
  const unknown = !answer.silent && answer.predicted_class === UNKNOWN;
  const name = answer.silent ? "Silence" : capital(plain(answer.predicted_class));
  const sure = answer.silent || unknown ? "" : percent(answer.confidence);
  const nearest = unknown ? `most like ${plain(answer.top[0].label)}` : "";
  byId("headline").replaceChildren(name, make("span", { class: "headline-number" }, sure));
  byId("headline-note").textContent = [nearest, basis(answer, model)].filter(Boolean).join("; ");
  const verdict = byId("verdict");
  verdict.textContent = review(answer, unknown, model);
  verdict.classList.toggle("flagged", answer.flag_for_review);
  verdict.hidden = false;
  byId("answer").hidden = false;
  showRanks(
    unknown ? "If it were one of the classes" : "Probabilities",
    answer.top.map(({ label, probability }) => [label, probability, percent(probability)]),
    { winner: !unknown },
  );
  byId("ranks").hidden = answer.silent; // they would mean nothing
  const classes = model?.classes.length ?? 0;
  const named = answer.top.length < classes ? `The ${answer.top.length} likeliest of ${classes} classes. ` : "";
  byId("rank-note").textContent = named + (unknown ? doubt(answer, model) : CALIBRATED);
  return `${[name, sure, nearest].filter(Boolean).join(", ")}. ${verdict.textContent}`;
}

/** Show what a long recording holds, by the time each class was heard; returns it as one sentence. */
export function showTimeline(events, duration_s) {
  const heard = new Map();
  for (const event of events) {
    heard.set(event.label, (heard.get(event.label) ?? 0) + event.offset_s - event.onset_s);
  }
  const ranked = [...heard].sort((a, b) => b[1] - a[1]);
  const count = events.length === 1 ? "1 event" : `${events.length || "No"} events`;
  byId("headline").textContent = count;
  byId("headline-note").textContent = `in ${lengthText(duration_s)}`;
  byId("verdict").hidden = true;
  byId("answer").hidden = false;
  if (ranked.length) {
    const rows = ranked.map(([label, time_s]) => [label, time_s / ranked[0][1], lengthText(time_s)]);
    showRanks("Heard for", rows, { lengths: true });
  }
  byId("rank-note").textContent = "";
  return `${count} in ${lengthText(duration_s)}.`;
}

function basis({ duration_s, windowed }, model) {
  const window_s = model?.window_s;
  if (windowed) return `on average over ${lengthText(duration_s)}; the timeline says when`;
  if (window_s && duration_s < window_s - 0.05) {
    return `from ${lengthText(duration_s)} of sound, less than the ${window_s} s it listens to at once`;
  }
  return `from ${lengthText(duration_s)} of sound`;
}

function doubt({ known }, model) {
  const threshold = model ? `; below ${percent(model.unknownBelow)} the answer is unknown` : "";
  return `How surely it is one of them at all: ${percent(known)}${threshold}.`;
}

function review({ flag_for_review, silent }, unknown, model) {
  if (silent) return "There is next to nothing in this recording. What the model makes of it means nothing.";
  if (unknown) return "Have a person check this: it seems to be none of the sounds that the model knows.";
  const threshold = model ? ` ${Math.round(model.reviewBelow * 100)}%` : "";
  return flag_for_review
    ? `Have a person check this: it is less sure than the${threshold} set for this service.`
    : `No review needed: it is at least as sure as the${threshold} set for this service.`;
}

function showRanks(title, rows, { lengths = false, winner = true } = {}) {
  byId("ranks-title").textContent = title;
  byId("rank-list").classList.toggle("lengths", lengths);
  byId("rank-list").classList.toggle("winner", winner);
  byId("rank-list").replaceChildren(
    ...rows.map(([label, share, text]) => {
      const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
      bar.firstChild.style.width = `${Math.min(100, share * 100)}%`;
      return make(
        "li",
        {},
        make("span", { class: "rank-label" }, plain(label)),
        bar,
        make("span", { class: "time" }, text),
      );
    }),
  );
  byId("ranks").hidden = false;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
