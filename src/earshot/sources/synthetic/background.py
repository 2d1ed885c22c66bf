"""Sounds that belong to none of the embedded set's classes, and places in which nothing happens.

A network trained on its own classes alone takes every sound for one of them. These are examples of what else there is.
"""

from collections.abc import Callable

import numpy as np

from earshot.sources.synthetic.signals import (
    RATE_HZ,
    Signal,
    Windows,
    add_at,
    convolve,
    drive_by,
    event_times,
    high_pass,
    impulses,
    log_uniform,
    low_pass,
    noise,
    resonate,
    saw,
    strike,
    swell,
    time_s,
    unit_rms,
    wander,
)
from earshot.sources.synthetic.voices import VOWELS_HZ, voiced


def nothing(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """No source: what is heard is the place and the microphone."""
    return np.zeros(samples)


def steady_noise(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Noise of any colour and band, steady or swelling: wind, rain, surf, a detuned receiver."""
    low_hz = log_uniform(rng, 20, 3000)
    out = noise(rng, samples, rng.uniform(-9, 4), low_hz, log_uniform(rng, 2 * low_hz, 18_000))
    return out * np.exp(rng.uniform(0, 1.2) * wander(rng, samples, log_uniform(rng, 0.2, 6)))


def tones(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """One to four steady tones: hum, feedback, a test signal."""
    out = np.zeros(samples)
    for _ in range(rng.integers(1, 5)):
        frequency = log_uniform(rng, 50, 8000) * (1 + rng.choice([0.0, 0.01]) * wander(rng, samples, 2))
        out += log_uniform(rng, 0.1, 1) * np.sin(2 * np.pi * np.cumsum(frequency) / RATE_HZ)
    return out


def beeps(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Telephones, alarm clocks, lorries that reverse: short tones in a pattern."""
    pitches = [log_uniform(rng, 400, 4500) for _ in range(rng.integers(1, 4))]
    length_s, harmonics = log_uniform(rng, 0.04, 0.6), int(rng.integers(1, 5))
    t = time_s(int(length_s * RATE_HZ))
    out = np.zeros(samples)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.8, 4)):
        for k in range(rng.integers(1, 6)):
            pitch = pitches[k % len(pitches)]
            beep = sum((np.sin(2 * np.pi * pitch * h * t) / h**2 for h in range(1, harmonics + 1)), np.zeros(len(t)))
            add_at(out, onset + 1.5 * k * length_s, beep * swell(len(t), 0.005, 0.01))
    return out


def whistles(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Whistling, squeaking brakes and doors: a tone that glides, with breath."""
    out = np.zeros(samples)
    centre_hz = log_uniform(rng, 600, 5000)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.5, 4)):
        n = int(log_uniform(rng, 0.1, 1.2) * RATE_HZ)
        pitch = centre_hz * np.exp(0.25 * wander(rng, n, log_uniform(rng, 1, 10)))
        tone = np.sin(2 * np.pi * np.cumsum(pitch) / RATE_HZ) + rng.uniform(0, 0.4) * rng.standard_normal(n)
        add_at(out, onset, resonate(tone, centre_hz, centre_hz) * swell(n, 0.03, 0.06))
    return out


def birds(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Songs of short notes that sweep."""
    out = np.zeros(samples)
    song_hz = log_uniform(rng, 1800, 7000)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.5, 4)):
        bend, note_s = rng.uniform(-0.6, 0.6), log_uniform(rng, 0.03, 0.25)
        for k in range(rng.integers(1, 10)):
            n = int(note_s * rng.uniform(0.7, 1.3) * RATE_HZ)
            pitch = song_hz * np.exp(rng.uniform(-0.2, 0.2) + np.linspace(0, bend, n))
            note = np.sin(2 * np.pi * np.cumsum(pitch) / RATE_HZ)
            add_at(out, onset + 1.4 * k * note_s, note * swell(n, 0.3 * note_s, 0.4 * note_s))
    return out


