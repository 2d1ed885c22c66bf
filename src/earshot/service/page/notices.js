// What the page says while it works and when it cannot.

import { hasToken } from "./api.js";
import { percent } from "./axis.js";
import { byId } from "./dom.js";

/** Show what is going on; `sent` below 1 is the fraction of the file that has left. */
export function work(text, sent = 1) {
  byId("work").hidden = false;
  byId("work-text").textContent = sent < 1 ? `${text} ${percent(sent)}` : `${text} …`;
  const bar = byId("progress");
  if (sent < 1) bar.value = sent;
  else bar.removeAttribute("value");
}

/** For screen readers: what has just happened. */
export const say = (text) => (byId("status").textContent = text);

/** Show why there is no answer: the service's words, and the file they are about. */
export function complain(error, name = "") {
  if (error.status === 401) {
    byId("token-form").hidden = false;
    byId("token").focus();
    if (!hasToken()) return;
  }
  const notice = byId("error");
  notice.textContent = name ? `${name}: ${error.message}` : error.message;
  notice.hidden = false;
}
