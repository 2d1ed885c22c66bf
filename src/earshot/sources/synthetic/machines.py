"""Machines: air conditioner, idling engine, jackhammer, drill. Rotation and impacts, filtered by what they shake."""

import numpy as np

from earshot.sources.synthetic.signals import (
    RATE_HZ,
    Signal,
    Windows,
    activity,
    convolve,
    impulses,
    log_uniform,
    low_pass,
    noise,
    resonate,
    strike,
    time_s,
    unit_rms,
    wander,
)


def air_conditioner(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Turbulent air through a duct, a comb of blade passes and compressor hum, beating slowly."""
    air = noise(rng, samples, rng.uniform(-7, -1), log_uniform(rng, 40, 200), log_uniform(rng, 1500, 12_000))
    for _ in range(rng.integers(1, 5)):  # resonances of the housing and the grille
        centre = log_uniform(rng, 90, 4000)
        air += rng.uniform(0.3, 3) * unit_rms(resonate(air, centre, centre * rng.uniform(0.03, 0.5)))
    comb = np.zeros(samples)
    fans = rng.integers(1, 3)
    base_hz = log_uniform(rng, 30, 220)
    for _ in range(fans):  # two fans at nearly one speed beat
        speed = base_hz * (1 + rng.normal(0, 0.008)) * (1 + 0.003 * wander(rng, samples, rng.uniform(0.2, 2)))
        comb += _comb(rng, speed, int(rng.integers(4, 16)), rng.uniform(0.5, 1.5))
    mains_hz = rng.choice([50.0, 60.0])
    slip = 1 - rng.uniform(0.0, 0.05)
    comb += rng.uniform(0, 1.2) * _comb(rng, np.full(samples, mains_hz * slip), 12, rng.uniform(0.4, 1.4))
    air, comb = unit_rms(air), unit_rms(comb)
    out = air + log_uniform(rng, 0.05, 1.5) * comb
    out *= 1 + rng.uniform(0, 0.15) * wander(rng, samples, rng.uniform(0.3, 3))
    if rng.uniform() < 0.3:  # a loose panel rattles once a turn
        out += rng.uniform(0.2, 1) * _rattle(rng, samples, log_uniform(rng, 6, 30))
    return out


def engine_idling(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """Combustion pulses of a four-stroke engine: unequal cylinders, cycle jitter, body resonances, diesel clatter."""
    cylinders = int(rng.choice([1, 2, 3, 4, 4, 4, 6, 6, 8]))
    speed_hz = rng.uniform(520, 1150) / 60  # turns a second
    drift = 1 + rng.uniform(0.002, 0.03) * wander(rng, samples, rng.uniform(0.3, 1.5))
    if rng.uniform() < 0.15:  # somebody plays with the throttle
        drift += rng.uniform(0.3, 1.5) * np.clip(wander(rng, samples, rng.uniform(0.2, 0.6)) - 0.5, 0, None)
    turns = np.cumsum(speed_hz * drift) / RATE_HZ
    firings = np.arange(1, max(int(turns[-1] * cylinders / 2), 2))
    times = np.interp(firings * 2 / cylinders, turns, time_s(samples))
    times = times + rng.normal(0, rng.uniform(0.004, 0.05), len(times)) / (speed_hz * cylinders / 2)
    unequal = 1 + rng.uniform(0.05, 0.5) * rng.standard_normal(cylinders)
    strength = unequal[firings % cylinders] * (1 + rng.uniform(0.03, 0.25) * rng.standard_normal(len(firings)))
    train = impulses(samples, times, strength)
    body = [
        (log_uniform(rng, 35, 900), log_uniform(rng, 0.003, 0.03), log_uniform(rng, 0.2, 1))
        for _ in range(rng.integers(3, 9))
    ]
    exhaust = low_pass(convolve(train, strike(rng, body, 0.15)), log_uniform(rng, 250, 4000))
    burst_s = log_uniform(rng, 0.002, 0.02)
    gate = convolve(train, np.exp(-time_s(int(8 * burst_s * RATE_HZ)) / burst_s))
    clatter = np.abs(gate) * noise(rng, samples, rng.uniform(-5, 0), log_uniform(rng, 300, 1500), 9000)
    rush = noise(rng, samples, rng.uniform(-7, -2), 60, log_uniform(rng, 1500, 8000))
    out = (
        unit_rms(exhaust)
        + log_uniform(rng, 0.05, 0.8) * unit_rms(clatter)
        + log_uniform(rng, 0.03, 0.5) * rush * (1 + 0.1 * wander(rng, samples, 2))
    )
    if rng.uniform() < 0.4:  # alternator or belt whine, geared to the crank
        gear = log_uniform(rng, 15, 90)
        out += log_uniform(rng, 0.02, 0.25) * unit_rms(_comb(rng, speed_hz * gear * drift, 4, 1.0))
    return out


def jackhammer(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A steel chisel driven 8 to 28 times a second: ringing steel, thumping ground, pneumatic exhaust."""
    rate_hz = log_uniform(rng, 8, 28)
    gate = activity(rng, samples, windows, log_uniform(rng, 2, 12), log_uniform(rng, 0.3, 2), 0.05)
    hits = _hammering(rng, samples, rate_hz * (0.75 + 0.25 * gate), jitter=rng.uniform(0.005, 0.06))
    steel = [(log_uniform(rng, 700, 7500), log_uniform(rng, 0.003, 0.03), log_uniform(rng, 0.15, 1)) for _ in range(8)]
    ground = [(log_uniform(rng, 60, 400), log_uniform(rng, 0.008, 0.03), log_uniform(rng, 0.3, 2)) for _ in range(3)]
    out = unit_rms(convolve(hits, strike(rng, steel, 0.12)))
    out += log_uniform(rng, 0.3, 2) * unit_rms(convolve(hits, strike(rng, ground, 0.15)))
    out += log_uniform(rng, 0.3, 2) * _burst(rng, hits, log_uniform(rng, 0.004, 0.02))
    out *= gate
    if rng.uniform() < 0.5:  # the compressor that feeds it
        out += log_uniform(rng, 0.03, 0.3) * unit_rms(engine_idling(rng, samples, windows))
    return out


def drilling(rng: np.random.Generator, samples: int, windows: Windows) -> Signal:
    """A motor's whine that sags under load, friction noise, and in rotary hammers 15 to 80 impacts a second."""
    gate = activity(rng, samples, windows, log_uniform(rng, 1, 8), log_uniform(rng, 0.2, 1.5), rng.uniform(0.03, 0.25))
    load = 1 + rng.uniform(0.01, 0.08) * wander(rng, samples, rng.uniform(0.5, 4))
    speed = np.maximum(gate, 0.02) ** rng.uniform(0.3, 1) * load
    whine_hz = log_uniform(rng, 150, 1100)
    whine = _comb(rng, whine_hz * speed, int(rng.integers(5, 20)), rng.uniform(0.3, 1.4))
    whine += rng.uniform(0, 1) * _comb(rng, whine_hz * rng.uniform(2.1, 6.7) * speed, 5, 1.0)  # gears
    whine *= 1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * np.cumsum(speed * whine_hz / rng.uniform(8, 30)) / RATE_HZ)
    friction = noise(rng, samples, rng.uniform(-4, 3), log_uniform(rng, 400, 2500), log_uniform(rng, 4000, 14_000))
    friction *= np.clip(1 + rng.uniform(0.1, 0.5) * wander(rng, samples, rng.uniform(5, 25)), 0, None)
    out = log_uniform(rng, 0.2, 1.5) * unit_rms(whine) + log_uniform(rng, 0.3, 2) * friction
    if rng.uniform() < 0.6:
        rate_hz = log_uniform(rng, 15, 80)
        hits = _hammering(rng, samples, rate_hz * np.maximum(speed, 0.2), jitter=rng.uniform(0.005, 0.05))
        wall = [
            (log_uniform(rng, 150, 6000), log_uniform(rng, 0.002, 0.02), log_uniform(rng, 0.15, 1)) for _ in range(8)
        ]
        out += log_uniform(rng, 0.4, 3) * unit_rms(convolve(hits, strike(rng, wall, 0.08)))
        out += log_uniform(rng, 0.1, 1) * _burst(rng, hits, log_uniform(rng, 0.002, 0.01))
    return out * gate


