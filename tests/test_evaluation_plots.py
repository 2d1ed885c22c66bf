"""Pictures are written, are the same bytes each time, and follow the figures."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from earshot.evaluation import plots
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.metrics import Evaluation, evaluate
from earshot.model.scores import softmax

HISTORY = "epoch,train_loss,val_loss,val_accuracy,learning_rate\n"


def _evaluation(classes: int, seed: int = 0) -> Evaluation:
    """The last class has no clips, the first only three recordings."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes - 1), 24)
    recordings = np.where(labels == 0, np.arange(len(labels)) % 3, np.arange(len(labels)))
    logits = random.normal(0, 1.5, (len(labels), classes))
    logits[np.arange(len(labels)), labels] += 2
    names = [f"a_rather_long_name_{i}" for i in range(classes)]
    return evaluate(softmax(logits), labels, recordings, None, names, EvaluationParams(bootstrap_resamples=100))


def _draw_all(evaluation: Evaluation, folder: Path) -> dict[str, bytes]:
    history = folder / "history.csv"
    history.parent.mkdir(parents=True, exist_ok=True)
    history.write_text(HISTORY + "1,2.0,1.9,0.4,0.001\n2,1.5,1.6,0.6,0.002\n3,1.2,1.7,0.6,0.001\n")
    plots.plot_confusion(evaluation, folder / "plots/confusion.png")
    plots.plot_per_class(evaluation, folder / "plots/per_class.png")
    plots.plot_reliability(evaluation.reliability, folder / "plots/reliability.png")
    plots.plot_history(history, 3, folder / "plots/training.png")
    return {path.name: path.read_bytes() for path in sorted((folder / "plots").iterdir())}


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_every_picture_is_drawn_for_any_number_of_classes(classes, tmp_path):
    drawn = _draw_all(_evaluation(classes), tmp_path)
    assert sorted(drawn) == ["confusion.png", "per_class.png", "reliability.png", "training.png"]
    for name in drawn:
        pixels = matplotlib.image.imread(tmp_path / "plots" / name)
        assert min(pixels.shape[:2]) > 200
        assert max(pixels.shape[:2]) < 4000
        assert pixels[..., :3].std() > 0.02  # not a blank page


def test_same_figures_same_bytes_whatever_the_users_settings(tmp_path):
    first = _draw_all(_evaluation(4), tmp_path / "first")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        second = _draw_all(_evaluation(4), tmp_path / "second")
    assert first == second
    for content in first.values():
        assert b"Software" not in content
        assert b"tIME" not in content
    other = _draw_all(_evaluation(4, seed=1), tmp_path / "other")
    for name in ("confusion.png", "per_class.png", "reliability.png"):
        assert other[name] != first[name]


def test_the_marked_epoch_is_the_one_that_training_kept(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda axes, title, **_: titles.append(title))
    _draw_all(_evaluation(3), tmp_path)
    assert titles[-1] == "Epoch 3 was kept: 60.0 % on validation"


def test_a_single_epoch_is_drawn(tmp_path):
    (tmp_path / "history.csv").write_text(HISTORY + "1,2.0,1.9,0.4,0.001\n")
    plots.plot_history(tmp_path / "history.csv", 1, tmp_path / "training.png")
    assert (tmp_path / "training.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not found"),
        (HISTORY, "no epoch"),
        ("a,b\n1,2\n", "not a table"),
        (HISTORY + "1,x,1,1,1\n", "not a table"),
        (HISTORY + "1,2.0,1.9,0.4,0.001\n", "no epoch 2"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_an_error_for_the_user(content, message, tmp_path):
    if content is not None:
        (tmp_path / "history.csv").write_text(content)
    with pytest.raises(plots.PlotError, match=message):
        plots.plot_history(tmp_path / "history.csv", 2, tmp_path / "training.png")
    assert not (tmp_path / "training.png").exists()
