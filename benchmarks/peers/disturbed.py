"""What the compact network's INT8 files of `run.py` lose off the bench, on real clips.

    python benchmarks/peers/disturbed.py --data DIR --folds 1 2 3 --json benchmarks/peers/disturbed.json

The test clips of every fold are disturbed as the pipeline's stage `robustness` does it, and the answers of all folds
and seeds pooled. `run.py` comes first: it keeps the files, and the answers that the temperature is fitted on.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import soundfile
from run import WORK, answers_path, temperature

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.parts import Parts
from earshot.decisions.decisions import Decisions
from earshot.decisions.review import THRESHOLD
from earshot.deployment.quantize import probe_probabilities
from earshot.evaluation import open_set, robustness
from earshot.evaluation.robustness import Predictions, Sound
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel
from earshot.model.card import METADATA_KEY, Card, probe_db
from earshot.model.session import Model

RESTS_ON = (*record.TRAINING, "benchmarks/peers", "benchmarks/trainings.py")


def main() -> None:
    """Ask every file about the disturbed test clips of its fold, then pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="test folds, as `run.py` was told")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the trainings (default: 1 2)")
    parser.add_argument("--clips", type=int, default=10**6, help="of each fold, at most (default: all)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    cache = trainings.features(arguments.data, WORK / "features")
    sounds: list[Sound] = []
    predictions: dict[str, list[Predictions]] = {}
    verdicts: dict[str, list[float]] = {family: [] for family in open_set.FAR}
    for fold in arguments.folds:
        parts = trainings.divided(cache, fold)
        of_fold = _sounds(parts, arguments.data, arguments.clips)
        for seed in arguments.seeds:
            model = _model(parts, fold, seed)
            for one in robustness.predict(model, of_fold, seed=0):
                predictions.setdefault(one.condition, []).append(replace(one, rows=one.rows + len(sounds)))
            for family, answers in open_set.answers_to_far_sounds(model, seed=fold).items():
                verdicts[family].append(open_set.verdicts(answers, model.classes, THRESHOLD)["any"])
            sounds += of_fold  # once for each seed: its recordings stay one unit of the bootstrap
    pooled = [
        Predictions(
            name,
            np.concatenate([one.rows for one in ones]),
            np.concatenate([one.predicted for one in ones]),
            ones[0].in_training,
        )
        for name, ones in predictions.items()
    ]
    results = {
        "test_folds": arguments.folds,
        "seeds": arguments.seeds,
        "conditions": robustness.table(pooled, sounds, parts.classes, seed=0),  # clips of all seeds
        "verdicts": {
            "confidence": THRESHOLD,
            **{family: round(float(np.mean(shares)), 4) for family, shares in verdicts.items()},
        },
    }
    record.write(arguments.json, results, RESTS_ON, machine)
    print(json.dumps(results, indent=2))


def _sounds(parts: Parts, data: Path, most: int) -> list[Sound]:
    test = parts.part("test")
    paths = test.clips["path"].tolist()
    files = pd.DataFrame({"path": paths, "codec": [soundfile.info(data / path).subtype for path in paths]})
    return robustness.read_sounds(
        test.clips, files, test.labels, data, trainings.FRONT_END.sample_rate_hz, most, seed=0
    )


def _model(parts: Parts, fold: int, seed: int) -> Model:
    """The kept INT8 file with a card, which is what a model needs to be asked."""
    file = onnx.load_from_string(np.load(answers_path("compact", fold, seed))["int8_file"].tobytes())
    front_end, nothing = trainings.FRONT_END, trainings.PLAIN
    card = Card(
        architecture="compact",
        classes=parts.classes,
        **asdict(Decisions(temperature=temperature(fold))),
        operating_points={},
        front_end=front_end.as_dict(),
        front_end_version=FRONT_END_VERSION,
        probe_db=probe_db(LogMel(front_end)),
        probe_probabilities=probe_probabilities(file, front_end, temperature(fold)),
        dataset=nothing.dataset,
        split=parts.split,
        params=nothing.params,
        code=nothing.code,
        metrics={},
    )
    onnx.helper.set_model_props(file, {METADATA_KEY: card.to_json()})
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "int8.onnx"
        path.write_bytes(file.SerializeToString())
        return Model(path)


if __name__ == "__main__":
    main()
