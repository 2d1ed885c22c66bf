"""Training: it learns what is there to be learnt and nothing else, and goes on after it was killed."""

import numpy as np
import pytest
import torch

from earshot.core.front_end import FrontEndParams
from earshot.core.hashes import hash_code
from earshot.core.params import ParamsError, build
from earshot.training import loop, parallel
from earshot.training.config import AugmentParams, TrainParams
from earshot.training.loop import HISTORY_COLUMNS, Clips, TrainingError, fit
from earshot.training.networks import network_class
from earshot.training.networks.recipe import Recipe
from earshot.training.predict import predict_logits
from earshot.training.report import summarise
from earshot.training.resume import KEEP_RUNS, state_path

FRONT_END = FrontEndParams(window_s=0.4, n_mels=32)
CLASSES = ("a", "b", "c", "d")
COMPACT = TrainParams(epochs=4, batch_size=16, device="cpu")
TUTORIAL = TrainParams(model="tutorial", epochs=4, device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def clips(count: int, seed: int, classes: int = len(CLASSES)) -> Clips:
    """Noise, louder in the bands of the clip's class by little enough that it takes some learning."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = random.normal(-50, 8, (count, FRONT_END.n_mels, FRONT_END.window_frames))
    width = FRONT_END.n_mels // classes
    for clip, label in zip(features, labels, strict=True):
        clip[label * width : (label + 1) * width] += 5
    return Clips(features.astype(np.float16), labels.astype(np.int64))


def train(params: TrainParams, seed: int = 3, **options):
    return fit(clips(64, 0), clips(48, 1), CLASSES, FRONT_END, params, seed, progress=False, **options)


def weights(trained: loop.Trained) -> dict[str, torch.Tensor]:
    return trained.checkpoint.model.state_dict()


def same(one: loop.Trained, other: loop.Trained) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) and one.history == other.history


@pytest.fixture(scope="module", params=[COMPACT, TUTORIAL], ids=lambda params: params.model)
def uninterrupted(request, one_thread) -> tuple[TrainParams, loop.Trained]:
    return request.param, train(request.param)


def test_the_seed_decides_everything(uninterrupted):
    params, trained = uninterrupted
    assert same(train(params), trained)
    assert not same(train(params, seed=4), trained)


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_run_ends_with_the_same_bits(uninterrupted, after, tmp_path, monkeypatch, capsys):
    params, trained = uninterrupted
    state = tmp_path / "state.pt"
    save = loop._save_state

    def save_and_die(path, model, optimizer, scheduler, history, best):
        save(path, model, optimizer, scheduler, history, best)
        if len(history) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(params, state_path=state)
    monkeypatch.setattr(loop, "_save_state", save)
    capsys.readouterr()
    resumed = train(params, state_path=state)
    assert f"resuming training after epoch {after} of 4" in capsys.readouterr().out
    assert same(resumed, trained)
    # Once more on the finished state: what an orphan has finished is taken over.
    assert same(train(params, state_path=state), trained)
    assert "after epoch 4 of 4" in capsys.readouterr().out


def test_history_tells_what_the_checkpoint_does(uninterrupted):
    params, trained = uninterrupted
    val = clips(48, 1)
    best = trained.history[trained.best_epoch - 1]
    logits = predict_logits(trained.checkpoint.model, val.features)
    assert best["val_accuracy"] == pytest.approx((logits.argmax(axis=1) == val.labels).mean(), abs=1e-6)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(val.labels))
    assert best["val_loss"] == pytest.approx(float(loss), abs=1e-4)
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4]
    assert list(trained.history[0]) == HISTORY_COLUMNS
    # Of four epochs only the last is without mixup, and only such a one may be chosen.
    assert trained.best_epoch == 4
    split = {"strategy": "folds", "train": {"clips": 64}, "val": {"clips": 48}}
    figures = summarise(trained, "folder", split, {"classes": 5, "background": 7})
    assert (figures["best_epoch"], figures["epochs"]) == (trained.best_epoch, 4)
    assert figures["val_accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert figures["parameters"] == sum(p.numel() for p in trained.checkpoint.model.parameters())
    assert figures["model"] == params.model
    assert (figures["train_clips"], figures["extra_clips"], figures["background_clips"]) == (64, 5, 7)


# The compact network's augmentation takes levels and microphones away, which is all that tells these classes apart: it
# learns them in more steps.
@pytest.mark.parametrize(("model", "epochs"), [("compact", 24), ("tutorial", 8)])
def test_true_labels_are_learnt_and_shuffled_ones_are_not(model, epochs):
    params = TrainParams(model=model, epochs=epochs, batch_size=16, device="cpu", augment=AugmentParams(masks=0))
    everything = clips(320, 5)
    shuffled = np.random.default_rng(0).permutation(everything.labels)

    def accuracy(labels: np.ndarray) -> float:
        parts = (Clips(everything.features[rows], labels[rows]) for rows in (slice(0, 128), slice(128, 320)))
        trained = fit(*parts, CLASSES, FRONT_END, params, 1, progress=False)
        return trained.history[-1]["val_accuracy"]  # not the best epoch, which is chosen on these labels

    assert accuracy(everything.labels) > 0.8
    assert accuracy(shuffled) < 0.4  # chance is 0.25; 192 clips


def test_a_loss_that_is_not_finite_says_what_to_change():
    params = TrainParams(model="tutorial", epochs=2, learning_rate=1e30, device="cpu")
    with pytest.raises(TrainingError, match=r"not finite in epoch 1: lower train\.learning_rate \(now 1e\+30\)"):
        train(params)


def test_no_state_is_kept_of_an_epoch_whose_loss_is_not_finite(tmp_path):
    params = TrainParams(model="tutorial", epochs=2, learning_rate=1e30, device="cpu")
    with pytest.raises(TrainingError):
        train(params, state_path=tmp_path / "state.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("crop_s", [0.0, 0.01, 0.2, 9.0])
def test_any_crop_is_one_the_network_can_hear(crop_s):
    trained = train(TrainParams(epochs=1, batch_size=16, device="cpu", augment=AugmentParams(crop_s=crop_s)))
    assert np.isfinite(trained.history[0]["train_loss"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(TrainingError, match=r"train\.device is cuda, but torch finds none"):
        train(TrainParams(epochs=1, device="cuda"))


def test_label_smoothing_reaches_both_networks():
    for params in (COMPACT, TUTORIAL):
        plain = train(TrainParams(model=params.model, epochs=1, label_smoothing=0.0, device="cpu"))
        smoothed = train(TrainParams(model=params.model, epochs=1, label_smoothing=0.5, device="cpu"))
        assert plain.history != smoothed.history, params.model


@pytest.mark.parametrize(("clip_count", "batch_size", "batches"), [(64, 16, 4), (65, 64, 1), (3, 64, 1), (100, 16, 6)])
def test_no_batch_is_too_small_for_batch_normalisation(clip_count, batch_size, batches):
    assert Recipe(epochs=1, batch_size=batch_size, learning_rate=1.0).epoch_steps(clip_count) == batches
    sizes = [len(part) for part in torch.arange(clip_count).tensor_split(batches)]
    assert max(sizes) - min(sizes) <= 1


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A project's feature cache and code, as far as the state's name depends on them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features").mkdir()
    (tmp_path / "features/logmel.npy").write_bytes(b"1")
    (tmp_path / "features/index.csv").write_bytes(b"2")
    (tmp_path / "loop.py").write_bytes(b"3")
    (tmp_path / "dvc.yaml").write_text("stages: {train: {deps: [loop.py, features]}}")

    def name(split=None, params=COMPACT, seed=1, front_end=FRONT_END) -> str:
        code = hash_code(("train",), tmp_path / "dvc.yaml")
        path = state_path(
            ["features"], front_end, split or {"strategy": "folds"}, params, seed, code, state_dir=tmp_path / "state"
        )
        return path.parent.name

    return tmp_path, name


def test_a_state_belongs_to_its_inputs_parameters_code_and_processes(inputs, monkeypatch):
    root, name = inputs
    names = [name()]
    assert name() == names[0]
    names.append(name(split={"strategy": "random"}))
    names.append(name(params=TUTORIAL))
    names.append(name(seed=2))
    names.append(name(front_end=FrontEndParams()))
    for changed in ("features/logmel.npy", "features/index.csv", "loop.py"):
        (root / changed).write_bytes(b"other")
        names.append(name())
    monkeypatch.setattr(parallel, "size", lambda: 2)
    names.append(name())
    assert len(set(names)) == len(names)
    assert len(list((root / "state/training").iterdir())) == KEEP_RUNS


def test_parameters_that_make_no_sense_are_refused():
    for wrong in (
        {"epochs": 0},
        {"batch_size": -1},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"label_smoothing": -0.1},
    ):
        with pytest.raises(ParamsError, match=f"train.{next(iter(wrong))} must be"):
            build(TrainParams, wrong, "train")


@pytest.mark.parametrize(("epochs", "mixup_off_last", "first"), [(60, 0.1, 55), (10, 0.3, 8), (1, 0.1, 1), (5, 0.0, 5)])
def test_only_epochs_without_mixup_may_be_chosen(epochs, mixup_off_last, first):
    params = TrainParams(augment=AugmentParams(mixup_off_last=mixup_off_last))
    assert network_class(params.model).first_settled_epoch(epochs, params.augment) == first


@pytest.mark.parametrize("name", ["tutorial", "sb_cnn"])
def test_every_epoch_of_a_constant_schedule_may_be_chosen(name):
    assert network_class(name).first_settled_epoch(15, AugmentParams()) == 1


@pytest.mark.parametrize(("passes", "of_each"), [(1.0, (1, 1)), (2.5, (2, 3)), (0.5, (0, 1))])
def test_an_epoch_may_go_over_the_clips_several_times(passes, of_each):
    order = loop._order(10, passes)
    assert len(order) == round(10 * passes)
    counts = np.bincount(order.numpy(), minlength=10)
    assert (counts.min(), counts.max()) == of_each
    whole = order[:10] if passes >= 1 else order
    assert len(set(whole.tolist())) == len(whole)
    assert Recipe(epochs=1, batch_size=4, learning_rate=1.0, passes=passes).epoch_steps(10) == round(10 * passes / 4)


def test_clips_of_no_class_are_learnt_as_that_and_are_none_of_validation():
    # Level in every second frame: nothing that a class has.
    background = np.random.default_rng(9).normal(-50, 8, (32, FRONT_END.n_mels, FRONT_END.window_frames))
    background[:, :, ::2] += 20
    others = Clips(background.astype(np.float16), np.full(32, len(CLASSES)))
    heard, held = clips(128, 5), clips(48, 6)
    params = TrainParams(epochs=24, batch_size=16, device="cpu", augment=AugmentParams(masks=0))
    trained = fit(heard.beside(others, len(CLASSES)), held, CLASSES, FRONT_END, params, 1, progress=False)
    model = trained.checkpoint.model
    assert model.background is not None
    logits = predict_logits(model, held.features)
    assert logits.shape == (48, len(CLASSES))
    best = trained.history[trained.best_epoch - 1]
    assert best["val_accuracy"] == pytest.approx((logits.argmax(axis=1) == held.labels).mean(), abs=1e-6)

    def of_background(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            everything = model.mean_logits(model.embed(model.normalise(torch.from_numpy(features.astype(np.float32)))))
        return everything.softmax(dim=1)[:, -1].numpy()

    assert of_background(others.features).min() > 0.5 > of_background(held.features).mean()
    assert train(COMPACT).checkpoint.model.background is None


def test_background_clips_never_outnumber_a_small_set():
    def clips(labels: list[int], value: float) -> Clips:
        return Clips(np.full((len(labels), 2, 2), value, np.float16), np.array(labels))

    own = clips([0, 1] * 20, 1.0)
    others = clips([2] * 100 + [0, 1] * 4 + [2] * 100, 2.0)
    both = own.beside(others, classes=2)
    assert both.labels.tolist().count(2) == 12  # a quarter of 40 own and 8 synthesised clips
    assert both.labels.tolist()[:40] == own.labels.tolist()
    assert (both.features[40:] == 2.0).all()
    assert sorted(both.labels.tolist()).count(0) == 24
    few = own.beside(clips([2] * 5, 2.0), classes=2)
    assert len(few.labels) == 45
    # Spread over all there are, so that every family is heard.
    families = Clips(np.arange(1000, dtype=np.float16).reshape(-1, 1, 1), np.full(1000, 2))
    numbered = Clips(np.zeros((40, 1, 1), np.float16), own.labels).beside(families, classes=2).features[40:, 0, 0]
    assert numbered.tolist() == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
