"""What a network is judged by where no fold is left for validation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from earshot.clips.parts import Parts
from earshot.core.front_end import FrontEndParams
from earshot.training.config import TrainParams
from earshot.training.loop import HISTORY_COLUMNS
from earshot.training.predict import predict_logits
from earshot.training.validated import Fitted, fit_parts

FRONT_END = FrontEndParams(window_s=0.5)
CLASSES = ("air", "bell")
PARAMS = TrainParams(epochs=4, batch_size=8, device="cpu")


def parts_of(assignment: list[str], inner: np.ndarray | None) -> Parts:
    random = np.random.default_rng(0)
    labels = np.arange(len(assignment)) % 2
    cells = random.normal(-50, 8, (len(assignment), 64, FRONT_END.window_frames))
    cells[labels == 1, 20:40] += 20
    table = pd.DataFrame(
        {"label": [CLASSES[label] for label in labels], "recording": [f"r{i}" for i in range(len(labels))]}
    )
    return Parts(CLASSES, table, np.array(assignment), {}, cells.astype(np.float16), inner)


@pytest.fixture(scope="module")
def out_of_fold() -> Parts:
    return parts_of(["train"] * 32 + ["test"] * 8, np.array([1 + i // 2 % 4 for i in range(32)] + [0] * 8))


@pytest.fixture(scope="module")
def fitted(out_of_fold: Parts, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Fitted:
    return fit_parts(out_of_fold, FRONT_END, PARAMS, 1, state_in(tmp_path_factory.mktemp("state")), progress=False)


def state_in(directory: Path):
    return lambda name: directory / f"{name}.pt"


def test_every_clip_is_judged_by_a_network_that_did_not_train_on_it(out_of_fold, fitted):
    assert len(fitted.out_of_fold) == len(out_of_fold.validations) == 4
    held = []
    for fold in out_of_fold.validations:
        assert len(fold.train.labels) + len(fold.held.labels) == 32
        cells = {clip.tobytes() for clip in fold.train.features}
        assert not [clip for clip in fold.held.features if clip.tobytes() in cells]
        held += [clip.tobytes() for clip in fold.held.features]
    assert sorted(held) == sorted(clip.tobytes() for clip in out_of_fold.part("train").features)
    answers = [predict_logits(model.model, out_of_fold.part("test").features) for model in fitted.out_of_fold]
    assert not np.array_equal(answers[0], answers[1])


def test_the_history_shows_the_judges_and_the_last_epoch_is_kept(out_of_fold, fitted):
    trained = fitted.trained
    assert trained.best_epoch == PARAMS.resolved(1000).epochs == len(trained.history)
    assert list(trained.history[0]) == HISTORY_COLUMNS
    right = [
        predict_logits(model.model, fold.held.features).argmax(axis=1) == fold.held.labels
        for model, fold in zip(fitted.out_of_fold, out_of_fold.validations, strict=True)
    ]
    assert trained.history[-1]["val_accuracy"] == pytest.approx(np.concatenate(right).mean(), abs=1e-6)


def test_an_interrupted_run_goes_on_where_it_stopped(out_of_fold, fitted, tmp_path, capsys, one_thread):
    state = state_in(tmp_path)
    fit_parts(out_of_fold, FRONT_END, PARAMS, 1, state, progress=False)
    for name in ("inner4", "state"):
        state(name).unlink()
    capsys.readouterr()
    again = fit_parts(out_of_fold, FRONT_END, PARAMS, 1, state, progress=False)
    assert capsys.readouterr().out.count("resuming training after epoch 4 of 4") == 3
    cells = out_of_fold.part("test").features
    expected = predict_logits(fitted.trained.checkpoint.model, cells)
    assert np.array_equal(predict_logits(again.trained.checkpoint.model, cells), expected)


def test_a_val_part_needs_no_out_of_fold(tmp_path, one_thread):
    parts = parts_of(["train"] * 16 + ["val"] * 8 + ["test"] * 8, None)
    fitted = fit_parts(parts, FRONT_END, PARAMS, 1, state_in(tmp_path), progress=False)
    assert fitted.out_of_fold == []
    assert len(parts.validations) == 1
    right = predict_logits(fitted.trained.checkpoint.model, parts.part("val").features).argmax(axis=1)
    expected = (right == parts.part("val").labels).mean()
    assert fitted.trained.history[fitted.trained.best_epoch - 1]["val_accuracy"] == pytest.approx(expected, abs=1e-6)
