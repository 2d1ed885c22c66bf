"""A network of one's own is one file and one line: it trains, is exported and quantised, released and served."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

import sounds
from service_server import Server, running
from small_project import CLASSES, Project, ran, sound

RATE = 22_050
FILE = '''"""Bands over time to classes: a convolution, its largest value, a dense layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.training.networks.base import Augment, Network
from earshot.training.networks.recipe import Recipe


class Peaks(Network):
    recipe = Recipe(epochs=30, batch_size=8, learning_rate=0.02)
    least_frames = 5

    def __init__(self, classes: int, front_end: FrontEndParams, dropout: float, has_background: bool) -> None:
        super().__init__(classes, front_end, dropout, has_background)
        self.bands = nn.Conv2d(1, 24, (front_end.n_mels, 5))
        self.head = nn.Linear(24, classes)

    def forward(self, decibels: Tensor) -> Tensor:
        hidden = F.relu(self.bands(self.normalise(decibels)[:, None]))
        return self.head(hidden.amax(dim=3).flatten(1))

    def loss(self, decibels: Tensor, labels: Tensor, label_smoothing: float, augment: Augment | None) -> Tensor:
        return F.multi_margin_loss(self(decibels.float()), labels)

    def optimizer(self, recipe, steps):
        return torch.optim.SGD(self.parameters(), recipe.learning_rate, momentum=0.9), None
'''
LINE = '    "peaks": "earshot.training.networks.peaks:Peaks",\n'


@pytest.fixture(scope="module")
def project(small_project: Project) -> Project:
    """The small project with the network added, trained and released."""
    added = small_project.copy("added")
    networks = added.root / "src/earshot/training/networks"
    (networks / "peaks.py").write_text(FILE, encoding="utf-8")
    registry = networks / "__init__.py"
    before, opening, after = registry.read_text(encoding="utf-8").partition("NETWORKS = {")
    first, newline, rest = after.partition("\n")
    registry.write_text(before + opening + first + newline + LINE + rest, encoding="utf-8")
    added.set_param("train.model", "peaks")
    added.set_param("train.epochs", None)
    added.set_param("train.batch_size", None)
    added.output = added.dvc("repro", "release")
    return added


@pytest.fixture(scope="module")
def server(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = project.root / "models/earshot.int8.onnx"
    with running(tmp_path_factory.mktemp("added") / "home", model, {}) as server:
        yield server


def post(server: Server, samples: np.ndarray, path: str) -> httpx.Response:
    data = sounds.wav(samples.astype(np.float32), RATE, "PCM_16").getvalue()
    return httpx.post(f"{server.url}{path}", files={"file": ("sound.wav", data)}, timeout=60)


def test_no_stage_before_training_runs_again(project):
    assert ran(project.output) == ["train", "quantize", "release"]


def test_it_is_trained_by_its_own_recipe_and_released(project):
    train, quantization = project.json("metrics/train.json"), project.json("metrics/quantization.json")
    assert (train["model"], train["epochs"]) == ("peaks", 30)
    assert (train["extra_clips"], train["background_clips"]) == (0, 0)  # its recipe asks for none
    assert quantization["passed"] is True
    assert quantization["gate"]["float_convolutions"] == 0
    assert project.json("models/model.json")["architecture"] == "peaks"


def test_it_classifies(server):
    random = np.random.default_rng(5)
    for label in CLASSES:
        answer = post(server, sound(label, RATE, 0.9, random), "/classify").json()
        assert {entry["label"] for entry in answer["top"]} == set(CLASSES)
        assert answer["top"][0]["label"] == label


def test_it_has_a_timeline_by_its_windows(server):
    random = np.random.default_rng(6)
    silence = np.zeros(4 * RATE)
    samples = np.concatenate([silence, sound("whistle", RATE, 5.0, random), silence, sound("buzz", RATE, 5.0, random)])
    events = post(server, samples, "/timeline").json()["events"]
    # It knows one second at a time, and is too small to name five of them surely: but they are where the sounds are.
    spans = [(4.0, 9.0), (13.0, 18.0)]
    inside = [[begin - 1 < e["onset_s"] < e["offset_s"] < end + 1 for begin, end in spans] for e in events]
    assert all(any(one) for one in inside)
    assert np.any(inside, axis=0).all()
    assert {event["label"] for event in events} <= set(CLASSES)
