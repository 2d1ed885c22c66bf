"""configs/monitoring.yaml over stand-ins of both published sets, through the whole pipeline and the service."""

import json
import shutil
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import yaml

from earshot.clips.config import DatasetParams
from earshot.core.labels import BACKGROUND
from earshot.core.params import build
from earshot.sources import synthetic
from service_server import Server
from small_project import ROOT, Project, ran

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
JOINED = [path for path in CONFIGS if "dataset" in yaml.safe_load(path.read_text(encoding="utf-8"))]
RATE_HZ = 22_050
FOLDS = 5


@pytest.mark.parametrize("path", JOINED, ids=lambda path: path.stem)
def test_a_config_names_labels_that_the_published_sets_have(path):
    """Against the labels as they are published (Salamon 2014, table 1; Piczak 2015, table 1)."""
    params = build(DatasetParams, yaml.safe_load(path.read_text(encoding="utf-8"))["dataset"])
    published = {*URBAN.split(), *ESC.split()}
    assert {label for labels in params.classes.values() for label in labels} <= published
    assert [source.name for source in params.sources] in (["urbansound8k", "esc50"], ["esc50", "urbansound8k"])


URBAN = """air_conditioner car_horn children_playing dog_bark drilling engine_idling gun_shot jackhammer siren
street_music"""
ESC = """dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets chirping_birds
water_drops wind pouring_water toilet_flush thunderstorm crying_baby sneezing clapping breathing coughing footsteps
laughing brushing_teeth snoring drinking_sipping door_wood_knock mouse_click keyboard_typing door_wood_creaks
can_opening washing_machine vacuum_cleaner clock_alarm clock_tick glass_breaking helicopter chainsaw siren car_horn
engine train church_bells airplane fireworks hand_saw"""


def make_esc50(root: Path, categories: tuple[str, ...], clips: int) -> None:
    """ESC-50's layout with tones in noise, `clips` of each category in five folds. Synthetic."""
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    time_s = np.arange(RATE_HZ) / RATE_HZ
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for target, category in enumerate(categories):
        for number in range(clips):
            random = np.random.default_rng([target, number])
            recording = 900_000 + 1000 * target + number
            tone = np.sin(2 * np.pi * 200 * 1.06**target * random.uniform(0.97, 1.03) * time_s)
            name = f"{number % FOLDS + 1}-{recording}-A-{target}.wav"
            soundfile.write(root / "audio" / name, 0.2 * tone + random.normal(0, 0.02, len(time_s)), RATE_HZ)
            lines.append(f"{name},{number % FOLDS + 1},{target},{category},False,{recording},A")
    (root / "meta/esc50.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Both sets side by side, the config laid over the parameters, two epochs, and all reproduced."""
    root = tmp_path_factory.mktemp("sources")
    chosen = [one for one in synthetic.draw(7) if one.fold <= FOLDS and one.index % 4 == 0]
    (root / "sounds/UrbanSound8K").mkdir(parents=True)
    synthetic.prepare(root / "sounds/UrbanSound8K", 7, recordings=chosen, workers=1)
    make_esc50(root / "sounds/ESC-50-master", ("dog", "siren", "car_horn", "glass_breaking", "rain", "frog"), 10)
    project = Project.create(root / "project")
    config = yaml.safe_load((ROOT / "configs/monitoring.yaml").read_text(encoding="utf-8"))["dataset"]
    config["sources"] = [one | {"path": "../sounds", "verify": False} for one in config["sources"]]
    for key, value in {"name": "synthetic", "path": "data/local", **config}.items():
        project.set_param(f"dataset.{key}", value)
    project.set_param("train.epochs", 2)
    project.set_param("gate.min_agreement", 0.3)
    project.output = project.dvc("repro")
    return project


@pytest.mark.full
def test_the_config_goes_through_to_a_release(project):
    assert {"inventory@source0", "inventory@source1", "audit", "train", "quantize", "release"} <= set(
        ran(project.output)
    )
    assert ran(project.dvc("repro")) == []
    clips = project.rows("data/audited/clips.csv")
    assert {row["source"] for row in clips} == {"urbansound8k", "esc50"}
    assert {row["label"] for row in clips} == {
        *("breaking_glass", "car_horn", "dog_bark", "drilling", "gun_shot", "jackhammer", "siren"),
        BACKGROUND,
    }
    assert project.json("metrics/evaluation.json")["dataset"] == "urbansound8k+esc50"
    assert project.json("metrics/train.json")["background_clips"] > 0
    assert project.json("metrics/quantization.json")["passed"]


@pytest.mark.full
def test_the_terminal_shows_classes_by_source(project):
    rows = [line.split() for line in project.output.splitlines()]
    assert ["class", "urbansound8k", "esc50"] in rows
    assert ["breaking_glass", "0", "10"] in rows


@pytest.mark.full
def test_the_model_lists_sources_licences_and_classes_by_source(project, tmp_path):
    server = Server(tmp_path / "server", project.root / "models/earshot.int8.onnx", {}, {})
    try:
        server.wait_until_ready()
        model = httpx.get(f"{server.url}/model", timeout=30).json()
    finally:
        server.process.terminate()
        server.process.wait()
    assert [one["title"] for one in model["licence"]["sources"]] == ["UrbanSound8K", "ESC-50"]
    assert all(one["licence"].startswith("CC BY-NC 3.0") for one in model["licence"]["sources"])
    dataset = model["lineage"]["dataset"]
    assert [one["key"] for one in dataset["sources"]] == ["urbansound8k", "esc50"]
    assert dataset["classes_by_source"]["breaking_glass"] == {"urbansound8k": 0, "esc50": 10}
    assert "path" not in json.dumps(model["lineage"]["params"]["dataset"])
    said = project.run(sys.executable, "-m", "earshot.commands.cli", "model", "models/earshot.int8.onnx")
    assert "ESC-50, CC BY-NC 3.0" in said


@pytest.mark.full
def test_a_changed_file_in_any_source_reruns_the_pipeline(project):
    target = project.root.parent / "sounds/ESC-50-master/audio"
    first, second = sorted(target.iterdir())[:2]
    kept = first.read_bytes()
    shutil.copyfile(second, first)
    try:
        status = project.dvc("status")
    finally:
        first.write_bytes(kept)
    assert "inventory@source1" in status
