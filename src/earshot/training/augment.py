"""Augmentation as batched tensor operations on whichever device holds the batch; no loop over clips.

All work on decibels of shape (batch, n_mels, frames), before normalisation, except `mix_styles` and `Mask`. Random
numbers come from torch's global generators, which the training loop seeds at the start of every epoch.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.training.config import AugmentParams
from earshot.training.networks.layers import band_statistics
from earshot.training.torchaudio_compat import import_torchaudio

SILENCE_DB = -100.0  # the front end's floor: exactly this is digital silence, and stays so at any gain
_QUIETEST_LEVEL = 1e-7  # mean power; a clip below it is mixed in as softly as it is, or silence would become noise


class Augmentation:
    """Everything a training batch goes through, from the cache's decibels to what the network's layers are given."""

    def __init__(self, params: AugmentParams, front_end: FrontEndParams, classes: int, least_frames: int) -> None:
        """Crops are of `params.crop_s` and at least `least_frames` frames; targets have `classes` columns."""
        self._params = params
        self._frames = front_end.window_frames
        self._crop_frames = self._frames
        if params.crop_s > 0:
            self._crop_frames = min(self._frames, max(least_frames, round(params.crop_s / front_end.hop_s)))
        self._classes = classes
        self._mask = Mask(params)

    def __call__(
        self, decibels: Tensor, labels: Tensor, done: float, normalise: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Normalised and changed input, float32 (batch, n_mels, frames), and its targets (batch, classes).

        Args:
            decibels: float16 (batch, n_mels, window_frames).
            labels: int64 (batch,).
            done: share of the run that is over, 0 to 1.
            normalise: decibels to normalised features.
        """
        params = self._params
        frames = self._crop_frames if done < params.crop_until else self._frames
        batch = roll_and_crop(decibels, frames, params.roll).float()
        batch = change_gain(shift_mels(batch, params.mel_shift), params.gain_db)
        batch = keep_stretches(batch, params.stretch_probability)
        batch = add_ambience(batch, params.ambience_probability)
        targets = F.one_hot(labels, self._classes).float()
        mixed = params.mixup_alpha > 0 and done < 1 - params.mixup_off_last
        if mixed and float(torch.rand(())) < params.mixup_probability:
            batch, targets = mix(batch, targets, params.mixup_alpha)
        batch = normalise(batch)
        if params.style_alpha > 0 and float(torch.rand(())) < params.style_probability:
            batch = mix_styles(batch, params.style_alpha)
        return self._mask(batch), targets


def roll_and_crop(decibels: Tensor, frames: int, roll: bool) -> Tensor:
    """Roll each clip by a random shift and keep `frames` frames of it."""
    batch, n_mels, length = decibels.shape
    if not roll and frames == length:
        return decibels
    last = length if roll else length - frames + 1
    start = torch.randint(0, last, (batch, 1), device=decibels.device)
    take = (start + torch.arange(frames, device=decibels.device)) % length
    return decibels.gather(2, take[:, None, :].expand(batch, n_mels, frames))


def shift_mels(decibels: Tensor, most: int) -> Tensor:
    """Move each clip up or down by at most `most` bands; the outermost band fills the gap. A small change of pitch."""
    if not most:
        return decibels
    batch, n_mels, frames = decibels.shape
    shift = torch.randint(-most, most + 1, (batch, 1), device=decibels.device)
    take = (torch.arange(n_mels, device=decibels.device) + shift).clamp(0, n_mels - 1)
    return decibels.gather(1, take[:, :, None].expand(batch, n_mels, frames))


def change_gain(decibels: Tensor, most_db: float) -> Tensor:
    """Make each clip louder or softer by at most `most_db`; digital silence stays silence."""
    if not most_db:
        return decibels
    gain_db = (2 * torch.rand(len(decibels), 1, 1, device=decibels.device) - 1) * most_db
    louder = (decibels + gain_db).clamp(min=SILENCE_DB)
    return torch.where(decibels <= SILENCE_DB, decibels, louder)


def keep_stretches(decibels: Tensor, probability: float) -> Tensor:
    """Keep a stretch of some clips, a quarter to all of their frames, anywhere; the rest becomes digital silence.

    A clip shorter than the window is padded with silence. Where only some classes have short clips, silence would tell
    the class, and half a minute of music cut to two seconds would be a gun shot.
    """
    if not probability:
        return decibels
    batch, _, frames = decibels.shape
    length = (frames * (0.25 + 0.75 * torch.rand(batch, 1, device=decibels.device))).round()
    start = (torch.rand(batch, 1, device=decibels.device) * (frames - length)).round()
    frame = torch.arange(frames, device=decibels.device)
    kept = (frame >= start) & (frame < start + length)
    kept |= torch.rand(batch, 1, device=decibels.device) >= probability
    return torch.where(kept[:, None, :], decibels, SILENCE_DB)


