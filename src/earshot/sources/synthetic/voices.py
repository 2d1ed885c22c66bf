"""Voices: a glottal pulse train through formants makes children, dogs and singers alike."""

from collections.abc import Sequence

import numpy as np

from earshot.sources.synthetic.signals import (
    RATE_HZ,
    Signal,
    Windows,
    add_at,
    event_times,
    log_uniform,
    low_pass,
    noise,
    resonate,
    saw,
    swell,
    time_s,
    unit_rms,
    wander,
)

# First three formants of adult vowels in Hz (after Peterson and Barney, 1952); a shorter tract scales them up.
VOWELS_HZ = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))


def voiced(
    rng: np.random.Generator,
    pitch_hz: Signal,
    formants_hz: Sequence[float],
    breath: float,
    rough: float,
    tilt_hz: float,
) -> Signal:
    """A voiced sound: pulses at `pitch_hz` (with jitter and every second pulse weaker by `rough`), breath, formants.

    Args:
        rng: source of randomness.
        pitch_hz: fundamental for each sample.
        formants_hz: centre of each formant.
        breath: share of noise, 0 to 1.
        rough: depth of the subharmonic and of the jitter, 0 (pure) to 1 (a growl).
        tilt_hz: corner of the glottal low-pass; higher is more strained.
    """
    samples = len(pitch_hz)
    pitch_hz = pitch_hz * (1 + 0.08 * rough * wander(rng, samples, 60))
    pulses = low_pass(saw(pitch_hz, rng.uniform()), tilt_hz)
    if rough > 0.05:
        pulses *= 1 + rough * np.sin(np.pi * np.cumsum(pitch_hz) / RATE_HZ)
    source = (1 - breath) * unit_rms(pulses) + breath * rng.standard_normal(samples)
    out = 0.08 * source
    for order, formant_hz in enumerate(formants_hz):
        out = out + (-1) ** order * 0.8**order * resonate(source, formant_hz, 50 + 0.07 * formant_hz)
    return out


