// What the browser itself knows of a file: its length, and its samples where drawing them is safe.

/**
 * Longer recordings are not decoded here: decodeAudioData holds every sample in memory (5 minutes of stereo at
 * 22.05 kHz are 53 MB, two hours 1.3 GB, which ends a phone's browser). Their events come from the service alone.
 */
export const LONGEST_DRAWN_S = 300;
const LARGEST_DRAWN_BYTES = 128e6; // the file itself is in memory too while it is decoded
const HEADER_PATIENCE_MS = 4000; // some phones never load what no one has asked to play

/** Seconds of sound in the file as the browser reads it from the header; NaN where it cannot tell. */
export function headerDuration(audio) {
  return new Promise((resolve) => {
    const tell = () => resolve(Number.isFinite(audio.duration) ? audio.duration : NaN);
    if (audio.error) return resolve(NaN);
    if (audio.readyState >= HTMLMediaElement.HAVE_METADATA) return tell();
    const done = new AbortController();
    const once = (answer) => () => (done.abort(), answer());
    setTimeout(
      once(() => resolve(NaN)),
      HEADER_PATIENCE_MS,
    );
    audio.addEventListener("loadedmetadata", once(tell), { signal: done.signal });
    audio.addEventListener(
      "error",
      once(() => resolve(NaN)),
      { signal: done.signal },
    );
  });
}

export const canDraw = (file, duration_s) => duration_s <= LONGEST_DRAWN_S && file.size <= LARGEST_DRAWN_BYTES;

/**
 * One channel of the file's sound at the model's rate, so that the picture ends where the model's hearing does.
 *
 * @returns {Promise<Float32Array | null>} null where this browser cannot decode the file.
 */
export async function decode(file, rate_hz) {
  const context = new OfflineAudioContext(1, 1, rate_hz);
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
  const mono = buffer.getChannelData(0);
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    const other = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += other[i];
  }
  if (buffer.numberOfChannels > 1) for (let i = 0; i < mono.length; i++) mono[i] /= buffer.numberOfChannels;
  return mono;
}