def _comb(rng: np.random.Generator, frequency_hz: Signal, harmonics: int, tilt: float) -> Signal:
    """Harmonics in random phase, amplitudes falling as k ** -tilt with scatter, as shaft orders do."""
    turn = np.exp(2j * np.pi * np.cumsum(frequency_hz) / RATE_HZ)
    harmonic = np.ones_like(turn)
    out = np.zeros(len(turn))
    for k in range(1, harmonics + 1):
        if k * frequency_hz.max() > 0.45 * RATE_HZ:
            break
        harmonic *= turn  # a product costs a tenth of a sine
        start = rng.uniform(0, 2 * np.pi)
        amplitude = k**-tilt * log_uniform(rng, 0.2, 1)
        out += amplitude * (np.cos(start) * harmonic.real + np.sin(start) * harmonic.imag)
    return out


def _hammering(rng: np.random.Generator, samples: int, rate_hz: Signal, jitter: float) -> Signal:
    """Impulses at a varying rate; `jitter` is the deviation of a blow's time as a fraction of the period."""
    count = np.cumsum(rate_hz) / RATE_HZ
    blows = np.arange(1, max(int(count[-1]), 2))
    times = np.interp(blows + jitter * rng.standard_normal(len(blows)), count, time_s(samples))
    return impulses(samples, times, np.exp(rng.uniform(0.05, 0.35) * rng.standard_normal(len(blows))))


def _burst(rng: np.random.Generator, hits: Signal, decay_s: float) -> Signal:
    """A puff of noise after each impulse."""
    envelope = convolve(hits, np.exp(-time_s(int(7 * decay_s * RATE_HZ)) / decay_s))
    return unit_rms(envelope * noise(rng, len(hits), rng.uniform(-4, 2), log_uniform(rng, 200, 1500), 10_000))


def _rattle(rng: np.random.Generator, samples: int, rate_hz: float) -> Signal:
    hits = _hammering(rng, samples, np.full(samples, rate_hz), jitter=0.05)
    modes = [(log_uniform(rng, 300, 4000), log_uniform(rng, 0.003, 0.015), 1.0) for _ in range(4)]
    return unit_rms(convolve(hits, strike(rng, modes, 0.06)))
