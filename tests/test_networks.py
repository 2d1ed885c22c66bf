"""The networks: their shapes and sizes by hand, and what their parts promise."""

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError
from earshot.training import checkpoint
from earshot.training.checkpoint import Checkpoint, CheckpointError, make_model
from earshot.training.networks import NETWORKS, network_class
from earshot.training.networks.compact import RelaxedInstanceNorm
from earshot.training.networks.layers import Normalise
from earshot.training.predict import predict_logits

FRONT_END = FrontEndParams()
MELS, FRAMES, CLASSES = 64, 173, 10


def parameters(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def decibels(clips: int, frames: int = FRAMES, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(-40, 15, (clips, MELS, frames)).astype(np.float32))


def test_tutorial_is_the_tutorials_network_exactly():
    model = make_model("tutorial", CLASSES, FRONT_END, dropout=0.3)
    layers = [*model.features, model.dropout, model.head]
    assert [type(layer) for layer in layers] == [
        nn.Conv2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.Conv2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.Flatten,
        nn.Dropout,
        nn.Linear,
    ]
    for conv, channels in ((layers[0], (1, 16)), (layers[3], (16, 32))):
        assert (conv.in_channels, conv.out_channels) == channels
        assert (conv.kernel_size, conv.padding, conv.stride) == ((3, 3), (1, 1), (1, 1))
    assert layers[2].kernel_size == layers[5].kernel_size == 2
    assert layers[7].p == 0.3
    # 64 x 173 halves twice to 16 x 43.
    assert layers[8].in_features == 32 * 16 * 43
    assert parameters(model) == (9 * 16 + 16) + (9 * 16 * 32 + 32) + (32 * 16 * 43 * 10 + 10) == 224_970
    assert model(decibels(3)).shape == (3, CLASSES)


def test_compact_has_about_300_thousand_parameters():
    model = make_model("compact", CLASSES, FRONT_END)
    blocks = sum(9 * i * o + 9 * o * o + i * o + 3 * 2 * o for i, o in ((16, 32), (32, 64), (64, 128)))
    assert parameters(model) == (9 * 16 + 2 * 16) + blocks + (128 * 10 + 10)
    assert 280_000 < parameters(model) < 330_000


@pytest.mark.parametrize(("has_background", "head"), [(False, 128 * 10), (True, 21 * (128 * 11 + 11))])
def test_compact_takes_at_most_100_million_products_a_window(has_background, head):
    model = make_model("compact", CLASSES, FRONT_END, has_background=has_background).eval()
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        model(decibels(1))
    # Cells after the stem's pool, after the first block's (which comes between its convolutions), after the second's.
    after_stem, after_first, after_second = 32 * 86, 16 * 43, 8 * 21
    products = 9 * 16 * 64 * 173
    products += 9 * 16 * 32 * after_stem + (9 * 32 * 32 + 16 * 32) * after_first
    products += (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) * after_first
    products += (9 * 64 * 128 + 9 * 128 * 128 + 64 * 128) * after_second
    products += head
    assert counted.get_total_flops() == 2 * products
    assert products < 100e6


@pytest.mark.parametrize(("frames", "steps"), [(173, 21), (16, 2), (8, 1), (345, 43)])
def test_compact_hears_any_length(frames, steps):
    model = make_model("compact", CLASSES, FRONT_END).eval()
    embedding = model.embed(model.normalise(decibels(2, frames)))
    assert model.frame_logits(embedding).shape == (2, CLASSES, steps)
    assert model.logits(embedding).shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("architecture", "window_s", "message"),
    [
        ("compact", 0.1, r"audio\.window_s 0\.1 gives 5 frames; the network needs at least 8, 0\.19 s"),
        ("tutorial", 0.06, r"audio\.window_s 0\.06 gives 3 frames; the network needs at least 4, 0\.09 s"),
        ("sb_cnn", 2.9, r"sb_cnn needs windows of at least 128 frames .*configs/sb_cnn\.yaml"),
    ],
)
def test_a_window_too_short_for_the_network_is_refused(architecture, window_s, message):
    with pytest.raises(ParamsError, match=message):
        make_model(architecture, 3, FrontEndParams(window_s=window_s))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_says_at_least_logits(name):
    network = network_class(name)
    front_end = FrontEndParams(n_mels=MELS)
    model = make_model(name, CLASSES, front_end, has_background=network.learns_background).eval()
    with torch.inference_mode():
        said = model.outputs(decibels(2))
        torch.testing.assert_close(said["logits"], model(decibels(2)), rtol=0, atol=1e-5)
    assert said["logits"].shape == (2, CLASSES)
    assert ("background_logits" in said) == network.learns_background


