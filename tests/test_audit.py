"""The audit against real files: what is bad is named with its reason, what is awkward is used."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from earshot.audit.config import AuditParams
from earshot.audit.inspect import inspect
from earshot.audit.pool import inspect_all
from earshot.audit.report import summary
from earshot.audit.run import AuditError, audit
from earshot.clips.table import make_table, read_clips, write_clips
from earshot.sources import folder
from poisoned import dies_on_poison

RATE_HZ = 16_000


def noise(seconds: float = 0.2, rate_hz: int = RATE_HZ, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate_hz), channels)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype=subtype)


@pytest.fixture
def sounds(tmp_path) -> Path:
    """Two classes of ten plain files each."""
    root = tmp_path / "sounds"
    for number in range(20):
        write(root / ("dog" if number % 2 else "cat") / f"{chr(97 + number)}.wav", noise(seed=number))
    return root


class Audited:
    """An audit of `root` with its outputs under `out`."""

    def __init__(self, root: Path, out: Path, clips: pd.DataFrame | None = None, **params: float) -> None:
        self.clips_csv, self.audited, self.metrics = out / "clips.csv", out / "audited", out / "audit.json"
        self.plots = out / "plots"
        write_clips(self.clips_csv, folder.index(root).clips if clips is None else clips)
        self.root, self.params = root, AuditParams(**params)

    def run(self) -> dict:
        self.value, self.table = audit(
            "folder", self.clips_csv, self.root, self.params, self.audited, self.metrics, self.plots, workers=2
        )
        return self.value

    @property
    def reasons(self) -> dict[str, str]:
        return {bad["path"]: bad["reason"] for bad in json.loads(self.metrics.read_text())["rejected"]}


def add_bad_files(root: Path) -> dict[str, str]:
    """Files that cannot be used, and the reason that each must be given."""
    whole = (root / "dog/b.wav").read_bytes()
    (root / "dog/empty.wav").touch()
    (root / "dog/text.wav").write_text("these are my notes on the dog next door\n")
    (root / "dog/corrupt.flac").write_bytes(b"fLaC" + bytes(range(256)))
    (root / "dog/header.wav").write_bytes(whole[:44])
    samples = noise()
    samples[100] = np.nan
    write(root / "dog/nan.wav", samples, subtype="FLOAT")
    samples[100] = -np.inf
    write(root / "dog/inf.wav", samples, subtype="FLOAT")
    return {
        "dog/empty.wav": "empty",
        "dog/text.wav": "undecodable",
        "dog/corrupt.flac": "undecodable",
        "dog/header.wav": "empty",
        "dog/nan.wav": "not_finite",
        "dog/inf.wav": "not_finite",
    }


def add_awkward_files(root: Path) -> list[str]:
    """Files that are unusual and perfectly good."""
    write(root / "dog/short.wav", noise(0.05))
    write(root / "dog/studio.wav", noise(0.2, 96_000, 2), 96_000, "PCM_24")
    write(root / "dog/adpcm.wav", noise(), subtype="MS_ADPCM")
    write(root / "dog/ulaw.wav", noise(0.2, 8000), 8000, "ULAW")
    write(root / "dog/vorbis.ogg", noise())
    write(root / "dog/flac in disguise.flac", noise())
    (root / "dog/flac in disguise.flac").rename(root / "dog/flac in disguise.wav")
    return [
        f"dog/{n}" for n in ("short.wav", "studio.wav", "adpcm.wav", "ulaw.wav", "vorbis.ogg", "flac in disguise.wav")
    ]


def test_bad_files_are_named_with_their_reason_and_good_ones_used(sounds, tmp_path):
    bad, awkward = add_bad_files(sounds), add_awkward_files(sounds)
    run = Audited(sounds, tmp_path, max_rejected_fraction=0.5)
    value = run.run()
    assert run.reasons == bad
    assert (value["clips_total"], value["clips_ok"], value["clips_rejected"]) == (32, 26, 6)
    assert value["rejected_by_reason"] == {"empty": 2, "not_finite": 2, "undecodable": 2}
    text = next(found for found in value["rejected"] if found["path"] == "dog/text.wav")
    assert "plain text" in text["detail"]
    used = set(read_clips(run.audited / "clips.csv")["path"])
    assert set(awkward) <= used
    assert len(used) == 26
    files = pd.read_csv(run.audited / "files.csv").set_index("path")
    assert len(files) == 32
    assert files.loc["dog/studio.wav", ["sample_rate_hz", "channels", "bits"]].tolist() == [96_000, 2, 24]
    assert files.loc["dog/adpcm.wav", "codec"] == "MS_ADPCM"
    assert files.loc["dog/flac in disguise.wav", "container"] == "FLAC"
    assert files.loc["dog/short.wav", "duration_s"] == pytest.approx(0.05)


def test_too_many_bad_files_stop_with_their_names(sounds, tmp_path):
    bad = add_bad_files(sounds)
    run = Audited(sounds, tmp_path, max_rejected_fraction=0.2)
    run.audited.mkdir()
    (run.audited / "clips.csv").write_text("of an earlier run")
    with pytest.raises(AuditError, match=r"6 of 26 .*max_rejected_fraction=0\.2") as error:
        run.run()
    assert all(f"{path}: {reason}" in str(error.value) for path, reason in bad.items())
    assert run.reasons == bad
    assert not (run.audited / "clips.csv").exists()


def test_a_class_that_loses_every_file_stops_the_pipeline(sounds, tmp_path):
    for name in "abc":
        (sounds / "cow").mkdir(exist_ok=True)
        (sounds / f"cow/{name}.wav").write_text("moo")
    run = Audited(sounds, tmp_path, max_rejected_fraction=0.5)
    with pytest.raises(AuditError, match="no file of cow can be used"):
        run.run()
    assert not (run.audited / "clips.csv").exists()


def test_a_file_that_vanished_is_missing(sounds, tmp_path):
    run = Audited(sounds, tmp_path, max_rejected_fraction=0.5)
    (sounds / "dog/b.wav").unlink()
    run.run()
    assert run.reasons == {"dog/b.wav": "missing"}


def test_warnings_are_counted_and_the_files_used(sounds, tmp_path):
    write(sounds / "dog/digital_silence.wav", np.zeros(3200))
    write(sounds / "dog/faint.wav", noise() * 1e-4, subtype="PCM_24")
    write(sounds / "dog/loud.wav", np.clip(np.sin(np.arange(3200) * 0.1) * 5, -1, 1))
    write(sounds / "dog/touches.wav", np.sin(np.arange(3200) * 0.7))  # reaches full scale and is not cut off there
    write(sounds / "dog/offset.wav", noise() - 0.05)
    write(sounds / "dog/cut.wav", noise(1.0))
    (sounds / "dog/cut.wav").write_bytes((sounds / "dog/cut.wav").read_bytes()[:20_000])
    write(sounds / "dog/cut.mp3", noise(2.0))
    (sounds / "dog/cut.mp3").write_bytes((sounds / "dog/cut.mp3").read_bytes()[:4_000])
    value = Audited(sounds, tmp_path).run()
    assert value["clips_rejected"] == 0
    assert value["warning_files"] == {
        "silent": ["dog/digital_silence.wav", "dog/faint.wav"],
        "clipped": ["dog/loud.wav"],
        "dc_offset": ["dog/offset.wav"],
        "duration_mismatch": [],
        "truncated": ["dog/cut.mp3", "dog/cut.wav"],
        "damaged": [],
        "cancelling": [],
    }
    assert value["warnings"] == {
        "silent": 2,
        "clipped": 1,
        "dc_offset": 1,
        "duration_mismatch": 0,
        "truncated": 2,
        "damaged": 0,
        "cancelling": 0,
    }


def test_durations_are_compared_with_the_metadata_where_there_is_any(sounds, tmp_path):
    clips = folder.index(sounds).clips
    clips.loc[0, ["start_s", "end_s"]] = [10.0, 10.2]
    clips.loc[1, ["start_s", "end_s"]] = [10.0, 14.0]
    value = Audited(sounds, tmp_path, clips).run()
    assert value["warning_files"]["duration_mismatch"] == [clips["path"][1]]


def test_the_same_samples_in_two_folds_are_found_in_any_lossless_format(sounds, tmp_path):
    samples, _ = soundfile.read(sounds / "dog/b.wav", dtype="int16")
    write(sounds / "cat/b again.flac", samples)
    write(sounds / "dog/b slower.wav", samples, 8000)
    clips = folder.index(sounds).clips
    clips["fold"] = [2 if path == "cat/b again.flac" else 1 for path in clips["path"]]
    found = Audited(sounds, tmp_path, clips).run()["duplicates"]
    pair = [["cat/b again.flac", "dog/b.wav"]]
    assert (found["groups"], found["across_folds"], found["across_labels"]) == (1, pair, pair)


def test_measurements_are_right(tmp_path):
    seconds = np.arange(44_100) / 44_100
    sine = 0.5 * np.sin(2 * np.pi * 441 * seconds)
    write(tmp_path / "a.wav", np.stack([sine + 0.25, sine], axis=1), 44_100, "FLOAT")
    found = inspect(str(tmp_path), "a.wav", 60.0)
    assert found.peak_db == pytest.approx(20 * np.log10(0.75), abs=1e-3)
    assert found.rms_db == pytest.approx(10 * np.log10((0.125 + 0.125 + 0.0625) / 2), abs=1e-3)
    assert found.dc_offset == pytest.approx(0.25, abs=1e-5)
    assert (found.sample_rate_hz, found.channels, found.bits, found.duration_s) == (44_100, 2, 32, 1.0)


def test_a_recording_too_long_to_be_a_clip_is_rejected_before_it_is_decoded(sounds, tmp_path):
    write(sounds / "dog/long.wav", noise(2.0))
    run = Audited(sounds, tmp_path, max_duration_s=1.5, max_rejected_fraction=0.1)
    run.run()
    assert run.reasons == {"dog/long.wav": "too_long"}


def test_a_file_that_kills_its_worker_costs_that_file_only(tmp_path):
    names = [f"{n:02}.wav" for n in range(30)]
    names[7], names[20] = "poison one.wav", "poison two.wav"
    for number, name in enumerate(names):
        write(tmp_path / name, noise(seed=number))
    reports = inspect_all(str(tmp_path), names, 60.0, workers=2, inspector=dies_on_poison)
    assert [report.path for report in reports] == names
    assert {report.path: report.reason for report in reports if report.reason} == {
        "poison one.wav": "crashed",
        "poison two.wav": "crashed",
    }


def test_two_runs_write_the_same_bytes(sounds, tmp_path):
    def outputs(run: Audited) -> dict[str, bytes]:
        run.run()
        files = [run.metrics, *run.audited.iterdir(), *run.plots.iterdir()]
        return {path.name: path.read_bytes() for path in files}

    first, second = (outputs(Audited(sounds, tmp_path / name)) for name in ("one", "two"))
    assert first == second
    assert sorted(first) == [
        "audit.json",
        "classes_by_fold.png",
        "clips.csv",
        "durations.png",
        "files.csv",
        "rates.png",
    ]


def test_the_summary_says_what_standardising_takes(sounds, tmp_path):
    add_awkward_files(sounds)
    run = Audited(sounds, tmp_path)
    told = summary(run.run(), run.table, sample_rate_hz=16_000, window_s=0.2)
    assert "26 of 26 files can be used" in told
    assert "resample to 16000 Hz: 2 files (8000 Hz 1, 16000 Hz 24, 96000 Hz 1)" in told
    assert "pad to 0.2 s: 1 files" in told
    assert "mix to mono: 1 files" in told


def test_recordings_in_two_folds_are_listed(tmp_path):
    rows = []
    for number in range(8):
        name = f"{number}.wav"
        write(tmp_path / name, noise(seed=number))
        rows.append({"path": name, "label": "ab"[number % 2], "fold": 1 + number // 4, "recording": f"r{number}"})
    rows[0]["recording"] = rows[5]["recording"] = "walk"
    value = Audited(tmp_path, tmp_path / "out", make_table(pd.DataFrame(rows))).run()
    assert value["recordings_across_folds"] == [{"recording": "walk", "folds": [1, 2], "labels": ["a", "b"]}]
    assert value["folds"] == {"1": 4, "2": 4}
    assert value["classes"]["a"] == {"clips": 4, "recordings": 4}
