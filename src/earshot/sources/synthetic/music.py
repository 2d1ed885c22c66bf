"""Street music: a few players, a scale, a beat. Strings, reeds, a singer, drums."""

from collections.abc import Callable

import numpy as np

from earshot.sources.synthetic.signals import (
    RATE_HZ,
    Signal,
    Windows,
    add_at,
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
from earshot.sources.synthetic.voices import VOWELS_HZ, voiced

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 9, 10))
PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4), (0, 0, 3, 4), (0, 0, 0, 0), (1, 4, 0, 0))

Player = Callable[[np.random.Generator, float, float], Signal]  # (rng, frequency_hz, length_s) -> note


def street_music(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A melody over chords and, often, a bass and drums; the ensemble is drawn once for the recording."""
    scale, progression = SCALES[rng.integers(len(SCALES))], PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    root_hz = log_uniform(rng, 98, 196)
    beat_s = 60 / rng.uniform(66, 168)
    players = [_plucked(rng), _reeds(rng), _bowed(rng), _singer(rng)]
    melody = players[rng.choice(4, p=[0.3, 0.3, 0.2, 0.2])]
    chords = players[rng.choice(2)] if rng.uniform() < 0.7 else None
    out = np.zeros(samples)
    beats = int(samples / RATE_HZ / beat_s) + 1
    _play_melody(rng, out, melody, scale, root_hz, beat_s, beats)
    if chords is not None:
        strum = bool(rng.uniform() < 0.6)
        gain = log_uniform(rng, 0.2, 0.8)
        for bar in range(beats // 4 + 1):
            degree = progression[bar % 4]
            notes = [_pitch(root_hz, scale, degree + step) for step in (0, 2, 4)]
            for beat in range(4 if strum else 1):
                length = beat_s * (1.1 if strum else 4.0)
                for k, frequency_hz in enumerate(notes):
                    add_at(out, (4 * bar + beat) * beat_s + 0.012 * k, gain * chords(rng, frequency_hz, length))
    if rng.uniform() < 0.5:
        gain = log_uniform(rng, 0.3, 1)
        for beat in range(0, beats, int(rng.choice([1, 2]))):
            frequency_hz = _pitch(root_hz / 2, scale, progression[(beat // 4) % 4])
            t = time_s(int(beat_s * 0.9 * RATE_HZ))
            note = low_pass(saw(np.full(len(t), frequency_hz)), 300) * np.exp(-t / 0.4)
            add_at(out, beat * beat_s, gain * unit_rms(note) * swell(len(t), 0.005, 0.03))
    out = unit_rms(out)
    if rng.uniform() < 0.6:
        out += log_uniform(rng, 0.2, 1.5) * unit_rms(_drums(rng, samples, beat_s, beats))
    return out


def _pitch(root_hz: float, scale: tuple[int, ...], degree: int) -> float:
    octave, step = divmod(degree, len(scale))
    return root_hz * 2 ** (octave + scale[step] / 12)


def _play_melody(
    rng: np.random.Generator,
    out: Signal,
    player: Player,
    scale: tuple[int, ...],
    root_hz: float,
    beat_s: float,
    beats: int,
) -> None:
    octave = int(rng.integers(1, 3))
    degree, t = 0, 0.0
    lengths = np.array([0.5, 1.0, 1.5, 2.0, 0.25])
    weights = rng.dirichlet([4, 4, 1, 2, 1])
    rest = rng.uniform(0, 0.15)
    while t < beats * beat_s:
        length = float(rng.choice(lengths, p=weights)) * beat_s
        degree = int(np.clip(degree + rng.integers(-3, 4), -3, 9))
        if rng.uniform() > rest:
            note = player(rng, _pitch(root_hz * octave, scale, degree), length)
            add_at(out, t + 0.01 * rng.standard_normal(), note * np.exp(0.15 * rng.standard_normal()))
        t += length


def _plucked(rng: np.random.Generator) -> Player:
    decay_s, pluck = log_uniform(rng, 0.15, 1.2), rng.uniform(0.08, 0.45)
    stiffness = log_uniform(rng, 1e-5, 8e-4)

    def play(rng: np.random.Generator, frequency_hz: float, length_s: float) -> Signal:
        t = time_s(int(min(length_s + 0.3, 3 * decay_s) * RATE_HZ))
        out = np.zeros(len(t))
        for k in range(1, min(14, int(9000 / frequency_hz)) + 1):
            partial_hz = k * frequency_hz * np.sqrt(1 + stiffness * k * k)
            out += np.sin(np.pi * k * pluck) / k * np.exp(-t * k**0.7 / decay_s) * np.sin(2 * np.pi * partial_hz * t)
        return 2 * out * swell(len(t), 0.003, 0.05)

    return play


def _reeds(rng: np.random.Generator) -> Player:
    """Accordion, organ, brass: sawtooths, often two slightly apart, under a soft low-pass."""
    detune, bright, attack_s = rng.uniform(0, 0.012), log_uniform(rng, 700, 4500), rng.uniform(0.01, 0.08)

    def play(rng: np.random.Generator, frequency_hz: float, length_s: float) -> Signal:
        n = int(length_s * RATE_HZ)
        out = saw(np.full(n, frequency_hz), rng.uniform()) + saw(np.full(n, frequency_hz * (1 + detune)), rng.uniform())
        return low_pass(low_pass(out, bright), 2 * bright) * swell(n, attack_s, 0.05)

    return play


def _bowed(rng: np.random.Generator) -> Player:
    """Violin, saxophone: one sawtooth with vibrato, through a body."""
    rate_hz, depth = rng.uniform(4.5, 7), rng.uniform(0.002, 0.015)
    body = [(log_uniform(rng, 300, 4000), rng.uniform(0.5, 2)) for _ in range(5)]
    breath = log_uniform(rng, 0.005, 0.08)

    def play(rng: np.random.Generator, frequency_hz: float, length_s: float) -> Signal:
        n = max(int(length_s * RATE_HZ), 500)
        t = time_s(n)
        vibrato = 1 + depth * np.minimum(t / 0.3, 1) * np.sin(2 * np.pi * rate_hz * t + rng.uniform(0, 6))
        wave = saw(frequency_hz * vibrato, rng.uniform()) + breath * rng.standard_normal(n)
        out = 0.3 * wave
        for centre_hz, gain in body:
            out = out + gain * resonate(wave, centre_hz, 0.15 * centre_hz)
        return unit_rms(out) * swell(n, rng.uniform(0.02, 0.08), 0.06)

    return play


def _singer(rng: np.random.Generator) -> Player:
    tract, depth, tilt = rng.uniform(0.95, 1.3), rng.uniform(0.003, 0.02), log_uniform(rng, 400, 2500)

    def play(rng: np.random.Generator, frequency_hz: float, length_s: float) -> Signal:
        n = max(int(length_s * RATE_HZ), 500)
        t = time_s(n)
        curve = 1 + depth * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t) + 0.01 * wander(rng, n, 8)
        curve *= 1 - rng.uniform(0, 0.08) * np.exp(-t / 0.05)  # scoops into the note
        vowel = [tract * f for f in VOWELS_HZ[rng.integers(len(VOWELS_HZ))]]
        return unit_rms(voiced(rng, frequency_hz * curve, vowel, 0.05, 0.05, tilt)) * swell(n, 0.04, 0.08)

    return play


def _drums(rng: np.random.Generator, samples: int, beat_s: float, beats: int) -> Signal:
    """Kick, snare and hat on a grid of half beats, or hand drums; one pattern a recording."""
    out = np.zeros(samples)
    t = time_s(int(0.3 * RATE_HZ))
    sweep = 2 * np.pi * np.cumsum(rng.uniform(45, 75) * (1 + 2 * np.exp(-t / 0.03))) / RATE_HZ
    kick = np.sin(sweep) * np.exp(-t / rng.uniform(0.05, 0.15))
    snare = 0.6 * noise(rng, len(t), 0, 400, 9000) * np.exp(-t / rng.uniform(0.03, 0.1))
    snare = snare + 0.5 * np.sin(2 * np.pi * rng.uniform(160, 420) * t) * np.exp(-t / 0.06)
    hat = 0.3 * noise(rng, len(t), 3, 5000, 16_000) * np.exp(-t / log_uniform(rng, 0.015, 0.08))
    chance = {"kick": rng.uniform(0.2, 0.9, 8), "snare": rng.uniform(0, 0.7, 8), "hat": rng.uniform(0, 1, 8)}
    pattern = {name: rng.uniform(size=8) < p for name, p in chance.items()}
    for half in range(2 * beats):
        for name, piece in (("kick", kick), ("snare", snare), ("hat", hat)):
            if pattern[name][half % 8]:
                add_at(out, half * beat_s / 2 + 0.004 * rng.standard_normal(), piece * rng.uniform(0.7, 1.1))
    return out + 1e-9 * rng.standard_normal(samples)  # a pattern may be empty
