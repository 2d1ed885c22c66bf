"""`earshot review`: the clips the service flagged and kept, listed, labelled and handed to the next training run."""

import argparse
import difflib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from earshot.commands.common import Subparsers, add_command, table
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file, write_csv
from earshot.core.labels import UNKNOWN
from earshot.service.kept import CLIPS, COLUMNS, TABLE, KeptClip, ReviewFolder
from earshot.service.label_table import LabelTable, read_label_table

_NEAR = 0.7  # `difflib`'s ratio from which a new label looks like a misspelt one

_DETAILS = """\
List the clips that the service was not sure of or called unknown, and kept (it does where
EARSHOT_REVIEW_DIR is set), with the answers they got. Listen to them, and say what they are: labels
go into clips.csv in that folder, which makes it a data set of its own (dataset.name: folder). A clip
with a label is never deleted by the service; the others are, by age and by size.

With --into, copy every labelled clip into another `folder` data set, to train on both."""

_EXAMPLES = """\
  earshot review kept/
  earshot review kept/ --label 1f3a=dog_bark --label 77c0=siren
  earshot review kept/ --labels sheet.csv       columns path and label, as --json lists the paths
  earshot review kept/ --label 90ab=goose --new-class goose
  earshot review kept/ --drop 90ab              not worth keeping
  earshot review kept/ --into data/mine && make repro DATASET=folder DATASET_PATH=data/mine"""


class ReviewError(EarshotError):
    """Labels or a folder that cannot be used; the message says which and why."""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "review", "list and label the clips the service flagged", _DETAILS, _EXAMPLES)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default=os.environ.get("EARSHOT_REVIEW_DIR"),
        help="where the service keeps them (default: $EARSHOT_REVIEW_DIR)",
    )
    parser.add_argument("--all", action="store_true", help="list those with a label too")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each clip")
    parser.add_argument(
        "--label", metavar="CLIP=LABEL", action="append", default=[], help="CLIP is any part of one clip's name"
    )
    parser.add_argument("--labels", metavar="FILE", type=Path, help="a CSV file with the columns path and label")
    parser.add_argument(
        "--new-class",
        metavar="LABEL",
        action="append",
        default=[],
        help="accept this label although it is much like a class that is known",
    )
    parser.add_argument("--drop", metavar="CLIP", action="append", default=[], help="delete a clip and its answer")
    parser.add_argument("--into", metavar="FOLDER", type=Path, help="copy labelled clips into this data set")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the labels given, then list what is left."""
    if not arguments.folder:
        raise ReviewError("name the folder in which the service keeps flagged clips, or set EARSHOT_REVIEW_DIR")
    root = Path(arguments.folder)
    if not (root / CLIPS).is_dir():
        raise ReviewError(f"{root} holds no kept clips: the service makes {root / CLIPS} when it keeps the first one")
    folder = ReviewFolder(root)
    clips = list(folder.clips())
    given = [read_pair(text) for text in arguments.label]
    if arguments.labels:
        given += read_sheet(arguments.labels)
    labels = {find(clips, name).path: label for name, label in given}
    refuse_labels(labels)
    refuse_misspelt(labels.values(), known_classes(folder, clips), arguments.new_class)
    drop(folder, [find(clips, name) for name in arguments.drop])
    if labels:
        add_labels(folder, labels)
    if arguments.into:
        copied = copy_into(folder, arguments.into)
        print(
            f"{copied} labelled clips copied into {arguments.into}; train on them with "
            f"`make repro DATASET=folder DATASET_PATH={arguments.into}`"
        )
        return 0
    known = folder.labels()
    shown = [clip for clip in folder.clips() if arguments.all or clip.path not in known]
    if arguments.json:
        for clip in shown:
            print(json.dumps({"path": clip.path, "label": known.get(clip.path), "answer": clip.answer}))
        return 0
    if shown:
        print(table([_row(clip, known.get(clip.path, "")) for clip in shown]))
    print(f"{len(shown)} shown; {len(known)} have a label in {root / TABLE}")
    return 0


def read_pair(text: str) -> tuple[str, str]:
    """``CLIP=LABEL`` as a pair."""
    name, separator, label = text.rpartition("=")
    if not separator or not name or not label.strip():
        raise ReviewError(f"--label takes CLIP=LABEL, not {text!r}")
    return name, label.strip()


def read_sheet(path: Path) -> list[tuple[str, str]]:
    """Clips and labels of a CSV file; rows without a label are left out."""
    try:
        table = read_label_table(path)
    except FileNotFoundError as error:
        raise ReviewError(f"{path} cannot be read: there is no such file") from error
    return [(row["path"], row["label"]) for row in table.rows if row["label"]]


def find(clips: list[KeptClip], name: str) -> KeptClip:
    """The one clip whose path contains `name`."""
    found = [clip for clip in clips if name in clip.path]
    if len(found) != 1:
        raise ReviewError(f"{name!r} is part of the names of {len(found)} clips; give more of the one you mean")
    return found[0]


def add_labels(folder: ReviewFolder, labels: dict[str, str]) -> None:
    """Write `labels` (path to label) into the folder's ``clips.csv``, over those that are there."""
    with folder.locked():
        table = folder.table()
        columns = table.columns + [column for column in COLUMNS if column not in table.columns]
        rows = {row["path"]: row for row in table.rows}
        for path, label in labels.items():
            # Every upload counts as a recording of its own; who knows better edits the column.
            new = {**dict.fromkeys(columns, ""), "path": path, "recording": Path(path).stem}
            rows[path] = {**new, **rows.get(path, {}), "label": label}
        folder.write_table(LabelTable(columns, [rows[path] for path in sorted(rows)]))


