"""Does the service hear what the pipeline heard, whatever a file's format?

    python benchmarks/formats/run.py --json benchmarks/formats/result.json                # the embedded, synthetic set
    python benchmarks/formats/run.py --data DIR --json benchmarks/formats/us8k_sample.json   # a copy of UrbanSound8K

Every clip of the set, one by one:

- the features that the service's code makes of the file are the row of the feature cache, bit for bit
- the probabilities and `known` that the service answers with over HTTP are those of the evaluation (the released
  model on the cache's rows, all in one batch) within 1e-6

Clips longer than the model hears at once are answered from several windows, which no row of the cache holds: they are
counted and not compared.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.clips.cache import open_cache
from earshot.clips.extract import build
from earshot.core.progress import progress
from earshot.model.session import Model
from earshot.sources import urbansound8k
from earshot.stream.classify import read_batches
from serving import add_model_argument, earshot, running

RESTS_ON = (*record.SERVICE, "src/earshot/sources", "src/earshot/clips", "benchmarks/formats")
TOLERANCE = 1e-6


def main() -> None:
    """Compare every clip; exit with an error if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--data", type=Path, help="a copy of UrbanSound8K, whole or partial; none: the embedded set")
    parser.add_argument("--json", type=Path, required=True, help="file for the result")
    arguments = parser.parse_args()
    machine = record.machine("bentoml", "soundfile", "soxr")
    model = Model(arguments.model)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.data is None:
            root = Path("data/raw")
            features, clips = open_cache(Path("data/features"))
        else:
            root = arguments.data
            table = urbansound8k.index(root).clips
            table = table[[(root / path).is_file() for path in table["path"]]].reset_index(drop=True)
            build(table, root, model.log_mel.params, Path(scratch) / "features")
            features, clips = open_cache(Path(scratch) / "features")
        paths = [root / path for path in clips["path"]]
        with running(earshot(Path(scratch) / "home", arguments.model)) as server:
            formats = _compare(model, np.asarray(features), paths, f"{server.url}/classify")
    total = {name: sum(row[name] for row in formats.values()) for name in ("clips", "longer", "features_equal")}
    worst = max(row["largest_difference"] for row in formats.values())
    compared = total["clips"] - total["longer"]
    result = {
        "data": "synthetic (embedded)" if arguments.data is None else "UrbanSound8K, a copy or a part",
        **total,
        "largest_difference": worst,
        "passed": compared > 0 and total["features_equal"] == compared and worst <= TOLERANCE,
        "formats": formats,
    }
    record.write(arguments.json, result, RESTS_ON, machine)
    print(
        f"{len(formats)} formats, {compared} clips: the features of {total['features_equal']} are the cache's bit for "
        f"bit; probabilities differ by at most {worst:.2g}; {total['longer']} longer clips not compared"
    )
    if not result["passed"]:
        sys.exit("failed")


def _compare(model: Model, features: np.ndarray, paths: list[Path], url: str) -> dict[str, dict[str, Any]]:
    evaluated = model.scores(features)
    formats: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"clips": 0, "longer": 0, "features_equal": 0, "largest_difference": 0.0}
    )
    with httpx.Client(timeout=60) as client:
        for path, row, expected in progress(zip(paths, features, evaluated, strict=True), total=len(paths)):
            info = soundfile.info(path)
            channels = {1: "mono", 2: "stereo"}.get(info.channels, f"{info.channels} channels")
            of_format = formats[f"{info.format} {info.subtype} {info.samplerate} Hz {channels}"]
            of_format["clips"] += 1
            with path.open("rb") as source:
                batch = next(iter(read_batches(source, model.log_mel)))
            if batch.windowed:
                of_format["longer"] += 1
                continue
            of_format["features_equal"] += int(batch.features[0].tobytes() == row.tobytes())
            response = client.post(url, files={"file": (path.name, path.read_bytes())})
            response.raise_for_status()
            answer = response.json()
            differences = [
                abs(entry["probability"] - expected[model.classes.index(entry["label"])]) for entry in answer["top"]
            ]
            differences.append(abs(answer["known"] - expected[-1]))
            of_format["largest_difference"] = float(max(of_format["largest_difference"], *differences))
    return dict(sorted(formats.items()))


if __name__ == "__main__":
    main()
