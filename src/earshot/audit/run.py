"""The audit as one call: judge every file, write what was found, and stop where too much is wrong."""

from pathlib import Path
from typing import Any

import pandas as pd

from earshot.audit.config import AuditParams
from earshot.audit.plots import write_plots
from earshot.audit.pool import inspect_all
from earshot.audit.report import file_table, verdict
from earshot.clips.equal import one_recording
from earshot.clips.paths import Root, locate
from earshot.clips.table import SOURCE, read_clips, write_clips
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file, write_json

LISTED = 20  # files named in the message that stops the pipeline


class AuditError(EarshotError):
    """The recordings are not fit to be learnt from; the message lists the files and the remedy."""


def audit(
    dataset: str,
    clips_csv: Path,
    root: Root,
    params: AuditParams,
    audited_dir: Path = Path("data/audited"),
    metrics_json: Path = Path("metrics/audit.json"),
    plots_dir: Path = Path("metrics/plots/audit"),
    workers: int | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Decode every file of `clips_csv` below `root`, in parallel, and keep the clips that can be used.

    Writes `metrics_json` first, whatever the verdict; then, if it is good, plots, ``files.csv`` (every file, with its
    measurements, SHA-256, status and warnings) and last ``clips.csv`` (the usable rows of `clips_csv`) in
    `audited_dir`. Recordings of several sources that hold the same sound have one name there.

    Returns:
        What `metrics_json` holds, and the table of files.

    Raises:
        AuditError: more than `params.max_rejected_fraction` of the files cannot be used, or all files of a class.
            There is no ``clips.csv`` then.
    """
    for stale in (audited_dir / "clips.csv", audited_dir / "files.csv"):
        stale.unlink(missing_ok=True)
    clips = read_clips(clips_csv)
    reports = inspect_all(".", locate(clips, root), params.max_duration_s, workers)
    if SOURCE in clips:
        clips = one_recording(clips, [report.samples_sha256 for report in reports])
    table = file_table(clips, reports, params)
    value = verdict(dataset, clips, table)
    write_json(metrics_json, value)
    _stop_if_unfit(value, clips, params, metrics_json)
    write_plots(table, plots_dir)
    with atomic_file(audited_dir / "files.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", float_format="%.7g")
    write_clips(audited_dir / "clips.csv", clips[(table["status"] == "ok").to_numpy()])
    return value, table


def _stop_if_unfit(value: dict[str, Any], clips: pd.DataFrame, params: AuditParams, metrics_json: Path) -> None:
    rejected, total = value["clips_rejected"], value["clips_total"]
    named = "".join(f"\n  {bad['path']}: {bad['reason']}, {bad['detail']}" for bad in value["rejected"][:LISTED])
    if rejected > LISTED:
        named += f"\n  and {rejected - LISTED} more; all are in {metrics_json}"
    if rejected > params.max_rejected_fraction * total:
        raise AuditError(
            f"{rejected} of {total} files cannot be used, more than audit.max_rejected_fraction="
            f"{params.max_rejected_fraction:g} allows. Mend or remove them, or raise the limit:{named}"
        )
    lost = sorted(set(clips["label"]) - set(value["classes"]))
    if lost:
        raise AuditError(
            f"no file of {', '.join(lost)} can be used. Mend them, or remove the class from the data:{named}"
        )
