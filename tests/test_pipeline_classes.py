"""Two classes or fifty, with unequal counts and without folds: the same code from files to an INT8 model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from earshot.audit.config import AuditParams
from earshot.audit.run import audit
from earshot.clips.config import DatasetParams
from earshot.clips.extract import build
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.clips.table import read_clips
from earshot.core.front_end import FrontEndParams
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.deployment.candidate import CandidateParams, make_candidate, write_candidate
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.deployment.provenance import Provenance
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.metrics import class_indices, evaluate
from earshot.model.scores import softmax
from earshot.model.session import Model
from earshot.sources.prepare import prepare
from earshot.training.config import TrainParams
from earshot.training.predict import predict_logits
from earshot.training.validated import fit_parts

FRONT_END = FrontEndParams(window_s=0.5)
RATE_HZ = 16_000


def write_sounds(root: Path, counts: dict[str, int]) -> None:
    """``<label>/<files>``: tones, a pitch a class."""
    random = np.random.default_rng(0)
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    for number, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True)
        for take in range(count):
            tone = 0.2 * np.sin(2 * np.pi * (200 + 120 * number) * time_s) + random.normal(0, 0.01, len(time_s))
            soundfile.write(root / label / f"{'abcdefghijklmnop'[take]}.wav", tone, RATE_HZ)


@pytest.mark.parametrize(
    "counts",
    [{"door": 15, "window, broken": 4}, {f"bird {number:02}": 3 + number % 2 for number in range(50)}],
    ids=["two", "fifty"],
)
def test_any_number_of_classes_goes_through(tmp_path, monkeypatch, one_thread, counts):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "sounds"
    write_sounds(root, counts)
    seed, dataset = 1, DatasetParams(name="folder", path=str(root))
    prepare(dataset, seed)
    audit("folder", Path("data/raw/clips.csv"), root, AuditParams(), workers=1)
    clips = read_clips("data/audited/clips.csv")
    assert clips["label"].value_counts().to_dict() == counts
    build(clips, root, FRONT_END, Path("data/features"), workers=1)
    parts = load_parts(SplitParams(), seed)
    assert parts.classes == tuple(sorted(counts))
    train, test = parts.part("train"), parts.part("test")
    assert set(train.clips["label"]) == set(counts)
    # So few recordings make three or four folds: none is given away for validation.
    assert sum(len(fold.held.labels) for fold in parts.validations) == len(train.labels)
    settings = TrainParams(epochs=1, batch_size=16, device="cpu")
    fitted = fit_parts(parts, FRONT_END, settings, seed, lambda name: tmp_path / f"{name}.pt", progress=False)
    trained = fitted.trained.checkpoint
    result = evaluate(
        softmax(predict_logits(trained.model, test.features)),
        class_indices(test.clips["label"].tolist(), parts.classes),
        test.clips["recording"].to_numpy(),
        test.clips["salience"].to_numpy(dtype=np.float64),
        parts.classes,
        EvaluationParams(bootstrap_resamples=100),
        seed,
    )
    assert len(result.per_class) == len(counts)
    card = dict.fromkeys(("name", "title", "licence", "citation", "url"), "x")
    provenance = Provenance({**card, "sha256": {}}, {"seed": seed}, {})
    settings = CandidateParams(
        QuantizationParams(calibration_clips=30, long_sounds=8),
        GateParams(),
        UnknownParams(),
        OperatingPointsParams(),
        bins=5,
    )
    made = make_candidate(trained, fitted.out_of_fold, parts, root, provenance, settings, seed)
    write_candidate(made, tmp_path)
    model = Model(tmp_path / "earshot.int8.onnx")
    assert model.classes == parts.classes
    probabilities = model.probabilities(test.features)
    assert probabilities.shape == (len(test.labels), len(counts))
    assert np.allclose(probabilities.sum(axis=1), 1)
