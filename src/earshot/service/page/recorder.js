// The microphone, recorded as 16-bit WAV.
//
// Not MediaRecorder: its Opus changes what the model was trained to hear, and its WebM states no length, so that it
// cannot be played from the middle. The price is 96 kB per second, hence the limit.

export const LONGEST_RECORDING_S = 300;

/**
 * Ask for the microphone and start.
 *
 * Echo cancellation, noise suppression and gain control are off: they are made to remove every sound but speech.
 *
 * @param {(peak: number, duration_s: number) => void} onBlock called about every 3 ms with the block's peak, 0 to 1.
 * @returns {Promise<{stop: () => Promise<File>, discard: () => void}>}
 */
export async function startRecording(onBlock) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("This browser gives no microphone here. It asks for https, or for localhost.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    throw new Error(
      error.name === "NotAllowedError"
        ? "The browser was not allowed to use the microphone. Allow it for this page and try again."
        : `No microphone could be opened: ${error.message}`,
    );
  }
  const context = new AudioContext();
  const blocks = [];
  let samples = 0;
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    return context.state === "closed" ? undefined : context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL("pcm-worklet.js", import.meta.url));
    await context.resume();
    const source = context.createMediaStreamSource(stream);
    const tap = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      blocks.push(data);
      samples += data.length;
      onBlock(
        data.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0),
        samples / context.sampleRate,
      );
    };
    source.connect(tap);
  } catch (error) {
    release();
    throw error;
  }
  return {
    discard: release,
    stop: async () => {
      await release();
      const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      return new File([wav(blocks, samples, context.sampleRate)], `recording-${stamp}.wav`, { type: "audio/wav" });
    },
  };
}

/** Blocks of samples in [-1, 1] as a one-channel 16-bit WAV file. */
function wav(blocks, samples, rate_hz) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const ascii = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // length of the format block
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate_hz, true);
  view.setUint32(28, 2 * rate_hz, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits a sample
  ascii(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = 44;
  for (const block of blocks) {
    for (const value of block) {
      view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true);
      at += 2;
    }
  }
  return view.buffer;
}
