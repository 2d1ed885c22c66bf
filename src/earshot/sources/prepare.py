"""From the ``dataset`` section to ``data/raw``: which source, which copy of it, and its table of clips."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from earshot.clips.config import DatasetParams
from earshot.clips.paths import RAW_DIR, user_path
from earshot.clips.table import DatasetError, write_clips
from earshot.core.files import STATE_DIR, atomic_directory, write_json
from earshot.sources.folding import anew
from earshot.sources.registry import find_source
from earshot.sources.source import Index, Source, Verification

CLIPS = "clips.csv"
CARD = "source.json"
NAMED = 50  # files named one by one in source.json; all of them are counted


def prepare(
    params: DatasetParams, seed: int, raw_dir: Path = RAW_DIR, downloads: Path = STATE_DIR / "downloads"
) -> dict[str, Any]:
    """Write `raw_dir` in one piece: ``clips.csv``, ``source.json`` and, where the user has no copy, the recordings.

    Args:
        params: the ``dataset`` section.
        seed: of the synthesis, and of the folds where a folder has none.
        raw_dir: replaced when everything is there, and not touched before.
        downloads: where archives and partial downloads are kept.

    Returns:
        What ``source.json`` holds: the source's card, counts, and what differs from the published files.

    Raises:
        DatasetError: see the sources; with ``dataset.verify`` also when files are missing or differ from the
            published ones.
    """
    source = find_source(params.name)
    copy = user_path(params)
    _clear_leftovers(raw_dir)
    with atomic_directory(raw_dir) as target:
        if copy is None:
            if source.obtain is None:
                raise DatasetError(
                    f"dataset.name={source.name} needs dataset.path: the directory of your recordings, with one "
                    "subdirectory a class (<label>/<files>) or a clips.csv with the columns path and label"
                )
            source.obtain(target, seed, downloads)
        root = copy or target
        index = source.index(root, seed)
        if params.folds == "by_recording":
            index = anew(index, seed)
        verification = source.validate(root) if source.validate else None
        if params.verify:
            _must_be_whole(source, verification)
        clips = index.clips
        if not params.verify:
            clips = clips[~clips["path"].isin(index.missing)].reset_index(drop=True)
            if clips.empty:
                raise DatasetError(f"{source.title}: none of the {len(index.missing)} files listed is there")
        write_clips(target / CLIPS, clips, where=str(copy or source.title))
        card = _card(source, clips, index, verification)
        write_json(target / CARD, card)
    return card


def summary(card: dict[str, Any]) -> str:
    """The card of `prepare` in a few lines for the terminal."""
    lines = [
        f"{card['title']}: {card['clips']} clips from {card['recordings']} recordings, {len(card['classes'])} classes, "
        f"{card['folds']} folds; licence: {card['licence']}",
        f"classes: {', '.join(f'{label} {count}' for label, count in card['clips_by_class'].items())}",
    ]
    found = card["verification"]
    if found:
        lines.append(
            f"{found['identical']} of {found['published']} files are the published ones, {found['missing']} are "
            f"missing, {found['different']} differ"
        )
        lines += [
            f"  {kind}: {_some(found[kind + '_files'], found[kind])}"
            for kind in ("missing", "different")
            if found[kind]
        ]
    table = card["table"]
    if table["missing"]:
        lines.append(
            f"{table['missing']} listed files are not on disk: {_some(table['missing_files'], table['missing'])}"
        )
    if table["unlisted"]:
        lines.append(
            f"{table['unlisted']} audio files are in no list: {_some(table['unlisted_files'], table['unlisted'])}"
        )
    return "\n".join(lines + card["notes"])


def _clear_leftovers(raw_dir: Path) -> None:
    """Delete what a killed run unpacked beside `raw_dir`: gigabytes. The stage's lock says that no run is alive."""
    for leftover in raw_dir.parent.glob(f".partial-{raw_dir.name}-*"):
        shutil.rmtree(leftover)


def _must_be_whole(source: Source, verification: Verification | None) -> None:
    if verification is None or not (verification.missing or verification.different):
        return
    parts = [
        f"{len(paths)} of {verification.published} published files {verb} ({_some(paths, len(paths))})"
        for paths, verb in ((verification.missing, "are missing"), (verification.different, "differ"))
        if paths
    ]
    raise DatasetError(
        f"{source.title}: {' and '.join(parts)}. Give a complete copy, "
        "or set dataset.verify=false to use a partial or re-encoded one"
    )


def _card(source: Source, clips: pd.DataFrame, index: Index, verification: Verification | None) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
        "url": source.url,
        "clips": len(clips),
        "recordings": int(clips["recording"].nunique()),
        "classes": sorted(clips["label"].unique().tolist()),
        "clips_by_class": {
            str(label): int(count) for label, count in clips["label"].value_counts().sort_index().items()
        },
        "folds": int(clips["fold"].nunique()),
        "verification": None,
        "table": {
            "missing": len(index.missing),
            "missing_files": list(index.missing[:NAMED]),
            "unlisted": len(index.unlisted),
            "unlisted_files": list(index.unlisted[:NAMED]),
        },
        "notes": [*index.notes, *index.fold_notes],
    }
    if verification is not None:
        card["verification"] = {
            "against": verification.against,
            "published": verification.published,
            "identical": verification.identical,
            "missing": len(verification.missing),
            "missing_files": list(verification.missing[:NAMED]),
            "different": len(verification.different),
            "different_files": list(verification.different[:NAMED]),
        }
    return card


def _some(names: tuple[str, ...] | list[str], count: int, most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {count - most} more" if count > most else shown
