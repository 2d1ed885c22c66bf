"""`earshot model`: what a model says of itself, and whether the working tree agrees."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earshot.commands.common import DEFAULT_MODEL, Subparsers, add_command, in_folds, table
from earshot.commands.verify import Check, verify
from earshot.core.files import sha256
from earshot.core.hashes import hash_json
from earshot.model.card import Card, ModelError
from earshot.model.session import Model, read_card

_DETAILS = """\
Read out of the ONNX file itself what it was made from: classes, data set and its licence, split,
figures on validation and test, front end, and the hashes of data, parameters and code.

With --verify, compare those hashes with the working tree: the exit status is 0 if everything is the
same, and 1 if anything changed or is absent."""

_EXAMPLES = f"""\
  earshot model
  earshot model {DEFAULT_MODEL} --json | jq .dataset.licence
  earshot model --verify && echo "this tree makes this model" """


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "model", "tell what a model was made from", _DETAILS, _EXAMPLES)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default=DEFAULT_MODEL, help=f"an ONNX file (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--json", action="store_true", help="everything the file says, as one JSON object")
    parser.add_argument("--verify", action="store_true", help="compare with the data, parameters and code lying here")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Describe or verify one model; 1 if it does not match the working tree."""
    path = Path(arguments.path)
    card = read_card(path)
    if not arguments.verify:
        print(json.dumps(document(path, card), indent=2) if arguments.json else description(path, card))
        return 0
    checks = verify(card)
    if arguments.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print(verdict(checks))
    return 0 if all(check.state == "same" for check in checks) else 1


def document(path: Path, card: Card) -> dict[str, Any]:
    """The card with the file's own name, size and hash."""
    return {"file": path.as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path), **asdict(card)}


def description(path: Path, card: Card) -> str:
    """The card in words."""
    front_end, split, dataset = card.front_end_params(), card.split, card.dataset
    lines = [
        ("file", f"{path} ({path.stat().st_size / 1e3:.0f} kB)"),
        ("sha256", sha256(path)),
        ("network", f"{card.architecture}, temperature {card.temperature:g}"),
        ("classes", f"{len(card.classes)}; {_unknown(card)}"),
        ("hears", f"{front_end.window_s:g} s at {front_end.sample_rate_hz} Hz as {front_end.n_mels} mel bands x "
         f"{front_end.window_frames} frames, {front_end.f_min_hz:g} to {front_end.f_top_hz:g} Hz"),
        ("front end", _front_end(card)),
        ("this machine", _answers(path)),
        ("data", f"{dataset['title']} ({dataset['name']}) {dataset['url']}".rstrip()),
        *((f"  {one['key']}", f"{one['title']}, {one['licence']}") for one in dataset.get("sources", ())),
        ("licence", dataset["licence"]),
        ("citation", dataset["citation"]),
        ("split", _split(split)),
        ("beside", _extra_clips(dataset)),
        *((part, _part(split, part)) for part in ("train", "val", "test", "background") if part in split),
    ]  # fmt: skip
    made_from = [
        *(("data", f"data/audited/{name}", digest) for name, digest in sorted(dataset["sha256"].items())),
        *(("params", section, hash_json(values)) for section, values in sorted(card.params.items())),
        ("code", f"{len(card.code)} files", hash_json(card.code)),
    ]
    return "\n".join(
        [
            table([line for line in lines if line[1]]),
            "",
            table(_figures(card), right=(1, 2)),
            "",
            "made from (sha256; --json lists every file, --verify compares with what lies here)",
            table([(f"  {kind}", name, digest[:16]) for kind, name, digest in made_from]),
        ]
    )


def verdict(checks: list[Check]) -> str:
    """What is not the same, and how many of each."""
    lines = [
        f"{check.state:8}{check.kind:7} {check.name}{': ' + check.detail if check.detail else ''}"
        for check in checks
        if check.state != "same"
    ]
    counts = {state: sum(check.state == state for check in checks) for state in ("same", "changed", "absent")}
    lines.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["same"] == len(checks):
        lines.append("the data, parameters and code here are those the model was made from")
    else:
        lines.append("what lies here is not what the model was made from: `dvc repro` makes the model of this tree")
    return "\n".join(lines)


def _unknown(card: Card) -> str:
    if not card.unknown_threshold:
        return "it names one of them for every sound"
    return (
        f"a sound whose `known` is below {card.unknown_threshold:g} is called unknown, any other by one of their names"
    )


def _extra_clips(dataset: dict[str, Any]) -> str:
    counts = dataset.get("extra_clips", {})
    kinds = (("classes", "of its classes"), ("background", "of background sounds"))
    clips = [f"{counts[kind]} {words}" for kind, words in kinds if counts.get(kind)]
    return f"synthesised clips, in training alone: {' and '.join(clips)}" if clips else ""


def _front_end(card: Card) -> str:
    try:
        card.check_front_end()
    except ModelError as error:
        return f"REFUSED: {error}"
    return f"version {card.front_end_version}; this Earshot's answers the probe sound alike"


def _answers(path: Path) -> str:
    try:
        worst = Model(path).probe_difference
    except ModelError as error:
        return f"REFUSED: {error}"
    return f"answers the probe windows as the model remembers, within {worst:.4f} in probability"


def _split(split: dict[str, Any]) -> str:
    known = split.get("test_clips_of_known_recordings")
    if known is None:
        return str(split["strategy"])
    if known:
        return f"{split['strategy']}; LEAKS: {known} test clips come from recordings that were trained on"
    return f"{split['strategy']}; no test clip comes from a recording that was trained on"


def _part(split: dict[str, Any], part: str) -> str:
    where = in_folds(split.get(f"{part}_folds"))
    return f"{split[part]['clips']} clips of {split[part]['recordings']} recordings{where}"


def _figures(card: Card) -> list[tuple[str, ...]]:
    val, test = card.metrics.get("validation", {}), card.metrics.get("test", {})
    rows: list[tuple[str, ...]] = [("", "validation", "test")]
    rows += [(name, _figure(val.get(key)), _figure(test.get(key))) for name, key in _HEADLINES]
    recalls = [part.get("recall", {}) for part in (val, test)]
    rows += [(f"recall of {label}", *(_figure(recall.get(label)) for recall in recalls)) for label in card.classes]
    return rows


_HEADLINES = (("accuracy", "accuracy"), ("calibration error", "ece"))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
