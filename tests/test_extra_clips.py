"""Synthesised clips beside a set's own, of its classes and of none: trained on, and in no figure."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from earshot.clips.extra import open_extra_clips
from earshot.clips.parts import Parts
from earshot.core.errors import EarshotError
from earshot.core.front_end import FrontEndParams
from earshot.core.labels import BACKGROUND
from earshot.core.params import build
from earshot.sources.extra_clips import make, make_empty
from earshot.training.config import TrainParams
from earshot.training.predict import predict_logits
from earshot.training.validated import fit_parts

FRONT_END = FrontEndParams(window_s=1.0)
CLASSES = ("gun_shot", "siren")


def test_the_tutorial_network_hears_no_others():
    assert TrainParams().hears_extra_clips
    assert not TrainParams(model="tutorial").hears_extra_clips
    assert not TrainParams(extra_clips="never").hears_extra_clips
    with pytest.raises(EarshotError, match="extra_clips"):
        build(TrainParams, {"extra_clips": "sometimes"}, "train")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("extra_clips")
    counts = make(CLASSES, FRONT_END, 7, root / "made", every=8, work=root / "work")
    return root, counts


def test_the_classes_that_are_asked_for_and_background_sounds_are_synthesised(made):
    root, counts = made
    found = open_extra_clips(CLASSES, root / "made")
    assert found is not None
    features, labels = found
    assert set(counts) == {*CLASSES, BACKGROUND}
    assert min(counts.values()) > 5
    # Background sounds have the number after the last class's.
    named = [(*CLASSES, BACKGROUND)[label] for label in labels]
    assert Counter(named) == counts
    assert named == pd.read_csv(root / "made/index.csv")["label"].tolist()
    assert len(features) == len(labels)
    assert features.dtype == np.float16
    assert features.shape[1:] == (FRONT_END.n_mels, FRONT_END.window_frames)
    for label in range(3):
        assert features[labels == label].astype(np.float32).std() > 5
    assert sorted(path.name for path in root.iterdir()) == ["made"]


def test_the_seed_decides_every_byte(made):
    root, _ = made
    make(CLASSES, FRONT_END, 7, root / "again", every=8, work=root / "work")
    make(CLASSES, FRONT_END, 8, root / "other", every=8, work=root / "work")
    log_mel = {name: (root / name / "logmel.npy").read_bytes() for name in ("made", "again", "other")}
    assert log_mel["made"] == log_mel["again"] != log_mel["other"]


@pytest.mark.parametrize("labels", [{"siren", "whistle"}, set()], ids=["one is not shared", "no class"])
def test_where_a_class_is_not_shared_there_are_background_sounds_alone(labels, tmp_path):
    assert set(make(labels, FRONT_END, 7, tmp_path / "made", every=16, work=tmp_path / "work")) == {BACKGROUND}
    found = open_extra_clips(("siren", "whistle"), tmp_path / "made")
    assert found is not None
    assert set(found[1].tolist()) == {2}


def test_about_as_many_background_sounds_are_made_as_are_enough(tmp_path):
    asked = []

    def enough(clips_of_classes: int) -> int:
        asked.append(clips_of_classes)
        return 40

    counts = make({"gun_shot"}, FRONT_END, 7, tmp_path / "made", background=enough, work=tmp_path / "work")
    assert asked == [counts["gun_shot"]] == [60]
    assert 20 < counts[BACKGROUND] < 80


def test_where_none_are_wanted_there_is_nothing(tmp_path):
    make_empty(tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []
    assert open_extra_clips(("siren", "whistle"), tmp_path / "none") is None


def test_a_stage_that_did_not_run_is_not_taken_for_nothing(tmp_path):
    with pytest.raises(EarshotError, match="run `dvc repro extra_clips`"):
        open_extra_clips(("siren", "whistle"), tmp_path / "extra_clips")


@pytest.mark.parametrize("inner", [None, np.array([1, 1, 2, 2, 3, 3, 4, 4] * 2)])
def test_every_network_is_trained_on_them_and_judged_by_its_own_clips(inner, tmp_path, one_thread):
    # Clips of the set itself are noise that tells nothing; the others tell the classes apart, and with their names
    # exchanged they tell the opposite, to each network that hears them.
    random = np.random.default_rng(0)

    def clips(labels: np.ndarray, louder: float) -> np.ndarray:
        cells = random.normal(-50, 8, (len(labels), 64, FRONT_END.window_frames))
        cells[labels == 1, 20:40, ::4] += louder
        return cells.astype(np.float16)

    own, others, test = np.arange(16) % 2, np.arange(64) % 2, np.arange(40) % 2
    features = np.concatenate([clips(own, 0), clips(test, 25)])
    table = pd.DataFrame(
        {"label": [("a", "b")[label] for label in (*own, *test)], "recording": np.arange(56).astype(str)}
    )
    parts = ["train"] * 16 + ["test"] * 40
    if inner is None:
        parts[12:16] = ["val"] * 4
    else:
        inner = np.concatenate([inner, np.zeros(40, int)])
    divided = Parts(("a", "b"), table, np.array(parts), {}, features, inner)
    params = TrainParams(epochs=12, batch_size=8, device="cpu")

    def accuracy(named: np.ndarray) -> list[float]:
        states = tmp_path / f"first is {named[0]}"
        states.mkdir()
        extra_clips = (clips(others, 25), named)
        fitted = fit_parts(divided, FRONT_END, params, 1, lambda run: states / f"{run}.pt", False, extra_clips)
        assert fitted.extra_clips == {"classes": 64, "background": 0}
        networks = [fitted.trained.checkpoint, *fitted.out_of_fold]
        assert len(networks) == (1 if inner is None else 5)
        answers = [predict_logits(one.model, divided.part("test").features).argmax(axis=1) for one in networks]
        return [float((answer == test).mean()) for answer in answers]

    assert min(accuracy(others)) > 0.9
    assert max(accuracy(1 - others)) < 0.1
