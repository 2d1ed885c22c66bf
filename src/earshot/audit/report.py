"""From the reports on single files to the verdict on the data set."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from earshot.audit.config import AuditParams
from earshot.audit.inspect import FileReport
from earshot.clips.split import shared_recordings
from earshot.clips.table import SOURCE
from earshot.hearing.silence import SILENCE_DB

WARNINGS = ("silent", "clipped", "dc_offset", "duration_mismatch", "truncated", "damaged", "cancelling")
NAMED = 50  # files named for each warning; all of them are counted and marked in the per-file table
ONE_FRAME_S = 1e-4  # durations closer than this are equal


def file_table(clips: pd.DataFrame, reports: list[FileReport], params: AuditParams) -> pd.DataFrame:
    """One row a file, in the order of `clips`: its clip, its measurements, `status` and `warnings`.

    `status` is ``ok`` or ``rejected``; `warnings` joins those of `WARNINGS` that apply with ``;``.
    """
    measured = pd.DataFrame([asdict(r) for r in reports], columns=[field.name for field in fields(FileReport)])
    named = [*([SOURCE] if SOURCE in clips else []), "path", "label", "fold", "recording"]
    table = pd.concat([clips[named], measured.drop(columns="path")], axis=1)
    table["expected_s"] = clips["end_s"] - clips["start_s"]
    good = table["reason"] == ""
    off = (table["duration_s"] - table["expected_s"]).abs() > params.duration_tolerance_s  # False where it is unknown
    applies = {
        "silent": good & (table["peak_db"] < SILENCE_DB),
        "clipped": good & (table["clipped_fraction"] > params.clipped_fraction),
        "dc_offset": good & (table["dc_offset"].abs() > params.dc_offset),
        "duration_mismatch": good & off,
        "truncated": good & table["truncated"],
        "damaged": good & table["damaged"],
        "cancelling": good & table["cancelling"],
    }
    table["warnings"] = [";".join(name for name in WARNINGS if applies[name].iloc[row]) for row in range(len(table))]
    table.insert(len(named), "status", np.where(good, "ok", "rejected"))
    return table


def verdict(dataset: str, clips: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """Everything in ``metrics/audit.json``, JSON-able. `clips` and `table` are row by row about the same files."""
    good = table[table["status"] == "ok"]
    bad = table[table["status"] != "ok"]
    used = clips[(table["status"] == "ok").to_numpy()]
    value: dict[str, Any] = {
        "dataset": dataset,
        "clips_total": len(table),
        "clips_ok": len(good),
        "clips_rejected": len(bad),
        "rejected_by_reason": _counts(bad["reason"]),
        "rejected": bad[["path", "reason", "detail"]].to_dict("records"),
        "warnings": {},
        "warning_files": {},
        "sample_rates_hz": _counts(good["sample_rate_hz"]),
        "channels": _counts(good["channels"]),
        "codecs": _counts(good["container"] + " " + good["codec"]),
        "bits": _counts(good["bits"]),
        "durations_s": _durations(good["duration_s"]),
        "duplicates": _duplicates(good),
        "recordings": int(used["recording"].nunique()),
        "recordings_across_folds": shared_recordings(used),
        "classes": {
            str(label): {"clips": len(group), "recordings": int(group["recording"].nunique())}
            for label, group in used.groupby("label", sort=True)
        },
        "folds": {str(fold): len(group) for fold, group in used.groupby("fold", sort=True)},
    }
    if SOURCE in used:
        across = used.groupby("recording")[SOURCE].nunique()
        value["sources"] = {str(key): len(group) for key, group in used.groupby(SOURCE, sort=True)}
        value["recordings_across_sources"] = sorted(across.index[across > 1])
    for name in WARNINGS:
        files = [path for path, found in zip(good["path"], good["warnings"], strict=True) if name in found.split(";")]
        value["warnings"][name] = len(files)
        value["warning_files"][name] = files[:NAMED]
    return value


def summary(value: dict[str, Any], table: pd.DataFrame, sample_rate_hz: int | None, window_s: float | None) -> str:
    """The verdict in a few lines, and what turning the files into mono at `sample_rate_hz`, `window_s` long, takes."""
    good = table[table["status"] == "ok"]
    length = value["durations_s"]
    lines = [
        f"{value['dataset']}: {value['clips_ok']} of {value['clips_total']} files can be used, "
        f"{value['recordings']} recordings, {len(value['classes'])} classes, {len(value['folds'])} folds, "
        f"{length['total_h']:.1f} h",
        *(f"  rejected: {bad['path']}: {bad['reason']}, {bad['detail']}" for bad in value["rejected"][:10]),
    ]
    if value["clips_rejected"] > 10:
        lines.append(f"  and {value['clips_rejected'] - 10} more, all in metrics/audit.json")
    rates = ", ".join(f"{rate} Hz {count}" for rate, count in value["sample_rates_hz"].items())
    lines.append("to standardise:")
    if sample_rate_hz:
        resampled = int((good["sample_rate_hz"] != sample_rate_hz).sum())
        lines.append(f"  resample to {sample_rate_hz} Hz: {resampled} files ({rates})")
    if window_s:
        lines.append(f"  pad to {window_s:g} s: {int((good['duration_s'] < window_s - ONE_FRAME_S).sum())} files")
        lines.append(f"  cut to {window_s:g} s: {int((good['duration_s'] > window_s + ONE_FRAME_S).sum())} files")
    lines += [
        f"  mix to mono: {int((good['channels'] > 1).sum())} files",
        f"  decode: {', '.join(f'{codec} {count}' for codec, count in value['codecs'].items())}",
        f"  durations {length['min']:.2f} to {length['max']:.2f} s, half of them under {length['p50']:.2f} s",
    ]
    warned = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in value["warnings"].items() if count)
    if warned:
        lines.append(f"worth a look (used all the same): {warned}")
    twins = value["duplicates"]
    if twins["groups"]:
        lines.append(
            f"the same samples more than once: {twins['groups']} groups, {len(twins['across_folds'])} of them across "
            f"folds, {len(twins['across_labels'])} under different classes"
        )
    if value.get("recordings_across_sources"):
        lines.append(f"{len(value['recordings_across_sources'])} recordings are in more than one source")
    if value["recordings_across_folds"]:
        shared = value["recordings_across_folds"]
        named = ", ".join(f"{row['recording']} ({'/'.join(row['labels'])})" for row in shared[:5])
        lines.append(f"{len(shared)} recordings lie in more than one fold: {named}")
    return "\n".join(lines)


def _duplicates(good: pd.DataFrame) -> dict[str, Any]:
    groups = defaultdict(list)
    for samples, path, fold, label in zip(
        good["samples_sha256"], good["path"], good["fold"], good["label"], strict=True
    ):
        groups[samples].append((path, int(fold), label))
    twins = sorted(sorted(group) for group in groups.values() if len(group) > 1)
    return {
        "compared": "decoded samples, sampling rate and channels",
        "groups": len(twins),
        "across_folds": [[path for path, _, _ in group] for group in twins if len({fold for _, fold, _ in group}) > 1],
        "across_labels": [[path for path, _, _ in group] for group in twins if len({lab for _, _, lab in group}) > 1],
    }


def _durations(seconds: pd.Series) -> dict[str, float]:
    if seconds.empty:
        return {"total_h": 0.0, "min": 0.0, "p05": 0.0, "p50": 0.0, "p95": 0.0, "max": 0.0}
    low, p05, p50, p95, high = (round(float(q), 4) for q in np.quantile(seconds, [0, 0.05, 0.5, 0.95, 1]))
    return {
        "total_h": round(float(seconds.sum()) / 3600, 4),
        "min": low,
        "p05": p05,
        "p50": p50,
        "p95": p95,
        "max": high,
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}
