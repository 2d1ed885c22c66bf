"""SB-CNN: what the paper says of it, counted by hand, and its patches cut out one by one."""

import numpy as np
import pytest
import torch
import yaml

from earshot.core.front_end import FrontEndParams
from earshot.core.params import build
from earshot.deployment.export import export, for_int8
from earshot.deployment.quantize import convolutions_left_in_float, quantize, run_logits
from earshot.training.checkpoint import Checkpoint, make_model
from earshot.training.config import TrainParams
from earshot.training.networks.sb_cnn import PATCH_FRAMES, SbCnn
from earshot.training.predict import predict_logits
from import_closure import ROOT

FRONT_END = FrontEndParams(n_mels=128)
SILENCE_DB = -100.0


def network(classes: int = 10) -> SbCnn:
    torch.manual_seed(0)
    model = make_model("sb_cnn", classes, FRONT_END, dropout=0.5).eval()
    assert isinstance(model, SbCnn)
    return model


def decibels(clips: int, seed: int = 0) -> torch.Tensor:
    cells = np.random.default_rng(seed).normal(-40, 15, (clips, FRONT_END.n_mels, FRONT_END.window_frames))
    return torch.from_numpy(cells.clip(-99, None).astype(np.float32))


def one_patch(model: SbCnn, patch: torch.Tensor) -> torch.Tensor:
    """Probabilities (classes,) of one patch (mels, frames), layer by layer as the paper describes them."""
    hidden = ((patch - model.normalise.mean) / model.normalise.deviation)[None, None]
    for layer in (model.first, model.second):
        hidden = torch.relu(torch.nn.functional.max_pool2d(layer(hidden), (2, 4)))
    hidden = torch.relu(model.third(hidden))
    assert hidden.shape[1:] == (48, 25, 2)  # 2,400 values
    columns = torch.cat([hidden[0, :, :, 0].flatten(), hidden[0, :, :, 1].flatten()])
    return model.head(torch.relu(model.dense(columns))).softmax(dim=0)


def test_it_has_the_papers_parameters():
    counts = (5 * 5 * 24 + 24, 5 * 5 * 24 * 48 + 48, 5 * 5 * 48 * 48 + 48, 2400 * 64 + 64, 64 * 10 + 10)
    assert sum(weights.numel() for weights in network().parameters()) == sum(counts) == 241_434


def test_a_windows_answer_is_the_mean_over_every_patch_in_it():
    model = network()
    cells = decibels(3)
    model.normalise.fit(decibels(20, seed=1))
    cells[1, :, 140:] = SILENCE_DB  # a clip of 140 frames fills 13 patches
    cells[2, :, 50:] = SILENCE_DB  # one shorter than a patch is one patch
    with torch.inference_mode():
        answers = model(cells)
        for clip, answer, patches in zip(cells, answers, (46, 13, 1), strict=True):
            mean = sum(one_patch(model, clip[:, begin : begin + PATCH_FRAMES]) for begin in range(patches)) / patches
            torch.testing.assert_close(answer, mean.log(), rtol=0, atol=1e-4)
    assert answers.std() > 0.05


def test_its_files_answer_as_it_does_and_alone_as_in_a_batch(one_thread):
    model = network()
    cells = decibels(14)
    cells[3, :, 100:] = SILENCE_DB
    cells[4, :, 150:] = SILENCE_DB
    model.normalise.fit(cells)
    features = cells.numpy().astype(np.float16)
    expected = predict_logits(model, features)
    checkpoint = Checkpoint(model, "sb_cnn", tuple("abcdefghij"), FRONT_END)
    fp32 = export(checkpoint)
    int8 = quantize(export(for_int8(checkpoint)), features)
    assert [output.name for output in int8.graph.output] == ["logits"]
    assert convolutions_left_in_float(int8) == 0
    assert np.abs(run_logits(fp32, features) - expected).max() <= 1e-4
    assert np.abs(run_logits(int8, features) - expected).max() < 0.1 * expected.std()
    for file in (fp32, int8):
        together = run_logits(file, features)
        for number in range(len(features)):
            assert np.array_equal(run_logits(file, features[number : number + 1])[0], together[number])


def test_silence_has_an_answer():
    with torch.inference_mode():
        assert network()(torch.full((1, 128, FRONT_END.window_frames), SILENCE_DB)).isfinite().all()


def test_training_patches_begin_anywhere_in_the_clip_and_nowhere_after_it():
    """With each frame's number in its cells, the first cell of a patch tells where it begins."""
    model = network().train()
    begins = []
    model._patch_logits = lambda patches, every_frame: (  # type: ignore[method-assign]
        begins.append(patches[:, 0, 0]) or torch.zeros(len(patches), 10, 1, requires_grad=True)
    )
    numbered = torch.arange(FRONT_END.window_frames).expand(200, FRONT_END.n_mels, -1).half().clone()
    numbered[100:, :, 140:] = SILENCE_DB
    for _ in range(20):
        model.loss(numbered, torch.zeros(200, dtype=torch.int64), 0.0, None)
    found = torch.stack(begins)
    assert set(found[:, :100].flatten().tolist()) == set(range(46))
    assert set(found[:, 100:].flatten().tolist()) == set(range(13))


def test_its_penalty_is_on_the_weights_of_the_dense_layers_alone():
    model = network()
    recipe = SbCnn.recipe
    optimizer, schedule = model.optimizer(recipe, 100)
    assert schedule is None
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimizer.step()
    for name, value in model.named_parameters():
        # The gradient of 0.001 times the square, at a learning rate of 0.01.
        kept = 1 - 0.01 * 2 * 0.001 if name in ("dense.weight", "head.weight") else 1
        torch.testing.assert_close(value.detach(), before[name] * kept, rtol=1e-6, atol=0)


def test_its_file_gives_it_the_input_it_was_published_for():
    given = yaml.safe_load((ROOT / "configs/sb_cnn.yaml").read_text(encoding="utf-8"))
    front_end = build(FrontEndParams, given["audio"], "audio")
    assert build(TrainParams, given["train"], "train").model == "sb_cnn"
    assert front_end.n_mels == PATCH_FRAMES == 128
    assert PATCH_FRAMES * front_end.hop_s == pytest.approx(3.0, abs=0.03)
    assert front_end.window_frames - PATCH_FRAMES + 1 == SbCnn.recipe.passes * 8
    SbCnn.check(front_end)
