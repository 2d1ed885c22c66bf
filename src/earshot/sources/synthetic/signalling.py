"""Short and signalling sounds: car horn, siren, gun shot."""

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
    wander,
)


def car_horn(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Electric disc or trumpet horns, usually a pair a third apart; lorries lower, with three."""
    lorry = rng.uniform() < 0.2
    base_hz = log_uniform(rng, 140, 300) if lorry else log_uniform(rng, 300, 540)
    ratios = [1.0, rng.uniform(1.17, 1.28), rng.uniform(1.4, 1.6)][: 3 if lorry else int(rng.choice([1, 2, 2, 2]))]
    drive, attack_s, sag = log_uniform(rng, 0.7, 6), rng.uniform(0.01, 0.06), rng.uniform(0, 0.06)
    typical_s = log_uniform(rng, 0.08, 2.5)
    out = np.zeros(samples)
    shift, gain = drive_by(rng, samples)
    for onset in event_times(rng, samples, windows, log_uniform(rng, 0.7, 4) + typical_s):
        length = max(int(RATE_HZ * typical_s * np.exp(0.4 * rng.standard_normal())), int(0.05 * RATE_HZ))
        t = time_s(length)
        start = min(int(onset * RATE_HZ), samples - 1)
        doppler = shift[np.minimum(start + np.arange(length), samples - 1)]
        # the diaphragm needs a moment to reach its pitch, and droops when the button is let go
        pitch = doppler * base_hz * (1 - sag * np.exp(-t / 0.03) - 0.5 * sag * np.exp(-(t[-1] - t) / 0.02))
        honk = sum((_reed(pitch * ratio, drive) * rng.uniform(0.6, 1) for ratio in ratios), np.zeros(length))
        add_at(out, onset, honk * swell(length, attack_s, rng.uniform(0.01, 0.06)))
    return _horn_loudspeaker(rng, out * gain)


def siren(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Wail, yelp, two-tone or mechanical siren through a horn loudspeaker on a moving vehicle."""
    low_hz = log_uniform(rng, 350, 850)
    high_hz = low_hz * rng.uniform(1.5, 2.8)
    pitch = np.empty(samples)
    start = 0
    while start < samples:  # drivers change the signal now and then
        mode = rng.choice(["wail", "wail", "yelp", "two-tone", "mechanical"])
        stop = min(start + int(RATE_HZ * log_uniform(rng, 4, 30)), samples)
        pitch[start:stop] = _siren_pitch(rng, stop - start, str(mode), low_hz, high_hz)
        start = stop
    shift, gain = drive_by(rng, samples)
    wave = _reed(pitch * shift, log_uniform(rng, 0.6, 8))
    if rng.uniform() < 0.25:  # a second vehicle
        wave += rng.uniform(0.1, 0.7) * _reed(_siren_pitch(rng, samples, "wail", low_hz, high_hz), 2.0)
    return _horn_loudspeaker(rng, wave * gain)


def _siren_pitch(rng: np.random.Generator, samples: int, mode: str, low_hz: float, high_hz: float) -> Signal:
    t = time_s(samples)
    if mode == "two-tone":
        ratio, half_s = rng.uniform(1.15, 1.5), rng.uniform(0.35, 1.1)
        square = (((t / half_s) + rng.uniform(0, 2)) % 2 < 1).astype(float)
        return low_hz * ratio ** low_pass(square, 1 / (2 * np.pi * log_uniform(rng, 0.004, 0.08)))
    period_s = {"wail": log_uniform(rng, 2, 8), "yelp": log_uniform(rng, 0.15, 0.5)}.get(mode, log_uniform(rng, 5, 14))
    rise = rng.uniform(0.25, 0.75)
    phase = (t / period_s + rng.uniform()) % 1
    triangle = np.where(phase < rise, phase / rise, (1 - phase) / (1 - rise))
    bend = rng.uniform(0.5, 1.5)  # the capacitor's or the rotor's exponential approach
    return low_hz * (high_hz / low_hz) ** (triangle**bend) * (1 + 0.002 * wander(rng, samples, 3))


def gun_shot(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Muzzle blast (Friedlander wave), sometimes a bullet's N-wave before it, ground reflection, diffuse tail."""
    automatic = rng.uniform() < 0.3
    blast_s = log_uniform(rng, 0.0003, 0.004)
    crack_lead_s = rng.uniform(0.01, 0.25) if rng.uniform() < 0.35 else 0.0
    bounce_s, bounce = log_uniform(rng, 0.001, 0.02), rng.uniform(0.2, 0.8)
    onsets: list[float] = []
    for onset in event_times(rng, samples, windows, log_uniform(rng, 1.2, 5)):
        rounds = int(rng.integers(2, 10)) if automatic else 1
        rate_hz = log_uniform(rng, 7, 18)
        onsets += [onset + k / rate_hz * (1 + 0.02 * rng.standard_normal()) for k in range(rounds)]
    times = np.array(onsets)
    level = np.exp(0.25 * rng.standard_normal(len(times)))
    shots = impulses(samples, times, level) + impulses(samples, times + bounce_s, bounce * level)
    t = time_s(int(0.06 * RATE_HZ))
    blast = (1 - t / blast_s) * np.exp(-t / blast_s)  # Friedlander with decay 1
    out = convolve(shots, blast)
    if crack_lead_s:
        n_wave = np.linspace(1, -1, max(int(log_uniform(rng, 0.0002, 0.0006) * RATE_HZ), 4))
        out += log_uniform(rng, 0.2, 1) * convolve(impulses(samples, times - crack_lead_s, level), n_wave)
    out = _peak_one(out)  # silence, where no shot fell: as a bystander it need not be heard
    tail_s = log_uniform(rng, 0.08, 0.9)  # 1/e of the energy that comes back from walls, trees and hills
    t = time_s(int(min(5 * tail_s, 3.0) * RATE_HZ))
    tail = np.zeros(len(t))
    for low, high, factor in ((60, 400, 1.3), (400, 2000, 1.0), (2000, 9000, 0.5)):
        tail += noise(rng, len(t), -3, low, high) * np.exp(-t / (tail_s * factor)) * log_uniform(rng, 0.3, 1)
    tail *= 1 - np.exp(-t / log_uniform(rng, 0.001, 0.05))
    out += log_uniform(rng, 0.1, 0.8) * _peak_one(convolve(out, tail))
    if rng.uniform() < 0.4:  # the action and the case that falls
        modes = [(log_uniform(rng, 2000, 7000), log_uniform(rng, 0.005, 0.03), 1.0) for _ in range(4)]
        clicks = impulses(samples, times + rng.uniform(0.05, 0.5), level)
        out += log_uniform(rng, 0.005, 0.08) * _peak_one(convolve(clicks, strike(rng, modes, 0.1)))
    return np.tanh(log_uniform(rng, 1, 8) * _peak_one(out))  # the microphone gives in first


def _peak_one(signal: Signal) -> Signal:
    return signal / max(float(np.abs(signal).max()), 1e-12)


def _horn_loudspeaker(rng: np.random.Generator, signal: Signal) -> Signal:
    """The response of a horn: little below its flare's cut-off, a few resonances above."""
    cutoff = log_uniform(rng, 250, 600)
    out = high_pass(high_pass(signal, cutoff), cutoff)
    for _ in range(3):
        centre = log_uniform(rng, 600, 4500)
        out = out + rng.uniform(0.5, 4) * resonate(out, centre, centre * rng.uniform(0.1, 0.5))
    return low_pass(out, log_uniform(rng, 2500, 9000))


def _reed(frequency_hz: Signal, drive: float) -> Signal:
    """A blown reed or a driven diaphragm: a sawtooth pressed towards a square wave by `drive`."""
    return np.tanh(drive * saw(frequency_hz)) / np.tanh(drive)
