"""`earshot review`: the clips the service flagged and kept, listed, labelled and handed to the next training run."""

import argparse
import csv
import json
import os
import shutil
from pathlib import Path

from earshot.commands.common import Subparsers, add_command, table
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file, exclusive, write_csv
from earshot.core.labels import UNKNOWN
from earshot.service.kept import CLIPS, COLUMNS, TABLE, KeptClip, ReviewFolder

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
    refuse_unknown(labels)
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
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ReviewError(f"{path} cannot be read: {error}") from error
    if rows and not {"path", "label"} <= rows[0].keys():
        raise ReviewError(f"{path} must have the columns path and label, not {', '.join(rows[0])}")
    return [(row["path"], row["label"].strip()) for row in rows if row["label"] and row["label"].strip()]


def find(clips: list[KeptClip], name: str) -> KeptClip:
    """The one clip whose path contains `name`."""
    found = [clip for clip in clips if name in clip.path]
    if len(found) != 1:
        raise ReviewError(f"{name!r} is part of the names of {len(found)} clips; give more of the one you mean")
    return found[0]


def add_labels(folder: ReviewFolder, labels: dict[str, str]) -> None:
    """Write `labels` (path to label) into the folder's ``clips.csv``, over those that are there."""
    with exclusive("review", folder.root / ".earshot"):
        rows = folder.table()
        for path, label in labels.items():
            # Every upload counts as a recording of its own; who knows better edits the column.
            rows[path] = {"path": path, "recording": Path(path).stem, **rows.get(path, {}), "label": label}
        write_csv(folder.root / TABLE, [rows[path] for path in sorted(rows)], COLUMNS)


def refuse_unknown(labels: dict[str, str]) -> None:
    """No data set may have a class of the name that the answer to sounds of no class has."""
    for path, label in labels.items():
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
    rows, columns = _read_table(target / TABLE)
    present = {row["path"] for row in rows}
    folds = sorted({row["fold"] for row in rows if row.get("fold")}, key=float)
    copied = 0
    for path, label in sorted(folder.labels().items()):
        source = folder.root / path
        place = f"reviewed/{source.name}" if columns else f"{label}/{source.name}"
        if place in present or not source.is_file() or (not columns and (target / place).exists()):
            continue
        with atomic_file(target / place) as temporary:
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
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        return list(reader), list(reader.fieldnames or ())


def _row(clip: KeptClip, label: str) -> tuple[str, ...]:
    answer = clip.answer
    heard = f"{answer.get('predicted_class', '?')} {answer.get('confidence', 0):.2f}"
    if answer.get("predicted_class") == UNKNOWN:
        heard = f"{UNKNOWN}, most like {answer['top'][0]['label']}"
    return clip.path, f"{answer.get('duration_s', 0):.1f} s", heard, label
