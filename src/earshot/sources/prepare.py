"""From the ``dataset`` section to ``data/raw``: which source, which copy of it, and its table of clips."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from earshot.clips.config import DatasetParams
from earshot.clips.paths import RAW_DIR, user_path
from earshot.clips.table import SOURCE, DatasetError, write_clips
from earshot.core.files import STATE_DIR, atomic_directory, write_json
from earshot.core.labels import BACKGROUND
from earshot.sources.classes import as_text, counts, map_labels
from earshot.sources.folding import anew
from earshot.sources.join import join, joint_card
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
        What ``source.json`` holds: the source's card, counts, and what differs from the published files. Of several
        sources `sources` has the cards, and what is said of the whole set begins with the strictest licence.

    Raises:
        DatasetError: see the sources; with ``dataset.verify`` also when files are missing or differ from the
            published ones.
    """
    named = {key: find_source(source.name) for key, source in params.by_key.items()}
    copies = {key: user_path(source) for key, source in params.by_key.items()}
    for key, source in named.items():
        if copies[key] is None and source.obtain is None:
            raise DatasetError(
                f"dataset.name={source.name} needs dataset.path: the directory of your recordings, with one "
                "subdirectory a class (<label>/<files>) or a clips.csv with the columns path and label"
            )
    _clear_leftovers(raw_dir)
    with atomic_directory(raw_dir) as target:
        tables, cards = {}, {}
        for key, source in named.items():
            root = copies[key] or target / key
            if copies[key] is None and source.obtain is not None:
                root.mkdir(exist_ok=True)
                source.obtain(root, seed, downloads)
            tables[key], cards[key] = _one(source, root, params, params.by_key[key].verify, seed)
        clips = join(tables, named) if params.sources else tables[""]
        clips = map_labels(clips, params.classes, background=params.others == "background")
        where = str(next(iter(copies.values())) or next(iter(named.values())).title)
        write_clips(target / CLIPS, clips, where="dataset.sources" if params.sources else where)
        card = joint_card(params.called, cards) if params.sources else cards[""]
        card |= _counts(clips)
        write_json(target / CARD, card)
    return card


def _one(
    source: Source, root: Path, params: DatasetParams, verify: bool, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of one source, whose copy is at `root`, and its card."""
    index = source.index(root, seed)
    if params.folds == "by_recording":
        index = anew(index, seed)
    verification = source.validate(root) if source.validate else None
    if verify:
        _must_be_whole(source, verification)
    clips = index.clips
    if not verify:
        clips = clips[~clips["path"].isin(index.missing)].reset_index(drop=True)
        if clips.empty:
            raise DatasetError(f"{source.title}: none of the {len(index.missing)} files listed is there")
    return clips, _card(source, clips, index, verification)


def summary(card: dict[str, Any]) -> str:
    """The card of `prepare` in a few lines for the terminal."""
    lines = [
        f"{card['title']}: {card['clips']} clips from {card['recordings']} recordings, {len(card['classes'])} classes, "
        f"{card['folds']} folds; licence: {card['licence']}"
    ]
    if "sources" in card:
        lines.append(as_text(card["classes_by_source"]))
        for one in card["sources"]:
            lines += [f"{one['title']}: {line}" for line in _remarks(one)]
        return "\n".join(lines)
    lines.append(f"classes: {', '.join(f'{label} {count}' for label, count in card['clips_by_class'].items())}")
    return "\n".join(lines + _remarks(card))


def _remarks(card: dict[str, Any]) -> list[str]:
    """What one source's files differ in from what was expected, and what was decided for the user."""
    lines = []
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
    return lines + card["notes"]


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


def _counts(clips: pd.DataFrame) -> dict[str, Any]:
    """What the table holds, for the card; background is no class."""
    by_class = {str(label): int(count) for label, count in clips["label"].value_counts().sort_index().items()}
    sources = clips.get(SOURCE, "")
    value: dict[str, Any] = {
        "clips": len(clips),
        "recordings": int(clips["recording"].nunique()),
        "classes": [label for label in by_class if label != BACKGROUND],
        "clips_by_class": by_class,
        "folds": int(clips.assign(source=sources).groupby("source")["fold"].nunique().max()),
    }
    return value | ({"classes_by_source": counts(clips)} if SOURCE in clips else {})


def _card(source: Source, clips: pd.DataFrame, index: Index, verification: Verification | None) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
        "url": source.url,
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