def children_playing(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A playground: children near and far who talk, call, scream and laugh, and things that knock."""
    out = np.zeros(samples)
    duration_s = samples / RATE_HZ
    excitement = rng.uniform(0.1, 0.9)
    for _ in range(int(log_uniform(rng, 2, 14))):
        child_hz, tract, gain = log_uniform(rng, 210, 460), rng.uniform(1.1, 1.6), log_uniform(rng, 0.08, 1)
        t = rng.uniform(-1, 3)
        pause_s = log_uniform(rng, 0.4, 5)
        while t < duration_s:
            for piece, step_s in _utterance(rng, child_hz, tract, excitement):
                add_at(out, t, gain * piece)
                t += step_s
            t += pause_s * rng.exponential()
    for start, length in windows:  # nobody stays quiet through a whole slice
        piece = _syllable(rng, log_uniform(rng, 300, 900), 1.3, rng.uniform(0.15, 0.5), 0.3)
        add_at(out, start + rng.uniform(0, 0.7) * length, rng.uniform(0.3, 1) * piece)
    if rng.uniform() < 0.5:  # a ball, or feet
        for t in event_times(rng, samples, [], log_uniform(rng, 0.3, 2)):
            thud = noise(rng, int(0.08 * RATE_HZ), -6, 80, 1500)
            add_at(out, t, rng.uniform(0.05, 0.4) * thud * np.exp(-time_s(len(thud)) / 0.015))
    return out


def _utterance(
    rng: np.random.Generator, child_hz: float, tract: float, excitement: float
) -> list[tuple[Signal, float]]:
    """Syllables and the time from each to the next."""
    kind = rng.choice(["talk", "call", "scream", "laugh"], p=_kinds(excitement))
    if kind == "talk":
        rate = rng.uniform(3, 6)
        notes: Signal = child_hz * np.exp(0.2 * rng.standard_normal(rng.integers(2, 9)))
        return [(0.5 * _syllable(rng, p, tract, rng.uniform(0.5, 0.95) / rate, 0.1), 1 / rate) for p in notes]
    if kind == "laugh":
        rate = rng.uniform(4, 6.5)
        notes = child_hz * rng.uniform(1.2, 2) * 0.95 ** np.arange(rng.integers(3, 10), dtype=np.float64)
        return [(0.6 * _syllable(rng, p, tract, 0.55 / rate, 0.35), 1 / rate) for p in notes]
    if kind == "call":
        lengths = rng.uniform(0.2, 0.9, rng.integers(1, 4))
        return [(_syllable(rng, child_hz * rng.uniform(1.3, 2.2), tract, s, 0.1), s * 1.05) for s in lengths]
    length = rng.uniform(0.3, 1.4)
    return [(1.2 * _syllable(rng, log_uniform(rng, 800, 2400), tract, length, rng.uniform(0, 0.5)), length)]


def _kinds(excitement: float) -> Signal:
    weights = np.array([1.2 - excitement, 0.7, excitement, 0.4])
    return weights / weights.sum()


def _syllable(rng: np.random.Generator, pitch_hz: float, tract: float, length_s: float, rough: float) -> Signal:
    samples = max(int(length_s * RATE_HZ), 400)
    x = np.linspace(0, 1, samples)
    arch = rng.uniform(-0.15, 0.35) * np.sin(np.pi * x ** rng.uniform(0.5, 1.5)) + rng.uniform(-0.2, 0.15) * x
    pitch = pitch_hz * np.exp(arch) * (1 + 0.01 * wander(rng, samples, 12))
    first, second = (VOWELS_HZ[i] for i in rng.integers(len(VOWELS_HZ), size=2))
    breath, tilt = rng.uniform(0.03, 0.3), log_uniform(rng, 600, 4000)
    glide = [tract * (0.5 * a + 0.5 * b) for a, b in zip(first, second, strict=True)]
    begin = voiced(rng, pitch, [tract * f for f in first], breath, rough, tilt)
    end = voiced(rng, pitch, glide, breath, rough, tilt)
    out = unit_rms(begin) * (1 - x) + unit_rms(end) * x
    out *= swell(samples, rng.uniform(0.01, 0.06), rng.uniform(0.03, 0.12))
    if rng.uniform() < 0.4:  # a consonant
        hiss = noise(rng, int(rng.uniform(0.03, 0.1) * RATE_HZ), 0, log_uniform(rng, 1500, 4500), 11_000)
        hiss *= swell(len(hiss), 0.01, 0.02) * rng.uniform(0.05, 0.4)
        out[: len(hiss)] += hiss[: len(out)]
    return out


def dog_bark(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Barks in bouts: pitch up and down within a fifth of a second, formants set by the size of the dog."""
    size = log_uniform(rng, 0.55, 1.8)
    pitch_hz = 420 / size * np.exp(0.25 * rng.standard_normal())
    formants = [f / size**0.7 * np.exp(0.08 * rng.standard_normal()) for f in (750, 1500, 2500, 3800)]
    breath, rough = rng.uniform(0.1, 0.7), rng.uniform(0.0, 0.8)
    length_s = log_uniform(rng, 0.07, 0.32)
    tilt_hz, bend = log_uniform(rng, 500, 3000), rng.uniform(0.1, 0.7)
    bout_gap_s, bark_gap_s = log_uniform(rng, 0.8, 4), log_uniform(rng, 0.15, 0.6)
    most = int(rng.integers(1, 7))
    out = np.zeros(samples)
    for onset in event_times(rng, samples, windows, bout_gap_s):
        t = onset
        for _ in range(rng.integers(1, most + 1)):
            n = max(int(length_s * RATE_HZ * np.exp(0.2 * rng.standard_normal())), 1000)
            x = np.linspace(0, 1, n)
            arch = bend * (np.sin(np.pi * x**0.6) - 0.5 * x) + 0.1 * rng.standard_normal()
            bark = unit_rms(voiced(rng, pitch_hz * np.exp(arch), formants, breath, rough, tilt_hz))
            bark *= np.minimum(x * length_s / 0.012, 1) * np.exp(-x * rng.uniform(1, 4)) * (1 - x) ** 0.5
            add_at(out, t, bark * np.exp(0.2 * rng.standard_normal()))
            t += n / RATE_HZ + bark_gap_s * rng.uniform(0.6, 1.5)
    if rng.uniform() < 0.3:  # growling or whining in between
        whine = rng.uniform() < 0.5
        base = pitch_hz * rng.uniform(1.2, 2.5) if whine else rng.uniform(70, 160)
        pitch = base * np.exp(0.2 * wander(rng, samples, 1.5))
        voice = unit_rms(voiced(rng, pitch, formants, 0.2, 0.1 if whine else 1.0, tilt_hz))
        out += log_uniform(rng, 0.02, 0.2) * voice * np.clip(wander(rng, samples, 1.0), 0, None)
    return out
