// Wires the page together: a file comes in, the service is asked, the answer is shown.

import { byId } from "./dom.js";
import { ServiceError, getJson, postFile, setToken } from "./api.js";
import { clock, lengthText, levelText, sizeText } from "./axis.js";
import { clearAnswer, showAnswer, showTimeline } from "./answer.js";
import { EventList } from "./events.js";
import { readModel, showModel } from "./model.js";
import { setUpMicrophone } from "./microphone.js";
import { complain, say, work } from "./notices.js";
import { Player } from "./player.js";
import { Scope } from "./scope.js";
import { LONGEST_DRAWN_S, canDraw, decode, headerDuration } from "./sound.js";

const scope = new Scope(byId("scope"), (time_s) => player.seek(time_s), chooseEvent);
const player = new Player((time_s) => scope.setTime(time_s));
const list = new EventList(chooseEvent);

let model = null;
let events = [];
let chosen = -1; // index of the event that was played last
let job = new AbortController(); // aborted when its file is no longer the one on the page
let retry = null; // what to do again once a token is given

// ---------------------------------------------------------------- one recording

/** Ask the service about `file`, and draw it. */
async function listen(file, { isRecording = false } = {}) {
  job.abort();
  job = new AbortController();
  const { signal } = job;
  retry = () => listen(file, { isRecording });
  reset(file, isRecording);
  try {
    work("Opening");
    player.load(file);
    const header_s = await headerDuration(player.element);
    signal.throwIfAborted();
    if (header_s > 0) setDuration(header_s);
    const drawn = canDraw(file, header_s) ? draw(file, signal) : null;
    let spoken;
    const answer = isLong(file, header_s) ? null : await classify(file, signal);
    if (answer) {
      setDuration(answer.duration_s);
      spoken = showAnswer(answer, model);
      if (!drawn && canDraw(file, answer.duration_s)) draw(file, signal);
    } else if (!drawn) {
      byId("scope-note").textContent =
        "Too long to be drawn here without filling a phone's memory. The service hears all of it.";
    }
    if (!answer || answer.windowed) spoken = await timeline(file, signal, spoken);
    say(spoken);
  } catch (error) {
    if (signal.aborted) return;
    if (!player.possible) byId("sound").hidden = true; // neither the service nor the browser can read it
    complain(error, file.name);
  } finally {
    if (!signal.aborted) byId("work").hidden = true;
  }
}

/** Whether only a timeline makes sense: one answer for hours says little, and sending them twice takes long. */
const isLong = (file, header_s) => header_s > LONGEST_DRAWN_S || file.size > (model?.largestClip_bytes ?? Infinity);

/** The service's one answer to the whole file; null where it is too long for one, which its header did not say. */
async function classify(file, signal) {
  const onUpload = (sent) => work(sent < 1 ? "Sending" : "Listening", sent);
  try {
    return await postFile("classify", file, { signal, onUpload });
  } catch (error) {
    if (error.reason === "too_long") return null;
    throw error;
  }
}

/** Events, shown as they are found; resolves to what to say: `spoken`, or what the events amount to. */
async function timeline(file, signal, spoken) {
  if (file.size > (model?.largestRecording_bytes ?? Infinity)) {
    throw new Error(`The file is larger than the ${sizeText(model.largestRecording_bytes)} this service takes.`);
  }
  let duration_s = NaN; // known once the last line has come
  events = [];
  const show = () => {
    scope.setEvents(events);
    list.set(events);
  };
  const progress = (heard_s) => {
    const known_s = Number(byId("file-note").dataset.duration_s); // NaN where the browser could not tell
    byId("work-text").textContent = `Finding events: ${events.length} so far, heard up to ${clock(heard_s, 0)}`;
    if (known_s > 0) byId("progress").value = Math.min(1, heard_s / known_s);
  };
  const onLine = (line) => {
    if (line.error) throw new ServiceError(200, line.error.reason, line.error.message);
    if (line.duration_s !== undefined) setDuration((duration_s = line.duration_s));
    if (line.heard_s !== undefined) progress(line.heard_s);
    if (line.label === undefined) return;
    events.push(line);
    show();
  };
  const onUpload = (sent) => work(sent < 1 ? "Sending" : "Finding events", sent);
  await postFile("timeline?stream=1", file, { signal, onUpload, onLine });
  const selected = events[chosen]; // events come as they end, and are read as they begin
  events.sort((a, b) => a.onset_s - b.onset_s);
  scope.setEvents(events);
  list.set(events, { anew: true });
  if (selected) mark(events.indexOf(selected));
  if (Number.isNaN(duration_s))
    throw new ServiceError(200, "cut_off", "The service broke off before the recording's end.");
  return spoken ?? showTimeline(events, duration_s);
}

