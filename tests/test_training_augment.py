"""Augmentation: what each change may alter and what it must leave alone."""

import pytest
import torch

from earshot.training import augment
from earshot.training.config import AugmentParams

CLIPS, MELS, FRAMES = 64, 32, 40


@pytest.fixture
def decibels() -> torch.Tensor:
    """Every cell differs from every other, so that it can be recognised wherever it goes."""
    torch.manual_seed(0)
    cells = torch.randperm(CLIPS * MELS * FRAMES).reshape(CLIPS, MELS, FRAMES)
    return -90 + 100 * cells / cells.numel()


def test_a_roll_keeps_every_frame_and_turns_clips_each_its_own_way(decibels):
    rolled = augment.roll_and_crop(decibels, FRAMES, roll=True)
    assert rolled.shape == decibels.shape
    shifts = []
    for before, after in zip(decibels, rolled, strict=True):
        shift = next(s for s in range(FRAMES) if torch.equal(torch.roll(before, -s, dims=1), after))
        shifts.append(shift)
    assert len(set(shifts)) > 10


@pytest.mark.parametrize("roll", [True, False])
def test_a_crop_is_a_run_of_neighbouring_frames(decibels, roll):
    cropped = augment.roll_and_crop(decibels, 25, roll)
    assert cropped.shape == (CLIPS, MELS, 25)
    starts = set()
    for before, after in zip(decibels, cropped, strict=True):
        endless = torch.cat([before, before], dim=1) if roll else before
        starts.add(next(s for s in range(endless.shape[1] - 24) if torch.equal(endless[:, s : s + 25], after)))
    assert len(starts) > 8
    assert roll == (max(starts) > FRAMES - 25)
    assert min(starts) == 0 if not roll else True


def test_without_roll_and_crop_nothing_changes(decibels):
    assert torch.equal(augment.roll_and_crop(decibels, FRAMES, roll=False), decibels)


def test_a_mel_shift_moves_bands_and_repeats_the_outermost(decibels):
    moved = augment.shift_mels(decibels, 2)
    assert moved.shape == decibels.shape
    found = set()
    for before, after in zip(decibels, moved, strict=True):
        shift = next(s for s in range(-2, 3) if torch.equal(before[2:-2], after[2 - s : MELS - 2 - s]))
        found.add(shift)
        for band in range(MELS):
            assert torch.equal(after[band], before[min(max(band + shift, 0), MELS - 1)])
    assert found == {-2, -1, 0, 1, 2}
    assert torch.equal(augment.shift_mels(decibels, 0), decibels)


def test_gain_is_one_number_a_clip_and_leaves_silence_silent(decibels):
    decibels[:, :, :5] = augment.SILENCE_DB
    louder = augment.change_gain(decibels, 6.0)
    assert louder.shape == decibels.shape
    assert torch.all(louder[:, :, :5] == augment.SILENCE_DB)
    gains = (louder - decibels)[:, :, 5:].flatten(1)
    assert gains.abs().max() <= 6.0001
    assert (gains.max(dim=1).values - gains.min(dim=1).values).max() < 1e-4
    assert gains[:, 0].std() > 2
    assert torch.all(augment.change_gain(decibels, 60.0) >= augment.SILENCE_DB)
    assert torch.equal(augment.change_gain(decibels, 0.0), decibels)


def test_a_stretch_is_kept_and_the_rest_is_silent(decibels):
    torch.manual_seed(1)
    kept = augment.keep_stretches(decibels, 0.5)
    assert kept.shape == decibels.shape
    lengths, starts = [], set()
    for before, after in zip(decibels, kept, strict=True):
        heard = (after == before).all(dim=0)
        assert torch.all(after[:, ~heard] == augment.SILENCE_DB)
        places = heard.nonzero().flatten().tolist()
        assert places == list(range(places[0], places[-1] + 1))  # one stretch
        lengths.append(len(places))
        starts.add(places[0])
    assert min(lengths) >= FRAMES // 4
    assert 0.3 < sum(length == FRAMES for length in lengths) / CLIPS < 0.7
    assert len(starts) > 8
    assert torch.equal(augment.keep_stretches(decibels, 0.0), decibels)


def test_ambience_adds_power_of_at_most_the_clips_own_and_fills_digital_silence():
    torch.manual_seed(0)
    clips = torch.full((200, MELS, FRAMES), augment.SILENCE_DB)
    clips[:, :, :10] = -40.0
    clips[0] = augment.SILENCE_DB
    heard = augment.add_ambience(clips, 1.0)
    assert torch.equal(heard[0], clips[0])
    assert (heard >= clips).all()
    assert (heard[1:, :, 10:] > augment.SILENCE_DB).float().mean() > 0.98
    # Mean power of what was added, beside the clip's own where it sounds: uniform from -30 to 0 dB.
    added_db = 10 * ((10 ** (heard[1:] / 10) - 10 ** (clips[1:] / 10)).mean(dim=(1, 2))).log10() + 40
    assert -31 < added_db.min() < -27
    assert -3 < added_db.max() < 1
    assert abs(added_db.mean() + 15) < 2