def insects(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Crickets and cicadas: a high carrier in pulses, in chirps."""
    carrier_hz, pulse_hz, chirp_hz = log_uniform(rng, 2500, 8000), log_uniform(rng, 15, 150), log_uniform(rng, 0.5, 5)
    t = time_s(samples)
    pulses = np.clip(np.sin(2 * np.pi * pulse_hz * t), 0, None)
    chirps: Signal = (np.sin(2 * np.pi * chirp_hz * t + rng.uniform(0, 6)) > 0).astype(np.float64)
    if rng.uniform() < 0.3:
        chirps = np.ones(samples)
    return resonate(rng.standard_normal(samples), carrier_hz, 0.03 * carrier_hz) * pulses * low_pass(chirps, 40)


def water(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Drops and running water: each bubble a sine that rises and dies (Minnaert resonance)."""
    out = np.zeros(samples)
    rate_hz = log_uniform(rng, 3, 300)
    for onset in rng.uniform(0, samples / RATE_HZ, int(rate_hz * samples / RATE_HZ)):
        pitch_hz, decay_s = log_uniform(rng, 400, 5000), log_uniform(rng, 0.004, 0.03)
        t = time_s(int(5 * decay_s * RATE_HZ))
        bubble = np.exp(-t / decay_s) * np.sin(2 * np.pi * pitch_hz * (1 + 0.1 * t / decay_s) * t)
        add_at(out, onset, log_uniform(rng, 0.1, 1) * bubble)
    return unit_rms(out) + rng.uniform(0, 0.5) * noise(rng, samples, -2, 300, 8000)


def knocks(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Steps, knocks at a door, a hammer in a hand: blows on wood, stone or sheet metal, by hand."""
    period_s, series = log_uniform(rng, 0.2, 0.9), int(rng.integers(1, 8))
    modes = [
        (log_uniform(rng, 70, 3000), log_uniform(rng, 0.004, 0.06), log_uniform(rng, 0.2, 1))
        for _ in range(rng.integers(2, 8))
    ]
    times = [
        onset + (k + 0.1 * rng.standard_normal()) * period_s
        for onset in event_times(rng, samples, windows, series * period_s + log_uniform(rng, 0.3, 2))
        for k in range(series)
    ]
    blows = impulses(samples, np.array(times), np.exp(0.3 * rng.standard_normal(len(times))))
    return convolve(blows, strike(rng, modes, 0.4)) + 0.1 * convolve(blows, strike(rng, [(1500, 0.002, 1)], 0.02))


def ringing(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Bells, dishes, a dropped pan: struck metal and glass that ring long, in partials of no harmonic series."""
    base_hz, decay_s = log_uniform(rng, 180, 3500), log_uniform(rng, 0.1, 2.5)
    ratios = np.sort(rng.uniform(1, 8, rng.integers(3, 10)))
    modes = [(base_hz * ratio, decay_s / ratio**0.7, log_uniform(rng, 0.2, 1)) for ratio in ratios]
    bell = strike(rng, [mode for mode in modes if mode[0] < 18_000] or modes[:1], min(4 * decay_s, 4))
    out = np.zeros(samples)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.4, 4)):
        add_at(out, onset, bell * np.exp(0.4 * rng.standard_normal()))
    return out


