"""Sounds longer than a window whose truth is known: what answers over several windows, and events, are judged on.

Clips that are longer than a window by themselves are taken where at least half of a part are. Where hardly any are, as
in UrbanSound8K and the embedded set, sounds are composed: a clip and up to three others of its class and recording, in
random order and with random pauses, 1.5 to 4 windows in all, in generated ambience (`disturbances.ambience`) 5 to 25 dB
below them. They stand for a recording in which one class is heard now and then. They are not recordings of it: real
ambience, other sounds beside it and other shares of time are in none of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from earshot.clips.parts import Part
from earshot.clips.paths import Root, locate
from earshot.core.front_end import FrontEndParams
from earshot.evaluation import disturbances
from earshot.hearing.decode import read_mono
from earshot.stream.classify import is_clip

CLIPS = 4  # in a sound, at most
WINDOWS = (1.5, 4.0)  # length of a sound
AMBIENCE_DB = (-25.0, -5.0)  # against the RMS of its clips


@dataclass(frozen=True)
class LongSound:
    """One sound.

    Attributes:
        samples: float32 (n,) at the front end's rate, full scale at 1.
        label: number of its class.
        recording: name of what its clips were cut from.
        spans_s: where its class is heard, (begin, end) in seconds.
        composed: False for a clip that is as it was recorded.
    """

    samples: np.ndarray
    label: int
    recording: str
    spans_s: tuple[tuple[float, float], ...]
    composed: bool


def long_sounds(part: Part, root: Root, params: FrontEndParams, most: int, seed: int) -> list[LongSound]:
    """At most `most` sounds, drawn from the clips of `part`; none where it has no clips.

    Args:
        part: clips.
        root: where their files lie.
        params: the front end.
        most: number.
        seed: of what is drawn.
    """
    rate_hz = params.sample_rate_hz
    samples = params.window_samples + np.round(part.clips["truncated_s"].to_numpy(np.float64) * rate_hz)
    long = ~is_clip(samples, params)
    natural = bool(2 * long.sum() >= len(long))
    able = np.flatnonzero(long) if natural else np.arange(len(long))
    rows = np.sort(np.random.default_rng(seed).permutation(able)[:most])
    paths, recordings = locate(part.clips, root), part.clips["recording"].astype(str).tolist()
    found = []
    for row in rows.tolist():
        if natural:
            whole = read_mono(paths[row], rate_hz)
            whole_s = (0.0, len(whole) / rate_hz)
            found.append(LongSound(whole, int(part.labels[row]), recordings[row], (whole_s,), composed=False))
            continue
        random = np.random.default_rng([seed, row])
        same = np.flatnonzero(part.labels == part.labels[row])
        others = [other for other in same.tolist() if recordings[other] == recordings[row] and other != row]
        count = int(random.integers(0, CLIPS))
        chosen = [row, *random.permutation(np.array(others, np.int64))[:count].tolist()]
        clips = [read_mono(paths[i], rate_hz)[: params.window_samples] for i in random.permutation(chosen).tolist()]
        composed, spans = compose(clips, params, random)
        found.append(LongSound(composed, int(part.labels[row]), recordings[row], spans, composed=True))
    return found


def compose(
    clips: list[np.ndarray], params: FrontEndParams, random: np.random.Generator
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    """Put `clips` after each other into ambience; the samples, and where each clip lies, in seconds."""
    rate_hz = params.sample_rate_hz
    sounding = sum(len(clip) for clip in clips)
    length = max(round(random.uniform(*WINDOWS) * params.window_samples), sounding)
    pauses = np.floor((length - sounding) * random.dirichlet(np.ones(len(clips) + 1))).astype(int)
    made = np.zeros(length, np.float32)
    spans, place = [], 0
    for pause, clip in zip(pauses[:-1].tolist(), clips, strict=True):
        place += pause
        made[place : place + len(clip)] = clip
        spans.append((place / rate_hz, (place + len(clip)) / rate_hz))
        place += len(clip)
    level = np.sqrt(np.sum(np.square(made, dtype=np.float64)) / sounding)
    around = disturbances.ambience(fft.next_fast_len(length, real=True), rate_hz, random)[:length]
    return made + (level * 10 ** (random.uniform(*AMBIENCE_DB) / 20) * around).astype(np.float32), tuple(spans)
