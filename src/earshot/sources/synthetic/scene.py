"""Where and with what a recording was made: room, ambience, microphone, level. The same draw for every class."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import uniform_filter1d

from earshot.sources.synthetic.background import BACKGROUND
from earshot.sources.synthetic.machines import air_conditioner, drilling, engine_idling, jackhammer
from earshot.sources.synthetic.music import street_music
from earshot.sources.synthetic.signalling import car_horn, gun_shot, siren
from earshot.sources.synthetic.signals import (
    RATE_HZ,
    Signal,
    Windows,
    add_at,
    convolve,
    event_times,
    high_pass,
    log_uniform,
    low_pass,
    noise,
    resonate,
    swell,
    time_s,
    unit_rms,
    wander,
)
from earshot.sources.synthetic.voices import children_playing, dog_bark

Source = Callable[[np.random.Generator, int, Windows], Signal]
SOURCES: dict[str, Source] = {
    "air_conditioner": air_conditioner,
    "car_horn": car_horn,
    "children_playing": children_playing,
    "dog_bark": dog_bark,
    "drilling": drilling,
    "engine_idling": engine_idling,
    "gun_shot": gun_shot,
    "jackhammer": jackhammer,
    "siren": siren,
    "street_music": street_music,
}
BYSTANDER_CHANCE = 0.15  # how often a second source is heard, well below the labelled one
FOREGROUND_SNR_DB = (12.0, 40.0)
BACKGROUND_SNR_DB = (3.0, 12.0)


def render(
    rng: np.random.Generator, label: str, salience: int, channels: int, duration_s: float, windows: Windows
) -> Signal:
    """One recording of `label`: (samples, channels) at 44.1 kHz, within [-1, 1].

    No class is heard beside a background sound.

    Args:
        rng: the recording's own generator.
        label: one of SOURCES, or of the background sounds.
        salience: 1, heard in the foreground; 2, in the background.
        channels: 1 or 2.
        duration_s: length of the recording.
        windows: slices that will be cut from it; a sound that comes and goes is heard in each.
    """
    samples = int(np.ceil(duration_s * RATE_HZ))
    dry = _at_level((SOURCES | BACKGROUND)[label](rng, samples, windows))
    if label in SOURCES and rng.uniform() < BYSTANDER_CHANCE:
        other = str(rng.choice([name for name in SOURCES if name != label]))
        dry_other = _at_level(SOURCES[other](rng, samples, [])) * 10 ** (-rng.uniform(16, 30) / 20)
    else:
        dry_other = np.zeros(samples)
    snr_db = rng.uniform(*(FOREGROUND_SNR_DB if salience == 1 else BACKGROUND_SNR_DB))
    room, far_room = _room(rng), _room(rng)
    microphone = _microphone(rng)
    around, apart = _surroundings(rng, samples), rng.uniform(0.1, 0.9)
    out = []
    for channel in range(channels):
        wet = convolve(dry, room(rng)) * np.exp(0.1 * rng.standard_normal())
        wet = _at_level(wet) * 10 ** (snr_db / 20)
        wet += _at_level(convolve(dry_other, far_room(rng))) * 10 ** (snr_db / 20) * _loudness(dry_other)
        if channel:  # reversed, the same ambience stands for its diffuse part, which two microphones do not share
            around = np.sqrt(1 - apart**2) * around + apart * around[::-1]
        out.append(microphone(rng, wet + around))
    return _record(rng, np.stack(out, axis=1))


def _loudness(signal: Signal) -> float:
    """Level of the loud parts: the 95th percentile of the RMS over 50 ms, so that pauses do not count."""
    power = uniform_filter1d(signal**2, int(0.05 * RATE_HZ))[:: int(0.01 * RATE_HZ)]
    return float(np.sqrt(max(np.percentile(power, 95), 0.0)))


def _at_level(signal: Signal) -> Signal:
    return signal / max(_loudness(signal), 1e-9)


def _room(rng: np.random.Generator) -> Callable[[np.random.Generator], Signal]:
    """Impulse responses of one place, one for each microphone: direct sound, a few echoes, a diffuse tail."""
    indoors = rng.uniform() < 0.35
    decay_s = log_uniform(rng, 0.15, 1.2) if indoors else log_uniform(rng, 0.2, 2.0)  # time to fall by 60 dB
    tail_gain = 10 ** (rng.uniform(-12, 3) / 20) if indoors else 10 ** (rng.uniform(-28, -6) / 20)
    echo_s = rng.uniform(0.003, 0.04 if indoors else 0.25, int(rng.integers(2, 9)))
    echo_gain = rng.uniform(-0.5, 0.5, len(echo_s)) * np.exp(-3 * echo_s / decay_s)
    absorption_hz = log_uniform(rng, 2500, 20_000)  # air and obstacles on the way
    high_factor = rng.uniform(0.3, 0.9)

    def response(rng: np.random.Generator) -> Signal:
        t = time_s(int(min(decay_s, 1.5) * RATE_HZ))
        tail = noise(rng, len(t), 0, 60, 1500) * np.exp(-6.9 * t / decay_s)
        tail += noise(rng, len(t), 0, 1500, 12_000) * np.exp(-6.9 * t / (decay_s * high_factor))
        tail *= tail_gain / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
        tail[0] += 1
        for delay, gain in zip(echo_s, echo_gain, strict=True):
            index = int((delay + 0.0005 * rng.uniform()) * RATE_HZ)
            if index < len(tail):
                tail[index] += gain
        return low_pass(tail, absorption_hz)

    return response


def _surroundings(rng: np.random.Generator, samples: int) -> Signal:
    """Ambience of one place, unit RMS: traffic, wind, murmur, birds, mains hum and hiss in drawn shares."""
    out = log_uniform(rng, 0.005, 0.3) * noise(rng, samples, rng.uniform(-2, 3))
    passing = np.exp(rng.uniform(0.1, 0.5) * wander(rng, samples, 0.3))
    traffic = noise(rng, samples, rng.uniform(-8, -3), 40, log_uniform(rng, 800, 8000)) * passing
    out += log_uniform(rng, 0.1, 1.5) * unit_rms(traffic)
    gusts = np.exp(0.8 * wander(rng, samples, 1.5))
    out += log_uniform(rng, 0.02, 1.0) * unit_rms(noise(rng, samples, -9, 15, 250) * gusts)
    if rng.uniform() < 0.5:
        murmur = np.zeros(samples)
        for _ in range(4):
            formant_hz = log_uniform(rng, 350, 2500)
            chatter = resonate(rng.standard_normal(samples), formant_hz, 0.4 * formant_hz)
            murmur += unit_rms(chatter) * np.clip(0.4 + wander(rng, samples, rng.uniform(5, 10)), 0, None)
        out += log_uniform(rng, 0.02, 1.0) * unit_rms(murmur)
    if rng.uniform() < 0.3:
        out += log_uniform(rng, 0.02, 0.3) * _birds(rng, samples)
    if rng.uniform() < 0.4:
        phase = 2 * np.pi * float(rng.choice([50.0, 60.0])) * time_s(samples)
        hum = sum((np.sin(k * phase + k) / k for k in (1, 2, 3, 4)), np.zeros(samples))
        out += log_uniform(rng, 0.005, 0.2) * hum
    return unit_rms(out)


def _birds(rng: np.random.Generator, samples: int) -> Signal:
    out = np.zeros(samples)
    song_hz = log_uniform(rng, 2200, 6500)
    for onset in event_times(rng, samples, [], log_uniform(rng, 0.5, 4)):
        for k in range(rng.integers(1, 8)):
            n = int(rng.uniform(0.03, 0.15) * RATE_HZ)
            pitch = song_hz * np.exp(rng.uniform(-0.2, 0.2) + np.linspace(0, rng.uniform(-0.4, 0.4), n))
            add_at(out, onset + 0.16 * k, np.sin(2 * np.pi * np.cumsum(pitch) / RATE_HZ) * swell(n, 0.01, 0.02))
    return out


def _microphone(rng: np.random.Generator) -> Callable[[np.random.Generator, Signal], Signal]:
    """Band limits, a shelf, peaks and dips, self-noise; the same for both channels but for the noise itself."""
    low_hz, high_hz = log_uniform(rng, 20, 300), log_uniform(rng, 3500, 18_000)
    peaks = [(log_uniform(rng, 120, 9000), rng.uniform(-0.8, 3.0)) for _ in range(5)]
    shelf_hz, shelf = log_uniform(rng, 300, 3000), log_uniform(rng, 0.15, 5)  # muffled by cloth, or a shrill capsule
    floor = 10 ** (-rng.uniform(28, 65) / 20)

    def capture(rng: np.random.Generator, sound: Signal) -> Signal:
        out = high_pass(high_pass(sound, low_hz), low_hz / 2)
        out = out + (shelf - 1) * high_pass(out, shelf_hz)
        for centre_hz, gain in peaks:
            out = out + gain * resonate(out, centre_hz, 0.7 * centre_hz)
        out = low_pass(low_pass(out, high_hz), 1.5 * high_hz)
        return out + floor * _loudness(out) * rng.standard_normal(len(out))

    return capture


def _record(rng: np.random.Generator, sound: Signal) -> Signal:
    """Automatic gain, level, offset and clipping of the recorder. (samples, channels) in and out."""
    if rng.uniform() < 0.3:  # automatic gain control
        level = np.sqrt(uniform_filter1d((sound**2).mean(axis=1), int(rng.uniform(0.05, 0.5) * RATE_HZ)))
        sound = sound / (level + 0.3 * level.max() + 1e-9)[:, None]
    peak_db = rng.uniform(-36, -0.5) if rng.uniform() < 0.9 else rng.uniform(1, 10)  # one in ten is overdriven
    sound = sound * 10 ** (peak_db / 20) / max(float(np.abs(sound).max()), 1e-9)
    if rng.uniform() < 0.05:
        sound = sound + rng.uniform(-0.03, 0.03)
    return np.clip(sound, -1.0, 1.0)
