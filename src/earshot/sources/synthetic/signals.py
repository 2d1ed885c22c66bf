"""Small signal-processing blocks that the synthesisers share. One rate throughout: 44.1 kHz, mono, float64."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfftfreq
from scipy.signal import lfilter, oaconvolve

RATE_HZ = 44_100
SPEED_OF_SOUND_M_S = 343.0

Signal = NDArray[np.float64]
Windows = Sequence[tuple[float, float]]  # (start_s, duration_s) of the slices that will be cut from a recording


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A draw whose logarithm is uniform: frequencies, rates and distances spread this way."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def time_s(samples: int) -> Signal:
    """Time of each sample, in seconds."""
    return np.arange(samples) / RATE_HZ


def unit_rms(signal: Signal) -> Signal:
    """The signal scaled to a root mean square of 1 (silence stays silence)."""
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-12)


def noise(
    rng: np.random.Generator, samples: int, slope_db: float = 0.0, low_hz: float = 20.0, high_hz: float = 20_000.0
) -> Signal:
    """Gaussian noise of unit RMS: `slope_db` per octave between soft band edges (second order, both sides)."""
    length = next_fast_len(samples, real=True)
    spectrum = rng.standard_normal(length // 2 * 2 + 2).view(complex)[: length // 2 + 1]
    frequency = np.maximum(rfftfreq(length, 1 / RATE_HZ), 1.0)
    shape = (frequency / 1000.0) ** (slope_db / 6.02)
    shape /= np.sqrt((1 + (low_hz / frequency) ** 4) * (1 + (frequency / high_hz) ** 4))
    return unit_rms(irfft(spectrum * shape, length)[:samples])


def wander(rng: np.random.Generator, samples: int, rate_hz: float) -> Signal:
    """A slow random curve, about unit deviation, with `rate_hz` independent values a second, joined smoothly."""
    count = max(int(np.ceil(samples / RATE_HZ * rate_hz)) + 3, 4)
    knots = np.arange(count * 8) / 8  # eight points a step follow the raised cosine closely enough
    index = np.minimum(knots.astype(int), count - 2)
    blend = 0.5 - 0.5 * np.cos(np.pi * (knots - index))
    values = rng.standard_normal(count)
    curve = values[index] * (1 - blend) + values[index + 1] * blend
    return np.interp(np.arange(samples) * (rate_hz / RATE_HZ) + rng.uniform(), knots, curve)


def resonate(signal: Signal, frequency_hz: float, bandwidth_hz: float) -> Signal:
    """Two-pole resonator with a peak gain of about 1."""
    frequency_hz = min(frequency_hz, 0.45 * RATE_HZ)
    radius = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    angle = 2 * np.pi * frequency_hz / RATE_HZ
    gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius**2)
    return lfilter([gain], [1.0, -2 * radius * np.cos(angle), radius**2], signal)


def low_pass(signal: Signal, cutoff_hz: float) -> Signal:
    """One-pole low-pass, 6 dB an octave."""
    pole = np.exp(-2 * np.pi * min(cutoff_hz, 0.49 * RATE_HZ) / RATE_HZ)
    return lfilter([1 - pole], [1.0, -pole], signal)


def high_pass(signal: Signal, cutoff_hz: float) -> Signal:
    """One-pole high-pass, 6 dB an octave."""
    return signal - low_pass(signal, cutoff_hz)


def saw(frequency_hz: Signal, phase: float = 0.0) -> Signal:
    """Sawtooth that follows a frequency curve, its jump rounded over two samples (PolyBLEP) against aliasing."""
    step = frequency_hz / RATE_HZ
    position = (phase + np.cumsum(step)) % 1.0
    wave = 2 * position - 1
    after = position < step
    before = position > 1 - step
    wave[after] += (1 - position[after] / step[after]) ** 2
    wave[before] -= (1 + (position[before] - 1) / step[before]) ** 2
    return wave


def impulses(samples: int, times_s: Signal, amplitudes: Signal) -> Signal:
    """Impulses at fractional sample positions, each shared between its two neighbours."""
    out = np.zeros(samples + 1)
    position = np.asarray(times_s) * RATE_HZ
    inside = (position >= 0) & (position < samples - 1)
    position, amplitudes = position[inside], np.asarray(amplitudes)[inside]
    index = position.astype(int)
    part = position - index
    np.add.at(out, index, amplitudes * (1 - part))
    np.add.at(out, index + 1, amplitudes * part)
    return out[:samples]


def strike(rng: np.random.Generator, modes: Sequence[tuple[float, float, float]], length_s: float) -> Signal:
    """What a struck body rings like: decaying sines (frequency_hz, decay_s to 1/e, gain) in random phase."""
    t = time_s(int(length_s * RATE_HZ))
    out = np.zeros_like(t)
    for frequency_hz, decay_s, gain in modes:
        out += gain * np.exp(-t / decay_s) * np.sin(2 * np.pi * frequency_hz * t + rng.uniform(0, 2 * np.pi))
    return out


def convolve(signal: Signal, kernel: Signal) -> Signal:
    """The signal through a finite impulse response, cut to the signal's own length."""
    return oaconvolve(signal, kernel)[: len(signal)]


