"""What a model's card says of where it came from: data, parameters and code, by content."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earshot.core.files import sha256
from earshot.core.hashes import hash_code
from earshot.core.params import read
from earshot.model.card import without_paths

STAGES = ("download", "audit", "features", "extra_clips", "train", "quantize")  # all that a model's bytes come from
SECTIONS = ("seed", "dataset", "audit", "audio", "split", "train", "quantization", "unknown", "operating_points")
_CODE_HASH_DIGITS = 8  # enough to tell versions of a file apart; all 64 would be a thirtieth of the model
_OF_SOURCE = ("name", "title", "licence", "citation", "url")


@dataclass(frozen=True)
class Provenance:
    """The parts of an `earshot.model.card.Card` of the same names."""

    dataset: dict[str, Any]
    params: dict[str, Any]
    code: dict[str, str]


def gather(source_json: Path, audited_dir: Path, train_json: Path, params_yaml: Path, dvc_yaml: Path) -> Provenance:
    """Read where the data came from, hash what was audited, and hash the code that the stages declare.

    The path of a user's own copy is left out: it says something of a machine and nothing of the data.
    """
    source = json.loads(source_json.read_text(encoding="utf-8"))
    dataset = {key: source[key] for key in _OF_SOURCE}
    if "sources" in source:
        dataset["sources"] = [{key: one[key] for key in ("key", *_OF_SOURCE)} for one in source["sources"]]
        dataset["classes_by_source"] = source["classes_by_source"]
    # files.csv lists the content hash of every file, so these two hashes stand for the audio itself.
    dataset["sha256"] = {name: sha256(audited_dir / name) for name in ("clips.csv", "files.csv")}
    # Synthesised by the code and the seed that the card also names.
    trained = json.loads(train_json.read_text(encoding="utf-8"))
    dataset["extra_clips"] = {"classes": trained["extra_clips"], "background": trained["background_clips"]}
    document = read(params_yaml)
    params = {section: document[section] for section in SECTIONS if section in document}
    params["dataset"] = without_paths(params["dataset"])
    code = {path: digest[:_CODE_HASH_DIGITS] for path, digest in hash_code(STAGES, dvc_yaml).items()}
    return Provenance(dataset, params, code)