def clatter(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Typing, cutlery, breaking glass, things that fall: many small blows, close together, on bodies of many sizes."""
    kinds = []
    for _ in range(rng.integers(2, 7)):
        modes = [
            (log_uniform(rng, 600, 9000), log_uniform(rng, 0.001, 0.05), log_uniform(rng, 0.1, 1)) for _ in range(5)
        ]
        kinds.append(strike(rng, modes, 0.15))
    out = np.zeros(samples)
    crowd, spread_s = int(log_uniform(rng, 2, 40)), log_uniform(rng, 0.05, 1.5)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.3, 3)):
        for _ in range(crowd):
            piece = kinds[int(rng.integers(len(kinds)))]
            add_at(out, onset + spread_s * rng.exponential(0.4), piece * np.exp(0.7 * rng.standard_normal()))
    return out


def clapping(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """One pair of hands to a hall of them."""
    out = np.zeros(samples)
    for _ in range(int(log_uniform(rng, 1, 30))):
        rate_hz, centre_hz = rng.uniform(2, 5), log_uniform(rng, 700, 2500)
        times = np.arange(rng.uniform(0, 1), samples / RATE_HZ, 1 / rate_hz)
        times = times + 0.03 * rng.standard_normal(len(times))
        clap = resonate(rng.standard_normal(int(0.02 * RATE_HZ)), centre_hz, 0.6 * centre_hz)
        clap *= np.exp(-time_s(len(clap)) / 0.004)
        out += log_uniform(rng, 0.2, 1) * convolve(impulses(samples, times, np.ones(len(times))), clap)
    return out


def speech(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Adults who talk, near or far, one to four of them."""
    out = np.zeros(samples)
    for _ in range(rng.integers(1, 5)):
        pitch_hz, tract, gain = log_uniform(rng, 80, 230), rng.uniform(0.85, 1.1), log_uniform(rng, 0.2, 1)
        t = rng.uniform(-1, 1)
        while t < samples / RATE_HZ:
            for _ in range(rng.integers(3, 15)):
                n = int(rng.uniform(0.08, 0.3) * RATE_HZ)
                vowel = [tract * f for f in VOWELS_HZ[int(rng.integers(len(VOWELS_HZ)))]]
                pitch = pitch_hz * np.exp(0.12 * rng.standard_normal() + np.linspace(0.05, -0.08, n))
                syllable = unit_rms(voiced(rng, pitch, vowel, 0.1, 0.05, log_uniform(rng, 500, 1500)))
                add_at(out, t, gain * syllable * swell(n, 0.03, 0.05))
                if rng.uniform() < 0.5:
                    hiss = noise(rng, int(0.08 * RATE_HZ), 0, log_uniform(rng, 1500, 5000), 11_000)
                    add_at(out, t - 0.05, 0.3 * gain * hiss * swell(len(hiss), 0.02, 0.02))
                t += n / RATE_HZ + rng.uniform(0, 0.08)
            t += rng.exponential(1.0)
    return out


def cries(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Cats, crows, sheep, cows, frogs: voices of animals that do not bark."""
    pitch_hz, rough, length_s = log_uniform(rng, 90, 1500), rng.uniform(0, 1), log_uniform(rng, 0.25, 1.6)
    formants = [log_uniform(rng, 400, 1200), log_uniform(rng, 1200, 2500), log_uniform(rng, 2500, 5000)]
    arch, tremor_hz = rng.uniform(-0.4, 0.6), log_uniform(rng, 4, 30)
    tremor = rng.uniform(0, 0.3)
    out = np.zeros(samples)
    for onset in event_times(rng, samples, windows, length_s + log_uniform(rng, 0.3, 3)):
        n = int(length_s * rng.uniform(0.7, 1.3) * RATE_HZ)
        x = np.linspace(0, 1, n)
        trembling = tremor * np.sin(2 * np.pi * tremor_hz * x * length_s)
        pitch = pitch_hz * np.exp(arch * np.sin(np.pi * x)) * (1 + 0.1 * trembling)
        cry = unit_rms(voiced(rng, pitch, formants, rng.uniform(0.02, 0.4), rough, log_uniform(rng, 500, 3000)))
        add_at(out, onset, cry * (1 + trembling) * swell(n, 0.06, 0.2))
    return out


def rasping(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A hand saw, sandpaper, a broom: strokes of friction, to and fro."""
    stroke_hz = log_uniform(rng, 0.7, 4)
    phase = 2 * np.pi * np.cumsum(stroke_hz * np.exp(0.1 * wander(rng, samples, 1))) / RATE_HZ
    strength = np.abs(np.sin(phase)) ** rng.uniform(0.5, 2) * np.where(np.sin(phase) > 0, 1, rng.uniform(0.1, 1))
    centre_hz = log_uniform(rng, 600, 5000)
    rasp = resonate(rng.standard_normal(samples), centre_hz, log_uniform(rng, 0.2, 1) * centre_hz)
    teeth = 1 + rng.uniform(0, 0.8) * np.sin(40 * phase)
    return unit_rms(rasp) * strength * teeth


def passing(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A car, a train or an aeroplane that passes: roar and tyres, no engine that idles."""
    factor, gain = drive_by(rng, samples)
    roar = noise(rng, samples, rng.uniform(-7, -1), 50, log_uniform(rng, 600, 6000))
    hum = saw(log_uniform(rng, 60, 250) * factor, rng.uniform())
    out = unit_rms(roar) + log_uniform(rng, 0.02, 0.5) * unit_rms(low_pass(hum, 800))
    if rng.uniform() < 0.3:  # rails
        times = np.arange(0, samples / RATE_HZ, log_uniform(rng, 0.3, 1.2))
        joints = impulses(samples, np.concatenate([times, times + 0.12]), np.ones(2 * len(times)))
        out += rng.uniform(1, 4) * unit_rms(convolve(joints, noise(rng, 4000, -3) * np.exp(-time_s(4000) / 0.02)))
    return out * gain**2


def thunder(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Thunder, surf, fireworks far away, a door that slams: rumbling with a long tail."""
    out = np.zeros(samples)
    tail_s, top_hz = log_uniform(rng, 0.3, 3), log_uniform(rng, 120, 1200)
    for onset in event_times(rng, samples, windows, 2 * tail_s):
        n = int(3 * tail_s * RATE_HZ)
        roll = noise(rng, n, -6, 25, top_hz) * np.exp(0.8 * wander(rng, n, 6))
        add_at(out, onset, roll * np.exp(-time_s(n) / tail_s) * swell(n, log_uniform(rng, 0.03, 0.5), 0.1))
    return high_pass(out, 20)


BACKGROUND: dict[str, Callable[[np.random.Generator, int, Windows], Signal]] = {
    "nothing": nothing,
    "steady_noise": steady_noise,
    "tones": tones,
    "beeps": beeps,
    "whistles": whistles,
    "birds": birds,
    "insects": insects,
    "water": water,
    "knocks": knocks,
    "ringing": ringing,
    "clatter": clatter,
    "clapping": clapping,
    "speech": speech,
    "cries": cries,
    "rasping": rasping,
    "passing": passing,
    "thunder": thunder,
}
