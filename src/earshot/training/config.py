"""The ``train`` section of params.yaml."""

from dataclasses import dataclass, replace
from typing import Literal

from earshot.clips.extra import Use
from earshot.core.params import ParamsError
from earshot.training.networks import check_name, network_class
from earshot.training.networks.recipe import Recipe


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
        model: a name in `earshot.training.networks.NETWORKS`; `compact` is meant to be used, the others are compared
            with it.
        epochs: after each, the network is judged on validation.
        batch_size: clips a step.
        learning_rate: the highest of the run.
        label_smoothing: share of the target that is spread over all classes.
        dropout: before the last layers.
        weight_decay: as the network's optimizer takes it.
        device: `auto` takes cuda, then mps, then cpu.
        extra_clips: `always` trains on synthesised clips with the data set's own: of background, if the network has an
            output for it, and of its classes where it is a real one and the embedded set has all of them. `auto` does
            if the network's recipe says so, `never` does not.
        augment: changes made to training clips; only networks whose recipe says so use them.
    """

    model: str = "compact"
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
        check_name(self.model)
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
        return self.extra_clips == "always" or (
            self.extra_clips == "auto" and network_class(self.model).recipe.extra_clips
        )

    def resolved(self, clips: int) -> Recipe:
        """Fill what is null from the network's own recipe for so many training clips."""
        given = {name: getattr(self, name) for name in _IN_PARAMS}
        recipe = replace(
            network_class(self.model).recipe, **{name: value for name, value in given.items() if value is not None}
        )
        if self.epochs is None and recipe.least_steps:
            recipe = replace(recipe, epochs=max(recipe.epochs, -(-recipe.least_steps // recipe.epoch_steps(clips))))
        return recipe


_IN_PARAMS = ("epochs", "batch_size", "learning_rate", "label_smoothing", "dropout", "weight_decay")
