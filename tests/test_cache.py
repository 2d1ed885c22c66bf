"""The cache of log-mel spectrograms: what is in it, and what is left when building it ends early."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from earshot.clips.cache import open_cache
from earshot.clips.extract import build, summary
from earshot.clips.table import DatasetError, make_table
from earshot.core.errors import EarshotError
from earshot.core.front_end import FrontEndParams
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import read_mono
from earshot.hearing.log_mel import LogMel
from sounds import awkward_files, noise

PARAMS = FrontEndParams(window_s=1.0)


def table(root: Path, paths: list[Path]) -> pd.DataFrame:
    names = [path.relative_to(root).as_posix() for path in paths]
    rows = {"path": names, "label": ["a", "b"] * (len(names) // 2) + ["a"] * (len(names) % 2)}
    return make_table(pd.DataFrame({**rows, "recording": names, "fold": 1, "start_s": 0.5, "salience": 1.0}))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """Every awkward format, and enough short files that two workers have something to share."""
    root = tmp_path_factory.mktemp("recordings")
    paths = awkward_files(root / "awkward")
    (root / "more").mkdir()
    for number in range(20):
        path = root / "more" / f"{number}.wav"
        soundfile.write(path, noise(3_000 + 2_000 * number, seed=number), 22_050, subtype="PCM_16")
        paths.append(path)
    return root, table(root, paths)


@pytest.fixture(scope="module")
def cache(recordings, tmp_path_factory) -> Path:
    root, clips = recordings
    target = tmp_path_factory.mktemp("cache") / "features"
    build(clips, root, PARAMS, target, workers=2)
    return target


def test_every_row_equals_the_front_end_on_its_file(recordings, cache):
    root, clips = recordings
    logmel, index = open_cache(cache)
    front_end = LogMel(PARAMS)
    assert logmel.dtype == np.float16
    assert logmel.shape == (len(clips), 64, PARAMS.window_frames)
    assert index["path"].tolist() == clips["path"].tolist()
    for row, path in enumerate(index["path"]):
        samples = read_mono(root / path, PARAMS.sample_rate_hz)
        expected = front_end.clip(fit_length(samples, PARAMS.window_samples))
        assert np.array_equal(logmel[row], expected), path
        assert index["frames"][row] == min(PARAMS.window_frames, 1 + len(samples) // PARAMS.hop_length)
        cut_s = max(0, len(samples) / PARAMS.sample_rate_hz - 1)
        assert index["truncated_s"][row] == pytest.approx(cut_s, abs=1e-6)


def test_the_index_keeps_the_table_and_the_summary_counts(recordings, cache):
    _, clips = recordings
    _, index = open_cache(cache)
    pd.testing.assert_frame_equal(index[clips.columns.tolist()], clips, check_dtype=False)
    padded, cut = (index["frames"] < PARAMS.window_frames).sum(), (index["truncated_s"] > 0).sum()
    assert padded > 10
    assert cut > 3
    words = summary(index, PARAMS)
    assert f"{padded} shorter than 1 s" in words
    assert f"{cut} longer ones lost {index['truncated_s'].sum():.1f} s" in words


def test_the_number_of_workers_changes_no_byte(recordings, cache, tmp_path):
    root, clips = recordings
    build(clips, root, PARAMS, tmp_path / "features", workers=1)
    for name in ("logmel.npy", "index.csv"):
        assert (tmp_path / "features" / name).read_bytes() == (cache / name).read_bytes()


def test_the_cache_is_read_only(cache):
    logmel, _ = open_cache(cache)
    with pytest.raises(ValueError, match="read-only"):
        logmel[0, 0, 0] = 1


def test_a_file_that_cannot_be_decoded_is_named_and_leaves_the_old_cache(recordings, tmp_path):
    root = tmp_path / "copies"
    paths = awkward_files(root)[:4]
    clips = table(root, paths)
    target = tmp_path / "data" / "features"
    build(clips, root, PARAMS, target, workers=1)
    before = (target / "logmel.npy").read_bytes()
    paths[2].write_text("no longer a sound")
    with pytest.raises(EarshotError, match=f"{paths[2].name}.*plain text.*dvc repro"):
        build(clips, root, PARAMS, target, workers=1)
    assert (target / "logmel.npy").read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["features"]


def test_a_build_killed_half_way_leaves_nothing_that_looks_finished(tmp_path):
    # 600 clips take seconds; the build is killed, workers and all, once it has begun to write.
    soundfile.write(tmp_path / "a.wav", noise(96_000, 2), 96_000, subtype="PCM_24")
    clips = pd.DataFrame({"path": ["a.wav"] * 600, "label": "a", "recording": "r", "fold": 1})
    program = (
        "import sys; from pathlib import Path; import pandas as pd\n"
        "from earshot.clips.extract import build\n"
        "from earshot.clips.table import make_table\n"
        "from earshot.hearing.log_mel import FrontEndParams\n"
        "if __name__ == '__main__':\n"
        "    clips = make_table(pd.read_csv('clips.csv'))\n"
        "    build(clips, Path('.'), FrontEndParams(), Path('data/features'), workers=2)\n"
    )
    clips.to_csv(tmp_path / "clips.csv", index=False)
    (tmp_path / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    data = tmp_path / "data"
    deadline = time.monotonic() + 60
    while not list(data.glob(".partial-*/logmel.npy")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "the build ended before it could be killed"
    process.kill()  # the parent alone: its workers must notice by themselves
    process.wait()
    assert not (data / "features").exists()
    with pytest.raises(DatasetError, match="dvc repro"):
        open_cache(data / "features")
    while (alive := group(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    assert not alive, "workers outlived the build"
    build(make_table(clips[:2].assign(path=["a.wav", "a.wav"])), tmp_path, PARAMS, data / "features", workers=1)
    assert [path.name for path in data.iterdir()] == ["features"]


def group(number: int) -> list[int]:
    """Processes of the process group `number` that still run."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == number and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


def test_a_cache_whose_files_do_not_belong_together_is_refused(recordings, cache, tmp_path):
    (tmp_path / "index.csv").write_bytes((cache / "index.csv").read_bytes())
    with pytest.raises(DatasetError, match="dvc repro"):
        open_cache(tmp_path)
    np.save(tmp_path / "logmel.npy", np.zeros((3, 64, 44), np.float16))
    with pytest.raises(DatasetError, match="holds 3 clips"):
        open_cache(tmp_path)
