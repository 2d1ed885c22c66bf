"""All channels to one: their mean, or the loudest where the mean would cancel the sound.

A cable or a camera that inverts one channel makes the mean of two silent. Whether it does is judged in each second,
counted from the beginning of the file, so that the answer does not depend on how the file is cut into blocks. From the
first such second on one channel is heard alone: going back and forth would click.
"""

from collections.abc import Iterator

import numpy as np

from earshot.hearing.blocks import BLOCK_SAMPLES, FULL_SCALE, Blocks
from earshot.hearing.notes import CHANNELS, Notes

_LOSS = 1e-2  # power of the mean beside the mean power of the channels: 20 dB less
_AUDIBLE = 1e-7  # mean power of the channels, full scale at 1: in what is quieter, rounding decides
_JUDGED = 8192  # frames of a second that are looked at, evenly spread
_SECOND = 16 * BLOCK_SAMPLES  # samples over all channels judged at once, at most


def mix(blocks: Blocks, sample_rate_hz: int, notes: Notes) -> Iterator[np.ndarray]:
    """Blocks of shape (frames, channels) to mono float32 of shape (frames,), full scale at +-1.

    Not finite where any channel is not. Blocks of one channel come out as they are cut; others a second at a time.
    """
    alone: int | None = None
    begin = 0
    for block in _seconds(blocks, sample_rate_hz):
        mono = to_mono(block)
        if alone is None:
            alone = cancelling(block, mono)
            if alone is not None:
                notes.add(
                    CHANNELS,
                    f"the channels cancel each other from {begin / sample_rate_hz:.0f} s on (one is inverted): "
                    f"channel {alone + 1} is heard alone",
                )
        begin += len(block)
        if alone is not None and np.isfinite(mono).all():
            mono = block[:, alone] * np.float32(1 / FULL_SCALE[block.dtype])
        yield mono


def to_mono(block: np.ndarray) -> np.ndarray:
    """Mean over channels of int16, int32 or float32 (frames, channels), as float32 at full scale +-1.

    Channels are added one after another: a BLAS product may round differently with the block's length, and then a
    stream would not equal a file.
    """
    channels = block.shape[1]
    samples = block.astype(np.float32)
    mono = samples[:, 0] + samples[:, 1] if channels > 1 else samples[:, 0]
    for channel in range(2, channels):
        mono += samples[:, channel]
    scale = FULL_SCALE[block.dtype] * channels
    if scale != 1.0:
        mono *= np.float32(1 / scale)
    return mono


def cancelling(block: np.ndarray, mono: np.ndarray) -> int | None:
    """The loudest channel of `block`, where its mean `mono` is 20 dB weaker than its channels; else None."""
    if block.shape[1] < 2:
        return None
    every = slice(None, None, 1 + len(block) // _JUDGED)
    with np.errstate(all="ignore"):  # samples that are not finite compare as false
        powers = np.square(block[every], dtype=np.float64).mean(axis=0) / FULL_SCALE[block.dtype] ** 2
        mean = powers.mean()
        if mean > _AUDIBLE and np.square(mono[every], dtype=np.float64).mean() < _LOSS * mean:
            return int(np.argmax(powers))
    return None


def _seconds(blocks: Blocks, sample_rate_hz: int) -> Blocks:
    """The same sound in blocks of a second; one channel as it comes."""
    held: list[np.ndarray] = []
    frames = 0
    for block in blocks:
        if block.shape[1] == 1:
            yield block
            continue
        second = max(1, min(sample_rate_hz, _SECOND // block.shape[1]))
        at = 0
        while at < len(block):
            part = block[at : at + second - frames]
            at += len(part)
            frames += len(part)
            if frames < second:
                held.append(part.copy())
                continue
            yield _joined([*held, part])
            held, frames = [], 0
    if held:
        yield _joined(held)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    if len({part.dtype for part in parts}) > 1:  # another decoder went on
        parts = [part.astype(np.float32) * np.float32(1 / FULL_SCALE[part.dtype]) for part in parts]
    return np.concatenate(parts)