def test_ambience_differs_between_clips_and_comes_to_its_share_of_them(decibels):
    torch.manual_seed(0)
    clips = decibels[:1].repeat(1000, 1, 1)
    heard = augment.add_ambience(clips, 0.3)
    changed = (heard != clips).flatten(1).any(dim=1)
    assert 0.25 < changed.float().mean() < 0.35
    assert len(heard[changed].mean(dim=(1, 2)).unique()) > 0.95 * changed.sum()
    assert torch.equal(augment.add_ambience(clips, 0.0), clips)


def test_mixup_sounds_two_clips_at_once(decibels):
    labels = torch.arange(CLIPS)
    targets = torch.eye(CLIPS)
    mixed, blended = augment.mix(decibels, targets, alpha=1.0)
    assert mixed.shape == decibels.shape
    torch.testing.assert_close(blended.sum(dim=1), torch.ones(CLIPS))
    assert torch.equal(blended.argmax(dim=1), labels)  # the larger weight is the clip's own
    power = 10 ** (decibels.double() / 10)
    levels = power.mean(dim=(1, 2), keepdim=True)
    for label, (clip, target) in enumerate(zip(mixed, blended, strict=True)):
        # Each clip at one level with an amplitude of its share of the target; the sum as loud as the first.
        expected = ((target.double() ** 2)[:, None, None] * power / levels).sum(dim=0) * levels[label]
        torch.testing.assert_close(clip.double(), 10 * expected.log10(), rtol=0, atol=1e-3)
    assert ((blended.max(dim=1).values < 0.99).sum()) > 5


def test_silence_mixed_in_is_no_noise():
    decibels = torch.full((2, MELS, FRAMES), -40.0)
    decibels[1] = augment.SILENCE_DB
    for _ in range(20):
        mixed, targets = augment.mix(decibels, torch.eye(2), alpha=1.0)
        assert torch.all(mixed >= augment.SILENCE_DB)
        if targets[0, 0] == 1:
            continue  # drawn to be mixed with itself
        # The clip loses what its share lost, and gains nothing that can be heard from the silent one.
        expected_db = -40 + 20 * targets[0, 0].log10()
        torch.testing.assert_close(mixed[0], expected_db.expand(MELS, FRAMES), rtol=0, atol=0.02)


def test_mixed_styles_lie_between_those_of_two_clips_and_what_is_heard_stays():
    torch.manual_seed(0)
    spread = 0.5 + torch.rand(CLIPS, MELS, 1)
    normalised = torch.randn(CLIPS, MELS, FRAMES) * spread + torch.randn(CLIPS, MELS, 1)
    styled = augment.mix_styles(normalised, alpha=0.4)
    means, deviations = normalised.mean(dim=2), normalised.std(dim=2, correction=0)
    styled_means, styled_deviations = styled.mean(dim=2), styled.std(dim=2, correction=0)
    shapes = (normalised - means[:, :, None]) / deviations[:, :, None]
    styled_shapes = (styled - styled_means[:, :, None]) / styled_deviations[:, :, None]
    torch.testing.assert_close(styled_shapes, shapes, rtol=0, atol=0.01)
    moved = 0
    for clip in range(CLIPS):
        # One weight moves all bands of a clip towards one other clip: collinear in means and deviations alike.
        step = styled_means[clip] - means[clip]
        if step.abs().max() < 1e-3:
            continue
        moved += 1
        way = means - means[clip]
        along = (way * step).sum(dim=1) / way.square().sum(dim=1).clamp(min=1e-9)
        off = (along[:, None] * way - step).abs().max(dim=1).values
        other = int(off.argmin())
        assert off[other] < 1e-3
        assert -1e-3 <= along[other] <= 1.001
        expected = torch.lerp(deviations[clip], deviations[other], along[other])
        torch.testing.assert_close(styled_deviations[clip], expected, rtol=0, atol=0.01)
    assert moved > CLIPS // 3


def test_a_style_can_be_given_to_a_constant_band():
    normalised = torch.randn(4, MELS, FRAMES)
    normalised[2, 5] = 0.7
    assert torch.all(torch.isfinite(augment.mix_styles(normalised, alpha=0.4)))


def test_masks_are_bands_of_the_mean_and_differ_between_clips():
    params = AugmentParams(time_mask_frames=10, mel_mask_bands=6, masks=1)
    torch.manual_seed(0)
    normalised = torch.ones(CLIPS, MELS, FRAMES)
    masked = augment.Mask(params)(normalised)
    assert masked.shape == normalised.shape
    assert set(masked.unique().tolist()) == {0.0, 1.0}  # 0 is the mean of normalised features
    shapes = set()
    for clip in masked:
        bands, frames = (clip == 0).all(dim=1), (clip == 0).all(dim=0)
        outside = clip[~bands][:, ~frames]
        assert torch.all(outside == 1)
        assert int(bands.sum()) <= 6
        assert int(frames.sum()) <= 10
        shapes.add((int(bands.sum()), int(frames.sum())))
    assert len(shapes) > 10


def test_no_masks_change_nothing():
    normalised = torch.randn(4, MELS, FRAMES)
    assert torch.equal(augment.Mask(AugmentParams(masks=0))(normalised), normalised)
