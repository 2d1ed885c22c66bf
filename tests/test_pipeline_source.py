"""A source of recordings is added in one file and one line."""

import soundfile

from small_project import ran

SOURCE = '''
"""Two tones in three recordings each."""

from pathlib import Path

import numpy as np
import soundfile

from earshot.sources import folder
from earshot.sources.source import Source


def obtain(target: Path, seed: int, downloads: Path) -> None:
    time_s = np.arange(8_000) / 8_000
    for label, pitch_hz in (("low", 200), ("high", 1_000)):
        (target / label).mkdir()
        for take in "abc":
            sound = 0.2 * np.sin(2 * np.pi * pitch_hz * time_s)
            soundfile.write(target / label / f"tone {take}{seed}.wav", sound, 8_000)


SOURCE = Source("tones", "Two tones", "CC0", "nobody", "", folder.SOURCE.index, None, obtain)
'''


def test_a_source_is_one_file_and_one_line(small_project):
    project = small_project.copy("tones")
    sources = project.root / "src/earshot/sources"
    (sources / "tones.py").write_text(SOURCE, encoding="utf-8")
    registry = sources / "registry.py"
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("NAMES = (\n", 'NAMES = (\n    "tones",\n'), encoding="utf-8")
    project.set_param("dataset.name", "tones")
    project.set_param("dataset.path", "data/local")
    said = project.dvc("repro", "features")
    assert ran(said) == ["download", "audit", "features"]
    assert "Two tones: 6 clips from 6 recordings, 2 classes, 3 folds; licence: CC0" in said
    rows = project.rows("data/features/index.csv")
    assert sorted({row["label"] for row in rows}) == ["high", "low"]
    assert soundfile.info(project.root / "data/raw/low/tone a7.wav").frames == 8_000