def known_classes(folder: ReviewFolder, clips: Iterable[KeptClip]) -> set[str]:
    """Classes of the models that answered, and labels that were given before."""
    ranked = {entry["label"] for clip in clips for entry in clip.answer.get("top", ())}
    return folder.classes() | ranked | set(folder.labels().values())


def refuse_misspelt(labels: Collection[str], known: set[str], accepted: Collection[str]) -> None:
    """A label that is new, and much like one that is known, is taken for a mistake; other new ones are named."""
    plain = {_plain(label): label for label in known}
    for label in sorted(set(labels) - known - set(accepted)):
        near = difflib.get_close_matches(_plain(label), plain, 1, _NEAR)
        if near:
            raise ReviewError(
                f"{label!r} is no class so far: did you mean {plain[near[0]]!r}? If it is a new class, add "
                f"--new-class {label}"
            )
        if known:
            print(f"new class {label!r}; known so far: {', '.join(sorted(known))}", file=sys.stderr)


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "_", label.lower())


def refuse_labels(labels: dict[str, str]) -> None:
    """A label becomes the name of a folder, and must be one; none may be that of the answer to sounds of no class."""
    for path, label in labels.items():
        if re.search(r"[/\\\x00-\x1f\x7f]", label) or label.startswith("."):
            raise ReviewError(
                f"{path}: {label!r} can be no label, since it becomes the name of a folder: use no slash, no control "
                "character, and no full stop at the beginning"
            )
        if label == UNKNOWN:
            raise ReviewError(
                f"{path}: {UNKNOWN!r} can be no label, since it is the answer to sounds of no class; name what is "
                "heard (split.unknown_classes can keep that from being learnt), or take the clip away with --drop"
            )


def drop(folder: ReviewFolder, clips: list[KeptClip]) -> None:
    """Delete clips that have no label, and their answers."""
    labelled = folder.labels()
    for clip in clips:
        if clip.path in labelled:
            raise ReviewError(f"{clip.path} has the label {labelled[clip.path]!r}: take it out of {TABLE} first")
    for clip in clips:
        sound = folder.root / clip.path
        sound.unlink(missing_ok=True)
        sound.with_suffix(".json").unlink(missing_ok=True)


def copy_into(folder: ReviewFolder, target: Path) -> int:
    """Copy labelled clips into the `folder` data set at `target`; those that are there already are left alone.

    A data set with ``clips.csv`` gets rows in it, one of ``<label>/<files>`` gets files. Where the table has folds,
    they join the first, on which `split.test_folds: auto` trains: flagged clips are no fair sample to test on.
    """
    if not target.is_dir():
        raise ReviewError(f"{target} is no folder")
    if (target / "metadata").is_dir() or (target / "meta").is_dir():
        raise ReviewError(f"{target} has a published layout, which is left as it is; use a `folder` data set of yours")
    labels = folder.labels()
    refuse_labels(labels)
    for path in labels:
        if not (folder.root / path).resolve().is_relative_to(folder.root.resolve()):
            raise ReviewError(f"{folder.root / TABLE}: the path {path!r} leaves the folder: correct it there")
    rows, columns = _read_table(target / TABLE)
    present = {row["path"] for row in rows}
    folds = sorted({row["fold"] for row in rows if row.get("fold")}, key=float)
    copied = 0
    for path, label in sorted(labels.items()):
        source = folder.root / path
        place = f"reviewed/{source.name}" if columns else f"{label}/{source.name}"
        if place in present or not source.is_file() or (not columns and (target / place).exists()):
            continue
        with atomic_file(target / place, stat.S_IMODE(source.stat().st_mode)) as temporary:  # private stays private
            shutil.copyfile(source, temporary)
        copied += 1
        new = {"path": place, "label": label, "recording": source.stem, "fold": folds[0] if folds else ""}
        rows.append({column: new.get(column, "") for column in columns})
    if columns and copied:
        write_csv(target / TABLE, rows, columns)
    return copied


def _read_table(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    if not path.is_file():
        return [], []
    table = read_label_table(path)
    return table.rows, table.columns


def _row(clip: KeptClip, label: str) -> tuple[str, ...]:
    answer = clip.answer
    heard = f"{answer.get('predicted_class', '?')} {answer.get('confidence', 0):.2f}"
    if answer.get("predicted_class") == UNKNOWN:
        heard = f"{UNKNOWN}, most like {answer['top'][0]['label']}" if answer.get("top") else UNKNOWN
    return clip.path, f"{answer.get('duration_s', 0):.1f} s", heard, label
