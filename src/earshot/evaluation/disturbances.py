"""What happens to a sound between its source and a file: noise, rooms, microphones, gain, telephones and codecs.

Every function takes and gives mono float32 samples, full scale at 1, and is deterministic for its random generator.
They are apart from whatever training does to clips and from what the embedded set is synthesised with.
"""

import io

import av
import numpy as np
import soundfile
import soxr
from scipy import signal

from earshot.hearing.decode import read_mono

TELEPHONE_HZ = 8000


def gain(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Louder or softer, beyond full scale if need be: decibels of a float signal have no ceiling."""
    return (samples * 10 ** (gain_db / 20)).astype(np.float32)


def overdrive(samples: np.ndarray, over_db: float) -> np.ndarray:
    """Raised until the peak is `over_db` above full scale, and clipped there as a converter clips."""
    peak = float(np.abs(samples).max())
    return samples if peak == 0 else np.clip(samples / peak * 10 ** (over_db / 20), -1, 1).astype(np.float32)


def ambience(length: int, rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """`length` samples of a place in which nothing happens, at an RMS of 1.

    Noise whose power falls with frequency (between 1/f and 1/f^2) and swells slowly, over the hum of the mains (50 or
    60 Hz) and its harmonics, 10 to 25 dB below.
    """
    bins = np.fft.rfftfreq(length, 1 / rate_hz)
    shape = np.maximum(bins, 20.0) ** (-random.uniform(1, 2) / 2)
    spectrum = shape * (random.standard_normal(len(bins)) + 1j * random.standard_normal(len(bins)))
    noise = np.fft.irfft(spectrum, length)
    time_s = np.arange(length) / rate_hz
    swell_db = 3 * np.sin(2 * np.pi * random.uniform(0.05, 0.4) * time_s + random.uniform(0, 2 * np.pi))
    noise *= 10 ** (swell_db / 20) / np.sqrt(np.mean(noise**2))
    mains_hz = random.choice([50.0, 60.0])
    hum = sum(np.sin(2 * np.pi * mains_hz * k * time_s + random.uniform(0, 2 * np.pi)) / k**1.5 for k in range(1, 8))
    mixed = noise + hum / np.sqrt(np.mean(hum**2)) * 10 ** (-random.uniform(10, 25) / 20)
    return (mixed / np.sqrt(np.mean(mixed**2))).astype(np.float32)


def noise(length: int, rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """`length` samples of steady noise at an RMS of 1: white, or a band of it."""
    white = random.standard_normal(length)
    if random.uniform() < 0.5:
        low_hz = np.exp(random.uniform(np.log(50), np.log(0.2 * rate_hz)))
        band = signal.butter(2, (low_hz, 2 * low_hz), "bandpass", fs=rate_hz, output="sos")
        white = signal.sosfilt(band, white)
    return (white / np.sqrt(np.mean(white**2))).astype(np.float32)


def tones(length: int, rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """`length` samples of one to three steady sines between 100 Hz and a third of the rate, at an RMS of 1."""
    time_s = np.arange(length) / rate_hz
    chord = np.zeros(length)
    for _ in range(random.integers(1, 4)):
        frequency_hz = np.exp(random.uniform(np.log(100), np.log(rate_hz / 3)))
        chord += np.sin(2 * np.pi * frequency_hz * time_s + random.uniform(0, 2 * np.pi))
    return (chord / np.sqrt(np.mean(chord**2))).astype(np.float32)


def add(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`samples` with `noise` of the same length, so that their powers over its whole length are `snr_db` apart.

    Silence stays silence: there is nothing to measure the noise by.
    """
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    scale = level / np.sqrt(np.mean(np.square(noise, dtype=np.float64))) * 10 ** (-snr_db / 20)
    return (samples + scale * noise).astype(np.float32)


def telephone(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """What a telephone line passes: 300 to 3,400 Hz, sampled at 8 kHz (ITU-T G.712), back at `rate_hz`."""
    narrow = soxr.resample(samples, rate_hz, TELEPHONE_HZ)
    passed = signal.sosfilt(signal.butter(4, (300, 3400), "bandpass", fs=TELEPHONE_HZ, output="sos"), narrow)
    return _fit(soxr.resample(passed.astype(np.float32), TELEPHONE_HZ, rate_hz), len(samples))


def mu_law(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """8 bits at 8 kHz, in the steps of ITU-T G.711's mu-law, by libsndfile; back at `rate_hz`."""
    narrow = np.clip(soxr.resample(samples, rate_hz, TELEPHONE_HZ), -1, 1)
    return _decoded(_written(narrow, TELEPHONE_HZ, "WAV", "ULAW"), rate_hz, len(samples))


def mp3(samples: np.ndarray, rate_hz: int, kbit_per_s: int) -> np.ndarray:
    """MP3 by LAME, of the mono signal at `rate_hz` (one that MP3 knows, such as 22,050 or 44,100)."""
    return _decoded(_encoded(samples, rate_hz, "mp3", "libmp3lame", kbit_per_s), rate_hz, len(samples))


def opus(samples: np.ndarray, rate_hz: int, kbit_per_s: int) -> np.ndarray:
    """Opus by libopus, at 48 kHz as Opus is."""
    wide = soxr.resample(samples, rate_hz, 48_000)
    return _decoded(_encoded(wide, 48_000, "ogg", "libopus", kbit_per_s), rate_hz, len(samples))


def vorbis(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Vorbis at libsndfile's lowest quality."""
    return _decoded(_written(np.clip(samples, -1, 1), rate_hz, "OGG", "VORBIS", 1.0), rate_hz, len(samples))


def microphone(samples: np.ndarray, rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """The response of some cheap microphone: smooth over frequency, within 10 dB of flat."""
    corners_hz = np.array([0, 120, 350, 900, 2200, 5000, rate_hz / 2])
    response_db = np.clip(random.normal(0, 6, len(corners_hz)), -10, 10)
    grid_hz = np.linspace(0, rate_hz / 2, 257)
    smooth_db = np.interp(np.log1p(grid_hz / 100), np.log1p(corners_hz / 100), response_db)
    taps = signal.firwin2(513, grid_hz, 10 ** (smooth_db / 20), fs=rate_hz)
    return signal.fftconvolve(samples, taps, mode="same").astype(np.float32)


def room_response(rate_hz: int, rt60_s: float, direct_db: float, random: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound, 1, and noise that falls by 60 dB in `rt60_s`, `direct_db` weaker in power.

    Diffuse reverberation as in Polack, "La transmission de l'energie sonore dans les salles", 1988.
    """
    time_s = np.arange(round(rt60_s * 1.2 * rate_hz)) / rate_hz
    tail = random.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    tail[: round(0.002 * rate_hz)] = 0  # nothing arrives with the direct sound
    response = tail * 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    response[0] = 1
    return response


def room(samples: np.ndarray, rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """In a room with a reverberation of 0.3 to 0.8 s, from where direct and reverberant sound are alike (+-3 dB)."""
    response = room_response(rate_hz, random.uniform(0.3, 0.8), random.uniform(-3, 3), random)
    return signal.fftconvolve(samples, response)[: len(samples)].astype(np.float32)


def automatic_gain(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """A recorder that keeps its level near -20 dB of full scale: attack 10 ms, release 300 ms, at most 30 dB up."""
    block = max(1, round(0.005 * rate_hz))
    padded = np.pad(samples, (0, -len(samples) % block))
    level = np.sqrt(np.mean(padded.reshape(-1, block) ** 2, axis=1)) + 1e-9
    attack, release = (1 - np.exp(-0.005 / time_s) for time_s in (0.010, 0.300))
    envelope, now = np.empty(len(level)), level[0]
    for i, value in enumerate(level):  # five milliseconds a step
        now += (attack if value > now else release) * (value - now)
        envelope[i] = now
    gain_of_block = np.minimum(0.1 / envelope, 10 ** (30 / 20))
    centres = (np.arange(len(level)) + 0.5) * block
    smooth = np.interp(np.arange(len(samples)), centres, gain_of_block)
    return np.clip(samples * smooth, -1, 1).astype(np.float32)


def placed(samples: np.ndarray, length: int, start: int) -> np.ndarray:
    """`length` samples, zero but for `samples` from `start` on; what does not fit is cut."""
    window = np.zeros(length, np.float32)
    fitting = samples[: max(0, length - start)]
    window[start : start + len(fitting)] = fitting
    return window


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    return placed(samples, length, 0)


def _written(samples: np.ndarray, rate_hz: int, container: str, codec: str, level: float | None = None) -> io.BytesIO:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format=container, subtype=codec, compression_level=level)
    return stream


def _encoded(samples: np.ndarray, rate_hz: int, container: str, codec: str, kbit_per_s: int) -> io.BytesIO:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        track = output.add_stream(codec, rate=rate_hz)
        assert isinstance(track, av.AudioStream)
        track.bit_rate = 1000 * kbit_per_s
        track.layout = "mono"
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for packet in [*track.encode(frame), *track.encode(None)]:
            output.mux(packet)
    return stream


def _decoded(stream: io.BytesIO, rate_hz: int, length: int) -> np.ndarray:
    stream.seek(0)
    return _fit(read_mono(stream, rate_hz), length)