def test_a_name_that_no_network_has_is_refused_with_the_nearest():
    with pytest.raises(ParamsError, match=r"'sb-cnn' is no network; did you mean sb_cnn\? There are .*tutorial"):
        make_model("sb-cnn", 3, FRONT_END)
    with pytest.raises(ParamsError, match=r"'x' is no network; There are compact, sb_cnn, tutorial"):
        network_class("x")


def test_frame_logits_are_a_fifth_of_a_second_apart():
    model = make_model("compact", CLASSES, FRONT_END)
    assert model.frame_stride * FRONT_END.hop_s == pytest.approx(0.19, abs=0.005)


def test_without_background_the_logits_are_the_mean_of_frame_logits():
    torch.manual_seed(0)
    model = make_model("compact", CLASSES, FRONT_END).eval()
    with torch.inference_mode():
        embedding = model.embed(model.normalise(decibels(4)))
        logits, over_time = model.logits(embedding), model.frame_logits(embedding)
        torch.testing.assert_close(logits, over_time.mean(dim=2), rtol=0, atol=1e-5)
        torch.testing.assert_close(model(decibels(4)), logits, rtol=0, atol=0)
        # The head is a 1x1 convolution over time.
        expected = nn.functional.conv1d(embedding, model.head.weight[:, :, None], model.head.bias)
        torch.testing.assert_close(over_time, expected, rtol=0, atol=1e-5)


def test_a_frame_counts_for_as_much_as_it_holds_a_class():
    torch.manual_seed(0)
    model = make_model("compact", CLASSES, FRONT_END, has_background=True).eval()
    embedding = torch.randn(4, 128, 21) * 4
    with torch.inference_mode():
        logits, over_time, of_background = (
            say(embedding).double().numpy() for say in (model.logits, model.frame_logits, model.frame_background_logits)
        )
        plain = model.mean_logits(embedding).double().numpy()
    weights = 1 - special.softmax(np.concatenate([over_time, of_background], axis=1), axis=1)[:, -1]
    assert weights.min() < 0.2 < 0.9 < weights.max()
    expected = [np.average(clip, axis=1, weights=weight) for clip, weight in zip(over_time, weights, strict=True)]
    assert np.abs(logits - expected).max() < 0.01
    assert np.abs(plain - np.concatenate([over_time, of_background], axis=1).mean(axis=2)).max() < 1e-5
    assert np.abs(plain[:, :-1] - expected).max() > 0.1


def test_where_no_frame_holds_a_class_all_count_alike():
    model = make_model("compact", CLASSES, FRONT_END, has_background=True).eval()
    nn.init.constant_(model.background.bias, 200.0)
    embedding = torch.randn(2, 128, 21)
    with torch.inference_mode():
        torch.testing.assert_close(model.logits(embedding), model.mean_logits(embedding)[:, :-1], rtol=0, atol=1e-5)