async function draw(file, signal) {
  const rate_hz = model?.rate_hz ?? 22050;
  const samples = await decode(file, rate_hz);
  if (signal.aborted) return;
  if (!samples) {
    byId("scope-note").textContent = "This browser cannot decode this kind of file, so it is not drawn.";
    return;
  }
  setDuration(samples.length / rate_hz);
  if (!samples.every(Number.isFinite)) {
    byId("scope-note").textContent = "It holds samples that are not finite numbers, so it is not drawn.";
    return;
  }
  try {
    const peak = await scope.setSamples(samples, rate_hz, signal);
    byId("scope-note").textContent =
      `Drawn up to ${(rate_hz / 2000).toFixed(1)} kHz, the highest the model hears. Peak ${levelText(peak)}.`;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function setDuration(duration_s) {
  scope.setDuration(duration_s);
  player.setDuration(duration_s);
  byId("file-note").dataset.duration_s = duration_s;
  byId("file-note").textContent = `${lengthText(duration_s)}, ${byId("file-note").dataset.size}`;
}

function chooseEvent(index) {
  mark(index);
  player.playPart(events[index].onset_s, events[index].offset_s);
}

function mark(index) {
  chosen = index;
  scope.select(index);
  list.select(index);
}

function reset(file, isRecording) {
  events = [];
  chosen = -1;
  byId("error").hidden = byId("token-form").hidden = true;
  byId("sound").hidden = false;
  byId("scope-note").textContent = "";
  say(`Listening to ${file.name}.`);
  document.body.classList.add("has-sound");
  byId("file-name").textContent = file.name;
  byId("file-note").dataset.size = sizeText(file.size);
  byId("file-note").dataset.duration_s = "";
  byId("file-note").textContent = sizeText(file.size);
  clearAnswer();
  scope.clear();
  list.clear(file.name);
  const save = byId("save");
  save.hidden = !isRecording;
  if (save.href) URL.revokeObjectURL(save.href);
  save.removeAttribute("href");
  if (isRecording) Object.assign(save, { href: URL.createObjectURL(file), download: file.name });
}

// ---------------------------------------------------------------- token and cancel

byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  setToken(byId("token").value.trim());
  byId("token-form").hidden = byId("error").hidden = true;
  loadModel();
  retry?.();
};

function cancel() {
  job.abort();
  byId("work").hidden = byId("error").hidden = true;
}

byId("cancel").onclick = () => {
  cancel();
  say("Cancelled.");
  byId("choose").focus();
};

// ---------------------------------------------------------------- files

byId("choose").onclick = () => byId("file").click();
byId("file").onchange = () => {
  const [file] = byId("file").files;
  if (file) listen(file);
  byId("file").value = ""; // choosing the same file again must count
};

let depth = 0; // dragenter and dragleave come for every element crossed
addEventListener("dragenter", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  depth++;
  document.body.classList.add("dragging");
});
addEventListener("dragleave", () => {
  if (--depth <= 0) document.body.classList.remove("dragging");
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) listen(file);
});

// ---------------------------------------------------------------- start

async function loadModel() {
  try {
    model = readModel(await getJson("model"));
    showModel(model);
  } catch (error) {
    complain(error);
  }
}

setUpMicrophone(cancel, (file) => listen(file, { isRecording: true }));
loadModel();
