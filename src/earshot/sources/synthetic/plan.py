"""Which recordings there are, how they are stored and where they are sliced: drawn from the seed, nothing rendered."""

from dataclasses import dataclass

import numpy as np

from earshot.sources.synthetic.formats import OPUS_RATES_HZ, Format

FOLDS = 10
SLICE_S = 4.0


@dataclass(frozen=True)
class ClassPlan:
    """How much of one class there is, and how its slices last.

    Attributes:
        recordings: source recordings in each fold.
        clips: slices cut from them, the same number in each fold.
        whole: fraction of slices that last the full 4 s.
        log_mean: mean of the natural logarithm of the other slices' duration in seconds.
        log_std: its standard deviation.
        background: fraction of recordings in which the class is heard in the background.
    """

    recordings: int
    clips: int
    whole: float
    log_mean: float
    log_std: float
    background: float


# Durations and salience after UrbanSound8K (Salamon, Jacoby, Bello 2014). Gun shots and horns are fewer there too.
CLASSES: dict[str, ClassPlan] = {
    "air_conditioner": ClassPlan(4, 150, 0.99, 0.8, 0.15, 0.38),
    "car_horn": ClassPlan(3, 60, 0.33, -0.75, 1.1, 0.45),
    "children_playing": ClassPlan(4, 150, 0.98, 1.0, 0.15, 0.4),
    "dog_bark": ClassPlan(4, 150, 0.67, -0.15, 0.8, 0.25),
    "drilling": ClassPlan(4, 150, 0.76, 0.1, 0.6, 0.1),
    "engine_idling": ClassPlan(4, 150, 0.97, 1.0, 0.25, 0.1),
    "gun_shot": ClassPlan(3, 60, 0.05, 0.4, 0.6, 0.08),
    "jackhammer": ClassPlan(4, 150, 0.86, 0.55, 0.55, 0.4),
    "siren": ClassPlan(4, 150, 0.99, 0.9, 0.2, 0.5),
    "street_music": ClassPlan(4, 150, 0.99, 0.9, 0.2, 0.28),
}
# What is none of them (`background`): families of sounds, most of all nothing. In no data set, and trained on alone.
BACKGROUND: dict[str, ClassPlan] = {
    "nothing": ClassPlan(4, 120, 0.8, 0.4, 0.6, 0.5),
    "steady_noise": ClassPlan(2, 60, 0.8, 0.4, 0.6, 0.5),
} | {
    family: ClassPlan(1, 30, 0.6, 0.0, 0.7, 0.25)
    for family in (
        "tones",
        "beeps",
        "whistles",
        "birds",
        "insects",
        "water",
        "knocks",
        "ringing",
        "clatter",
        "clapping",
        "speech",
        "cries",
        "rasping",
        "passing",
        "thunder",
    )
}
# Storage is dealt out without looking at the class: shares of recordings.
CODECS = {
    ("WAV", "PCM_16"): 0.38,
    ("WAV", "PCM_24"): 0.06,
    ("WAVEX", "PCM_24"): 0.02,
    ("WAV", "PCM_U8"): 0.07,
    ("WAV", "FLOAT"): 0.05,
    ("WAV", "MS_ADPCM"): 0.10,
    ("FLAC", "PCM_16"): 0.12,
    ("FLAC", "PCM_24"): 0.03,
    ("OGG", "VORBIS"): 0.13,
    ("OGG", "OPUS"): 0.04,
}
RATES_HZ = {
    44_100: 0.38,
    48_000: 0.12,
    96_000: 0.03,
    32_000: 0.04,
    24_000: 0.05,
    22_050: 0.20,
    16_000: 0.08,
    11_025: 0.05,
    8000: 0.05,
}
CHANNELS = {1: 0.7, 2: 0.3}
# Generators are seeded [seed, 1] here, or [seed, 3], and [seed, 2, index] for sound; a trailing 0 would not tell apart.
_STREAM, _BACKGROUND_STREAM = 1, 3
_BACKGROUND_INDEX = 10_000  # the first, above those of all classes


@dataclass(frozen=True)
class Slice:
    """One clip: `frames` frames of its recording from `start_s` on."""

    start_s: float
    frames: int


