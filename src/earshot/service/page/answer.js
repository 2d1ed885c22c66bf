// What the model thinks it heard, and how far that can be trusted, in words.

import { byId, make } from "./dom.js";
import { lengthText, percent, plain } from "./axis.js";

export function clearAnswer() {
  byId("answer").hidden = byId("ranks").hidden = true;
}

/** Show the service's answer to /classify; returns it as one sentence, to be spoken. */
export function showAnswer(answer, model) {
  const name = answer.silent ? "Silence" : capital(plain(answer.predicted_class));
  const sure = answer.silent ? "" : percent(answer.confidence);
  byId("headline").replaceChildren(name, make("span", { class: "headline-number" }, sure));
  byId("headline-note").textContent = basis(answer, model);
  const verdict = byId("verdict");
  verdict.textContent = review(answer, model);
  verdict.classList.toggle("flagged", answer.flag_for_review);
  verdict.hidden = false;
  byId("answer").hidden = false;
  showRanks(
    "Probabilities",
    answer.top.map(({ label, probability }) => [label, probability, percent(probability)]),
  );
  byId("ranks").hidden = answer.silent; // they would mean nothing
  const classes = model?.classes.length ?? 0;
  const named = answer.top.length < classes ? `The ${answer.top.length} likeliest of ${classes} classes. ` : "";
  byId("rank-note").textContent =
    `${named}Calibrated: of answers given 80%, about 8 in 10 should be right, on sounds like those it was tested on.`;
  return `${name}${sure && `, ${sure}`}. ${verdict.textContent}`;
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

function review({ flag_for_review, silent }, model) {
  if (silent) return "There is next to nothing in this recording. What the model makes of it means nothing.";
  const threshold = model ? ` ${Math.round(model.reviewBelow * 100)}%` : "";
  return flag_for_review
    ? `Have a person check this: it is less sure than the${threshold} set for this service.`
    : `No review needed: it is at least as sure as the${threshold} set for this service.`;
}

function showRanks(title, rows, { lengths = false } = {}) {
  byId("ranks-title").textContent = title;
  byId("rank-list").classList.toggle("lengths", lengths);
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