def add_at(out: Signal, start_s: float, piece: Signal) -> None:
    """Add `piece` into `out` from `start_s` on; what lies outside is dropped."""
    first = int(start_s * RATE_HZ)
    skip = max(-first, 0)
    piece = piece[skip : max(len(out) - first, 0)]
    out[first + skip : first + skip + len(piece)] += piece


def swell(samples: int, attack_s: float, release_s: float) -> Signal:
    """Envelope: raised-cosine attack, flat, raised-cosine release."""
    out = np.ones(samples)
    for length, part in ((attack_s, slice(None)), (release_s, slice(None, None, -1))):
        edge = min(int(length * RATE_HZ), samples // 2)
        if edge:
            out[part][:edge] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / edge)
    return out


def event_times(rng: np.random.Generator, samples: int, windows: Windows, gap_s: float) -> list[float]:
    """Onsets of a sound that comes and goes: random gaps around `gap_s`, and at least one early in every window."""
    times: list[float] = []
    t = rng.uniform(0, gap_s)
    while t < samples / RATE_HZ:
        times.append(t)
        t += gap_s * (0.3 + rng.exponential(0.7))
    for start, duration in windows:
        if not any(start <= t <= start + 0.6 * duration for t in times):
            times.append(start + rng.uniform(0.0, 0.15) * duration)
    return sorted(times)


def activity(
    rng: np.random.Generator, samples: int, windows: Windows, on_s: float, off_s: float, edge_s: float
) -> Signal:
    """Envelope of a tool that is worked in bursts: on and off in turn, and on for most of every window."""
    gate = np.zeros(samples)
    t = -rng.uniform(0, on_s)
    while t < samples / RATE_HZ:
        length = on_s * rng.uniform(0.4, 1.6)
        gate[max(int(t * RATE_HZ), 0) : max(int((t + length) * RATE_HZ), 0)] = 1
        t += length + off_s * (0.2 + rng.exponential(0.8))
    for start, duration in windows:
        first, last = start + rng.uniform(0, 0.15) * duration, start + rng.uniform(0.7, 1.0) * duration
        gate[int(first * RATE_HZ) : int(last * RATE_HZ)] = 1
    return low_pass(gate, 1 / (2 * np.pi * edge_s))


def drive_by(rng: np.random.Generator, samples: int) -> tuple[Signal, Signal]:
    """A source that passes on a straight road: Doppler factor and gain (1 at its mean level) for each sample."""
    speed, closest = rng.uniform(0, 22), log_uniform(rng, 6, 80)
    along = speed * (time_s(samples) - rng.uniform(-0.3, 1.3) * samples / RATE_HZ)
    distance = np.hypot(along, closest)
    factor = 1 / (1 + speed * along / distance / SPEED_OF_SOUND_M_S)
    gain = 1 / distance
    return factor, gain / gain.mean()