@dataclass(frozen=True)
class Recording:
    """Everything about a recording but its sound."""

    index: int
    fs_id: int
    label: str
    fold: int
    salience: int
    form: Format
    slices: tuple[Slice, ...]

    @property
    def class_id(self) -> int:
        """Number of the class: its place in the alphabet, as in UrbanSound8K; background sounds follow."""
        return [*CLASSES, *BACKGROUND].index(self.label)

    def file_name(self, number: int) -> str:
        """Name of slice `number`: <fsID>-<classID>-<occurrence>-<slice>."""
        return f"{self.fs_id}-{self.class_id}-0-{number}{self.form.extension}"

    def windows(self) -> list[tuple[float, float]]:
        """(start_s, duration_s) of each slice."""
        return [(piece.start_s, piece.frames / self.form.rate_hz) for piece in self.slices]


def draw(seed: int) -> list[Recording]:
    """The recordings of the data set made from `seed`, by class and fold."""
    return _draw(np.random.default_rng([seed, _STREAM]), CLASSES, np.arange(10_000, 250_000), first_index=0)


def draw_background(seed: int) -> list[Recording]:
    """Recordings of what is none of the classes, by family and fold."""
    rng = np.random.default_rng([seed, _BACKGROUND_STREAM])
    return _draw(rng, BACKGROUND, np.arange(250_000, 500_000), _BACKGROUND_INDEX)


def _draw(
    rng: np.random.Generator, plans: dict[str, ClassPlan], fs_ids: np.ndarray, first_index: int
) -> list[Recording]:
    total = FOLDS * sum(plan.recordings for plan in plans.values())
    codecs, rates, channels = (_deal(rng, shares, total) for shares in (CODECS, RATES_HZ, CHANNELS))
    fs_ids = rng.choice(fs_ids, total, replace=False)
    recordings: list[Recording] = []
    for label, plan in plans.items():
        for fold in range(1, FOLDS + 1):
            for count in _heavy_tailed(rng, plan.recordings, plan.clips // FOLDS):
                i = len(recordings)
                form = _form(codecs[i], rates[i], channels[i])
                salience = 2 if rng.uniform() < plan.background else 1
                slices = _slices(rng, plan, form, int(count))
                recordings.append(Recording(first_index + i, int(fs_ids[i]), label, fold, salience, form, slices))
    return recordings


def _deal(rng: np.random.Generator, shares: dict, total: int) -> list:
    """`total` cards in these shares, every kind at least once, shuffled."""
    counts = np.maximum(np.floor(np.array(list(shares.values())) * total).astype(int), 1)
    counts[0] += total - counts.sum()
    cards = [kind for kind, count in zip(shares, counts, strict=True) for _ in range(count)]
    return [cards[i] for i in rng.permutation(total)]


def _form(codec: tuple[str, str], rate_hz: int, channels: int) -> Format:
    container, subtype = codec
    if subtype == "OPUS" and rate_hz not in OPUS_RATES_HZ:
        subtype = "VORBIS"
    return Format(container, subtype, rate_hz, channels)


def _heavy_tailed(rng: np.random.Generator, parts: int, total: int) -> np.ndarray:
    """`total` shared out to `parts` by log-normal weights, at least one each."""
    counts = np.ones(parts, dtype=int)
    weights = np.exp(0.9 * rng.standard_normal(parts))
    for _ in range(total - parts):
        counts[np.argmax(weights / counts)] += 1  # the part that is furthest behind its weight
    return counts


def _slices(rng: np.random.Generator, plan: ClassPlan, form: Format, count: int) -> tuple[Slice, ...]:
    """Slices that overlap their neighbours; a recording has mostly whole ones or mostly short ones."""
    whole = rng.beta(plan.whole, 1 - plan.whole)
    hop_s = float(rng.choice([0.5, 0.5, 0.5, 1.0, 1.0, 1.5]))
    start_s = round(float(rng.uniform(0, 0.5)), 3)
    slices = []
    for _ in range(count):
        if rng.uniform() < whole:
            duration_s, step = SLICE_S, hop_s
        else:
            duration_s = float(np.clip(np.exp(rng.normal(plan.log_mean, plan.log_std)), 0.05, SLICE_S))
            step = duration_s * rng.uniform(0.3, 0.8)
        frames = form.whole_frames(duration_s)
        slices.append(Slice(start_s, frames))
        start_s = round(start_s + min(step, 0.9 * frames / form.rate_hz), 3)
    return tuple(slices)