def test_background_is_one_more_logit_and_changes_no_other():
    torch.manual_seed(0)
    plain = make_model("compact", CLASSES, FRONT_END).eval()
    model = make_model("compact", CLASSES, FRONT_END, has_background=True).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    assert parameters(model) == parameters(plain) + 128 + 1
    with torch.inference_mode():
        embedding = model.embed(model.normalise(decibels(4)))
        assert torch.equal(model.frame_logits(embedding), plain.frame_logits(embedding))
        assert torch.equal(model.mean_logits(embedding)[:, :-1], plain.mean_logits(embedding))
        of_background, over_time = model.background_logits(embedding), model.frame_background_logits(embedding)
        assert (of_background.shape, over_time.shape) == ((4, 1), (4, 1, FRAMES // 8))
        torch.testing.assert_close(of_background, over_time.mean(dim=2), rtol=0, atol=1e-5)
        expected = nn.functional.conv1d(embedding, model.background.weight[:, :, None], model.background.bias)
        torch.testing.assert_close(over_time, expected, rtol=0, atol=1e-5)


def test_normalise_takes_mean_and_deviation_of_each_band():
    features = decibels(5, 30)
    features[:, 7] = -100  # a band above every recording's bandwidth
    normalise = Normalise(MELS)
    normalise.fit(features)
    normalised = normalise(features)
    heard = [band for band in range(MELS) if band != 7]
    assert normalised.mean(dim=(0, 2)).abs().max() < 1e-4
    assert (normalised[:, heard].std(dim=(0, 2)) - 1).abs().max() < 1e-3
    assert torch.all(normalised[:, 7] == 0)


def test_relaxed_instance_norm_takes_half_of_each_clips_own_colour_away():
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.normal(0, 2, (3, MELS, FRAMES)) + random.normal(0, 3, (3, MELS, 1))).float()
    cells[1, 4] = 1.5  # a band that does not change
    relaxed = RelaxedInstanceNorm()(cells)
    own = cells.numpy()
    standardised = (own - own.mean(axis=2, keepdims=True)) / (own.std(axis=2, keepdims=True) + 0.1)
    np.testing.assert_allclose(relaxed, 0.5 * own + 0.5 * standardised, rtol=0, atol=1e-5)
    torch.testing.assert_close(relaxed[1, 4], torch.full((FRAMES,), 0.75))
    # A microphone's response moves whole bands: half of it is left.
    response = torch.from_numpy(random.normal(0, 3, (1, MELS, 1))).float()
    torch.testing.assert_close(RelaxedInstanceNorm()(cells + response), relaxed + response / 2, rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_a_checkpoint_brings_back_the_same_network(tmp_path, architecture):
    torch.manual_seed(0)
    model = make_model(architecture, 3, FRONT_END, dropout=0.3).eval()
    model.normalise.fit(decibels(4))
    for name in ("a.pt", "b.pt"):
        checkpoint.save(Checkpoint(model, architecture, ("a", "b", "ü"), FRONT_END), tmp_path / name)
    loaded = checkpoint.load(tmp_path / "a.pt")
    assert (loaded.architecture, loaded.classes, loaded.front_end) == (architecture, ("a", "b", "ü"), FRONT_END)
    features = decibels(5).numpy().astype(np.float16)
    assert np.array_equal(predict_logits(loaded.model, features), predict_logits(model, features))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_checkpoint_tells_whether_the_network_knows_the_background(tmp_path):
    for has_background in (True, False):
        model = make_model("compact", 3, FRONT_END, has_background=has_background).eval()
        checkpoint.save(Checkpoint(model, "compact", ("a", "b", "c"), FRONT_END, has_background), tmp_path / "a.pt")
        found = checkpoint.load(tmp_path / "a.pt")
        loaded = found.model
        assert found.has_background == (loaded.background is not None) == has_background
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pt not found: run `dvc repro train`"):
        checkpoint.load(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("no weights here")
    with pytest.raises(CheckpointError, match=r"text\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "text.pt")
    network = make_model("compact", 3, FRONT_END).eval()
    checkpoint.save(Checkpoint(network, "compact", ("a", "b", "c"), FRONT_END), tmp_path / "new.pt")
    document = torch.load(tmp_path / "new.pt", weights_only=True)
    del document["has_background"]  # as in a checkpoint of before
    torch.save(document, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=r"old\.pt is not a checkpoint of this version.*`dvc repro -f train`"):
        checkpoint.load(tmp_path / "old.pt")
    torch.save({"architecture": "compact"}, tmp_path / "half.pt")
    with pytest.raises(CheckpointError, match=r"half\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "half.pt")


def test_a_checkpoint_executes_nothing(tmp_path):
    class Mischief:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"architecture": Mischief()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "evil.pt")
    assert not (tmp_path / "written").exists()


def test_predictions_come_from_eval_mode_and_leave_the_mode_alone():
    model = make_model("compact", 3, FRONT_END, dropout=0.5).train()
    features = decibels(3).numpy().astype(np.float16)
    assert np.array_equal(predict_logits(model, features), predict_logits(model, features))
    assert model.training
    model.eval()
    assert np.allclose(predict_logits(model, features, batch_size=1), predict_logits(model, features), atol=1e-5)
    assert not model.training
