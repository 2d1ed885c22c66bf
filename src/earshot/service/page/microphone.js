// The recording panel: level, time, stop and discard.

import { clock } from "./axis.js";
import { byId } from "./dom.js";
import { complain, say } from "./notices.js";
import { LONGEST_RECORDING_S, startRecording } from "./recorder.js";

/**
 * Make the record button work.
 *
 * @param {() => void} onBegin a recording begins.
 * @param {(file: File) => void} onFile one is complete.
 */
export function setUpMicrophone(onBegin, onFile) {
  let recording = null;

  const begin = async () => {
    const levels = [];
    let frame = 0;
    recording = await startRecording((peak, duration_s) => {
      levels.push(peak);
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        byId("recording-time").textContent = clock(duration_s);
        drawLevel(levels);
      });
      if (duration_s >= LONGEST_RECORDING_S) stop();
    });
    show(true);
    say("Recording.");
    byId("stop").focus();
  };

  const stop = async () => {
    const complete = recording;
    recording = null;
    if (!complete) return;
    show(false);
    onFile(await complete.stop());
  };

  byId("record").onclick = async () => {
    onBegin();
    byId("record").disabled = true; // until the browser has asked for permission
    try {
      await begin();
    } catch (error) {
      complain(error);
    } finally {
      byId("record").disabled = false;
    }
  };
  byId("stop").onclick = stop;
  byId("discard").onclick = () => {
    recording?.discard();
    recording = null;
    show(false);
    say("Discarded.");
  };
}

function show(open) {
  byId("recording").hidden = !open;
  byId("drop").hidden = open;
  if (!open) byId("record").focus();
}

/** The last seconds of the microphone's level, in decibels from -60 to 0, newest at the right. */
function drawLevel(peaks) {
  const canvas = byId("level");
  const scale = devicePixelRatio;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  const blocks = 12; // blocks of 128 samples to one bar
  const bars = Math.floor(width / 4);
  const complete = Math.floor(peaks.length / blocks);
  for (let i = 1; i <= Math.min(bars, complete); i++) {
    const bar = peaks.slice((complete - i) * blocks, (complete - i + 1) * blocks);
    const level = Math.max(0, 1 + (20 * Math.log10(Math.max(...bar, 1e-6))) / 60);
    const tall = Math.max(2, level * height);
    pen.fillRect(width - 4 * i, (height - tall) / 2, 2, tall);
  }
}