def add_ambience(decibels: Tensor, probability: float) -> Tensor:
    """Put some clips into a place where nothing else happens: steady noise of a colour of its own, powers added.

    It lies 0 to 30 dB below the mean power of the clip's cells that are not digital silence, and fills these too, as
    everywhere outside of a data set. Its spectrum is a slope with a few bumps, its level swells slowly, and its cells
    scatter as those of Gaussian noise do: the fewer bins of the Fourier transform there are in a band, the more.
    """
    if not probability:
        return decibels
    sounding = (decibels > SILENCE_DB).flatten(1).any(dim=1)  # there is nothing to measure the noise of silence by
    chosen = (torch.rand(len(decibels), device=decibels.device) < probability) & sounding
    rows = chosen.nonzero().squeeze(1)
    heard = decibels.clone()
    heard[rows] = _in_ambience(decibels[rows])
    return heard


def _in_ambience(decibels: Tensor) -> Tensor:
    clips, n_mels, frames = decibels.shape
    device = decibels.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(clips, 1, device=device)

    band = torch.linspace(0, 1, n_mels, device=device)
    time = torch.linspace(0, 1, frames, device=device)
    spectrum_db = uniform(-40, 5) * band
    for bumps in (1, 2, 3):
        spectrum_db = spectrum_db + uniform(-4, 4) * torch.cos(math.pi * bumps * band + uniform(0, 2 * math.pi))
    swell_db = uniform(0, 4) * torch.cos(2 * math.pi * (uniform(0.2, 2) * time + uniform(0, 1)))
    scatter_db = torch.linspace(4.5, 2.0, n_mels, device=device)[:, None]
    noise_db = spectrum_db[:, :, None] + swell_db[:, None, :] + scatter_db * torch.randn_like(decibels)
    power, noise = _power(decibels), _power(noise_db)
    sounding = decibels > SILENCE_DB
    level = (power * sounding).sum(dim=(1, 2)) / sounding.sum(dim=(1, 2)).clamp(min=1)
    share = level * 10 ** (-uniform(0, 30).squeeze(1) / 10) / noise.mean(dim=(1, 2))
    return (10 * (power + share[:, None, None] * noise).log10()).clamp(min=SILENCE_DB)


def _power(decibels: Tensor) -> Tensor:
    return (decibels * (math.log(10) / 10)).exp()


def mix(decibels: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Sound each clip together with another of the batch, and blend their targets (batch, classes).

    Mixup (Zhang et al. 2018) with what microphones do: powers add, decibels do not. Both clips are brought to one mean
    power and added with amplitudes w and 1 - w, so that the weight says how much of each is heard (between-class
    learning: Tokozume et al. 2018); the sum has the first clip's level. w is drawn from Beta(alpha, alpha) for each
    clip, and is the larger of the two shares.
    """
    weight = torch.distributions.Beta(alpha, alpha).sample((len(decibels),)).to(decibels.device)
    weight = torch.maximum(weight, 1 - weight)
    other = torch.randperm(len(decibels), device=decibels.device)
    power = _power(decibels)
    level = power.mean(dim=(1, 2), keepdim=True).clamp(min=_QUIETEST_LEVEL)
    share, other_share = weight.square()[:, None, None], (1 - weight).square()[:, None, None]
    mixed = share * power + other_share * (power * level.reciprocal())[other] * level
    mixed_db = (10 * mixed.log10()).clamp(min=SILENCE_DB)
    return mixed_db, torch.lerp(targets[other], targets, weight[:, None])


def mix_styles(normalised: Tensor, alpha: float) -> Tensor:
    """Give each clip's bands a mean and deviation between its own and those of another clip of the batch.

    *Normalised* features, (batch, n_mels, frames). As if another microphone in another room had heard it; targets stay
    (Freq-MixStyle: Schmid et al., "CP-JKU Submission to DCASE22", 2022). One weight from Beta(alpha, alpha) for each
    clip.
    """
    weight = torch.distributions.Beta(alpha, alpha).sample((len(normalised), 1, 1)).to(normalised.device)
    other = torch.randperm(len(normalised), device=normalised.device)
    mean, deviation = band_statistics(normalised)
    deviation = deviation + 1e-3  # a constant band stays one
    style_mean = torch.lerp(mean[other], mean, weight)
    style_deviation = torch.lerp(deviation[other], deviation, weight)
    return (normalised - mean) / deviation * style_deviation + style_mean


class Mask:
    """SpecAugment's masks (Park et al. 2019) by torchaudio, one for each clip, on *normalised* features."""

    def __init__(self, params: AugmentParams) -> None:
        transforms = import_torchaudio().transforms
        self._masks = [transforms.FrequencyMasking(params.mel_mask_bands, iid_masks=True)] * params.masks
        self._masks += [transforms.TimeMasking(params.time_mask_frames, iid_masks=True)] * params.masks

    def __call__(self, normalised: Tensor) -> Tensor:
        """Mask (batch, n_mels, frames)."""
        masked = normalised[:, None]  # torchaudio draws one mask for each clip only if there is a channel dimension
        for transform in self._masks:
            masked = transform(masked, 0.0)
        return masked[:, 0]
