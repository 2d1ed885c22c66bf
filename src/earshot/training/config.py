"""The ``train`` section of params.yaml."""

from dataclasses import dataclass, replace
from typing import Literal

from earshot.clips.extra import Use
from earshot.core.params import ParamsError

FEWEST_STEPS = 600  # of the compact network's training, however few clips there are


@dataclass(frozen=True)
class AugmentParams:
    """Changes made to training clips, drawn anew for every clip and epoch.

    Attributes:
        mixup_alpha: of the Beta distribution that mixing weights come from (Zhang et al. 2018); 0 is no mixup.
        mixup_probability: share of batches that are mixed, two clips sounding at once.
        mixup_off_last: share of the run, at its end, without mixup.
        roll: whether clips are rolled in time by a random shift, so that short events lie anywhere.
        mel_shift: clips move up or down by at most this many mel bands.
        gain_db: clips become louder or softer by at most this much.
        stretch_probability: share of clips of which a stretch is kept and the rest silenced.
        ambience_probability: share of clips that are put into the steady noise of a place.
        style_alpha: as `mixup_alpha`, for mixing the band statistics of two clips (Freq-MixStyle); 0 is none.
        style_probability: share of batches in which they are mixed.
        time_mask_frames: widest band of frames masked (SpecAugment, Park et al. 2019).
        mel_mask_bands: widest band of mel bands masked.
        masks: number of masks of each kind.
        crop_s: length of the random crop trained on; 0 is none.
        crop_until: share of the run, from its beginning, in which clips are cropped.
    """

    mixup_alpha: float = 1.0
    mixup_probability: float = 0.7
    mixup_off_last: float = 0.1
    roll: bool = True
    mel_shift: int = 2
    gain_db: float = 20.0
    stretch_probability: float = 0.3
    ambience_probability: float = 0.5
    style_alpha: float = 0.4
    style_probability: float = 0.5
    time_mask_frames: int = 24
    mel_mask_bands: int = 8
    masks: int = 1
    crop_s: float = 2.5
    crop_until: float = 0.75

    def __post_init__(self) -> None:
        shares = ("mixup_probability", "mixup_off_last", "stretch_probability", "ambience_probability")
        for name in (*shares, "style_probability", "crop_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParamsError(f"train.augment.{name} must be within 0 to 1, not {getattr(self, name):g}")
        not_negative = ("mixup_alpha", "mel_shift", "gain_db", "style_alpha", "time_mask_frames", "mel_mask_bands")
        for name in (*not_negative, "masks", "crop_s"):
            if getattr(self, name) < 0:
                raise ParamsError(f"train.augment.{name} must not be negative, not {getattr(self, name):g}")


@dataclass(frozen=True)
class TrainParams:
    """Which network, and how it is trained. A null takes the value of the network's own recipe.

    Attributes:
        model: `compact` is the residual CNN that is meant to be used; `tutorial` the plain one it is compared with.
        epochs: passes over the training clips; compact 60, or as many as make `FEWEST_STEPS`, tutorial 15.
        batch_size: clips a step; compact 64, tutorial 16.
        learning_rate: highest learning rate; compact 3e-3 (AdamW, one-cycle), tutorial 1e-3 (Adam, constant).
        label_smoothing: compact 0.1, tutorial 0.
        dropout: before the last layer; compact 0.2, tutorial 0.3.
        weight_decay: AdamW's; compact 1e-2, tutorial none.
        device: `auto` takes cuda, then mps, then cpu.
        extra_clips: `auto` trains compact on synthesised clips beside the data set's own: on background sounds, and on
            its classes where it is a real one and the embedded set has all of them; `never` does not.
        augment: changes made to training clips; only compact uses them.
    """

    model: Literal["compact", "tutorial"] = "compact"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    label_smoothing: float | None = None
    dropout: float | None = None
    weight_decay: float | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    extra_clips: Use = "auto"
    augment: AugmentParams = AugmentParams()

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ParamsError(f"train.{name} must be positive, not {value}")
        for name in ("label_smoothing", "dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ParamsError(f"train.{name} must be at least 0 and below 1, not {value}")

    @property
    def hears_extra_clips(self) -> bool:
        """Whether synthesised clips are to be trained on beside those of the data set."""
        return self.extra_clips == "auto" and self.model == "compact"

    def resolved(self, clips: int) -> "Recipe":
        """Fill what is null from the network's own recipe for so many training clips."""
        own = _OWN_RECIPE[self.model]
        given = {name: getattr(self, name) for name in own.__dataclass_fields__}
        recipe = replace(own, **{name: value for name, value in given.items() if value is not None})
        if self.epochs is None and self.model == "compact":
            steps = max(1, round(clips / recipe.batch_size))
            recipe = replace(recipe, epochs=max(recipe.epochs, -(-FEWEST_STEPS // steps)))
        return recipe


@dataclass(frozen=True)
class Recipe:
    """`TrainParams` with every number filled in."""

    epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float
    dropout: float
    weight_decay: float


_OWN_RECIPE = {
    "compact": Recipe(
        epochs=60, batch_size=64, learning_rate=3e-3, label_smoothing=0.1, dropout=0.2, weight_decay=1e-2
    ),
    "tutorial": Recipe(
        epochs=15, batch_size=16, learning_rate=1e-3, label_smoothing=0.0, dropout=0.3, weight_decay=0.0
    ),
}
