"""Is the embedded data set as hard, and hard in the same ways, as a real one?

    python benchmarks/synthetic/run.py --seeds 7 8 9 [--real DIR] --json benchmarks/synthetic/results.json

For each seed the set is synthesised anew and four things are trained, each judged on test clips it never saw: both
networks on folds, the tutorial's on a random split (the leak), and a random forest that sees nothing but file metadata
(duration, sampling rate, channels, encoding). With --real, the compact network trained on synthetic clips is also tried
on a real copy of UrbanSound8K, whole or partial; those figures are recorded and choose nothing. All is synthetic unless
it says real. Goes on where it stopped.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.clips.extra import open_extra_clips
from earshot.clips.extract import build
from earshot.clips.parts import Parts, load_parts
from earshot.clips.split import SplitParams
from earshot.core.files import STATE_DIR
from earshot.core.front_end import FrontEndParams
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.metrics import evaluate
from earshot.model.scores import softmax
from earshot.sources import synthetic, urbansound8k
from earshot.sources.extra_clips import make
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, Trained, fit
from earshot.training.predict import predict_logits

RESTS_ON = (*record.TRAINING, "benchmarks/synthetic")
FRONT_END = FrontEndParams()


def main() -> None:
    """Measure what is not in the results yet, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--real", type=Path, help="a copy of UrbanSound8K to try the synthetic network on")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch")
    results = record.begun(arguments.json, RESTS_ON)
    for seed in arguments.seeds:
        of_seed = results.setdefault(str(seed), {})
        work = STATE_DIR / "benchmark-synthetic" / str(seed)
        features, background = _features(work, seed), _background(work, seed)
        folds = load_parts(SplitParams(), seed, features)
        if "metadata_only" not in of_seed:
            of_seed["metadata_only"] = _metadata_only(folds, work / "audio")
        runs = {
            "compact": ("compact", folds),
            "tutorial": ("tutorial", folds),
            "tutorial_random_split": ("tutorial", load_parts(SplitParams(strategy="random"), seed, features)),
        }
        for name, (model, parts) in runs.items():
            if name not in of_seed:
                trained = _train(model, parts, seed, background)
                of_seed[name] = _judge(trained, parts)
                if name == "compact" and arguments.real:
                    of_seed["compact_on_real_clips"] = _judge_real(trained, arguments.real)
                record.write(arguments.json, results, RESTS_ON, machine)
                print(seed, name, of_seed[name], flush=True)
    record.write(arguments.json, results, RESTS_ON, machine)


def _features(work: Path, seed: int) -> Path:
    target = work / "features"
    if not target.exists():
        audio = work / "audio"
        audio.mkdir(parents=True, exist_ok=True)
        synthetic.prepare(audio, seed)
        build(urbansound8k.index(audio).clips, audio, FRONT_END, target)
    return target


def _background(work: Path, seed: int) -> Path:
    target = work / "extra_clips"
    if not target.exists():
        make(set(), FRONT_END, seed, target, work=work / "work")
    return target


def _train(model: str, parts: Parts, seed: int, background: Path) -> Trained:
    train, val = parts.part("train"), parts.part("val")
    params = TrainParams(model=model)  # type: ignore[arg-type]
    clips = Clips(train.features, train.labels)
    others = open_extra_clips(parts.classes, background)
    if params.hears_extra_clips and others is not None:
        clips = clips.beside(Clips(*others), len(parts.classes))
    return fit(clips, Clips(val.features, val.labels), parts.classes, FRONT_END, params, seed)


def _judge(trained: Trained, parts: Parts) -> dict[str, object]:
    test = parts.part("test")
    probabilities = softmax(predict_logits(trained.checkpoint.model, test.features))
    result = evaluate(
        probabilities, test.labels, test.clips["recording"].to_numpy(), None, parts.classes, EvaluationParams()
    )
    low, high = result.interval or (float("nan"), float("nan"))
    return {
        "accuracy": round(result.accuracy, 4),
        "interval": [round(low, 4), round(high, 4)],
        "balanced_accuracy": round(result.balanced_accuracy, 4),
        "test_clips": result.clips,
        "test_recordings": result.recordings,
    }


def _judge_real(trained: Trained, real: Path) -> dict[str, object]:
    clips = urbansound8k.index(real).clips
    clips = clips[[(real / path).is_file() for path in clips["path"]]].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as directory:
        build(clips, real, FRONT_END, Path(directory) / "features")
        features = np.load(Path(directory) / "features" / "logmel.npy")
    predicted = predict_logits(trained.checkpoint.model, features).argmax(axis=1)
    labels = np.array([trained.checkpoint.classes.index(label) for label in clips["label"]])
    recalls = {
        name: round(float((predicted[labels == number] == number).mean()), 4)
        for number, name in enumerate(trained.checkpoint.classes)
    }
    return {
        "clips": len(clips),
        "accuracy": round(float((predicted == labels).mean()), 4),
        "balanced_accuracy": round(float(np.mean(list(recalls.values()))), 4),
        "recall": recalls,
    }


def _metadata_only(parts: Parts, root: Path) -> dict[str, float]:
    infos = [soundfile.info(root / path) for path in parts.clips["path"]]
    table = pd.DataFrame(
        {
            "duration_s": [info.duration for info in infos],
            "rate": [info.samplerate for info in infos],
            "channels": [info.channels for info in infos],
            "encoding": pd.Categorical([f"{info.format} {info.subtype}" for info in infos]).codes,
        }
    )
    outside = parts.assignment != "test"
    forest = RandomForestClassifier(500, min_samples_leaf=3, random_state=0)
    forest.fit(table[outside], parts.clips["label"][outside])
    right = forest.predict(table[~outside]) == parts.clips["label"][~outside]
    return {"accuracy": round(float(right.mean()), 4)}


if __name__ == "__main__":
    main()
