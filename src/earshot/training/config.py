"""The ``train`` section of params.yaml."""

from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from earshot.clips.extra import Use
from earshot.core.params import Params
from earshot.training.networks import check_name, network_class
from earshot.training.networks.recipe import Recipe


class AugmentParams(Params):
    """Changes made to training clips, drawn anew for every clip and epoch."""

    mixup_alpha: float = Field(
        1.0,
        ge=0,
        description="of the Beta distribution that mixing weights come from (Zhang et al. 2018); 0 is no mixup",
    )
    mixup_probability: float = Field(
        0.7, ge=0, le=1, description="share of batches that are mixed, two clips sounding at once"
    )
    mixup_off_last: float = Field(0.1, ge=0, le=1, description="share of the run, at its end, without mixup")
    roll: bool = Field(
        True, description="whether clips are rolled in time by a random shift, so that short events lie anywhere"
    )
    mel_shift: int = Field(2, ge=0, description="clips move up or down by at most this many mel bands")
    gain_db: float = Field(20.0, ge=0, description="clips become louder or softer by at most this much")
    stretch_probability: float = Field(
        0.3, ge=0, le=1, description="share of clips of which a stretch is kept and the rest silenced"
    )
    ambience_probability: float = Field(
        0.5, ge=0, le=1, description="share of clips that are put into the steady noise of a place"
    )
    style_alpha: float = Field(
        0.4, ge=0, description="as mixup_alpha, for mixing the band statistics of two clips (Freq-MixStyle); 0 is none"
    )
    style_probability: float = Field(0.5, ge=0, le=1, description="share of batches in which they are mixed")
    time_mask_frames: int = Field(24, ge=0, description="widest band of frames masked (SpecAugment, Park et al. 2019)")
    mel_mask_bands: int = Field(8, ge=0, description="widest band of mel bands masked")
    masks: int = Field(1, ge=0, description="number of masks of each kind")
    crop_s: float = Field(2.5, ge=0, description="length in seconds of the random crop trained on; 0 is none")
    crop_until: float = Field(
        0.75, ge=0, le=1, description="share of the run, from its beginning, in which clips are cropped"
    )


class TrainParams(Params):
    """Which network, and how it is trained. A null takes the value of the network's own recipe."""

    model: str = Field(
        "compact",
        description="name of a network; compact is meant to be used, the others are compared with it",
    )
    epochs: int | None = Field(None, ge=1, description="passes over the training clips")
    batch_size: int | None = Field(None, ge=1, description="clips a step")
    learning_rate: float | None = Field(None, gt=0, description="the highest of the run")
    label_smoothing: float | None = Field(
        None, ge=0, lt=1, description="share of the target that is spread over all classes"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="before the last layers")
    weight_decay: float | None = Field(None, ge=0, description="as the network's optimizer takes it")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes cuda, then mps, then cpu")
    extra_clips: Use = Field(
        "auto",
        description="always trains on synthesised clips with the data set's own: of background, if the network has an "
        "output for it, and of its classes where it is a real one and the embedded set has all of them. auto does if "
        "the network's recipe says so, never does not",
    )
    augment: AugmentParams = Field(
        AugmentParams(), description="changes made to training clips; only networks whose recipe says so use them"
    )

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        check_name(name)
        return name

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
