"""The command `earshot` on files as they are found: pipes, odd names, damage, and what it says of them where."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from sounds import wav
from test_cli import EARSHOT, ENVIRONMENT, RATE, earshot


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model_path) -> Path:
    """A directory with a released model, a hum, and thirty seconds that whistle twice, damaged in between."""
    place = tmp_path_factory.mktemp("files")
    (place / "models").mkdir()
    (place / "models" / "earshot.int8.onnx").write_bytes(tiny_model_path.read_bytes())
    soundfile.write(place / "hum.wav", tiny_model.sound("hum", 2.0), RATE)
    content = bytearray(wav(recording(), RATE, "PCM_16", "FLAC").getvalue())
    content[len(content) // 2] ^= 0x10
    (place / "damaged.flac").write_bytes(content)
    mp3 = bytearray(wav(recording(), RATE, "MPEG_LAYER_III", "MP3").getvalue())
    mp3[len(mp3) // 2 : len(mp3) // 2 + 2_048] = bytes(2_048)
    (place / "damaged.mp3").write_bytes(mp3)
    (place / "cut.mp3").write_bytes(mp3[: len(mp3) // 3])
    return place


def recording() -> np.ndarray:
    samples = 1e-3 * np.random.default_rng(0).standard_normal(30 * RATE).astype(np.float32)
    for begin_s in (5, 22):
        samples[begin_s * RATE : (begin_s + 2) * RATE] += tiny_model.sound("whistle", 2.0)
    return samples


def piped(*arguments: str, content: bytes, place: Path) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        [*EARSHOT, *arguments],
        cwd=place,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, complaint = process.communicate(content, timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), complaint.decode())


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_a_file(place, name):
    content = (place / "hum.wav").read_bytes()
    expected = json.loads(earshot("classify", "--json", "hum.wav", cwd=place).stdout)
    process = piped("classify", "--json", name, content=content, place=place)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {**expected, "file": name}


def test_a_recording_through_a_pipe_has_the_same_events(place):
    content = (place / "damaged.flac").read_bytes()
    expected = earshot("timeline", "--csv", "damaged.flac", cwd=place)
    process = piped("timeline", "--csv", "-", content=content, place=place)
    assert process.returncode == 0, process.stderr
    assert (process.stdout, process.stderr) == (expected.stdout, expected.stderr)
    assert [row["label"] for row in csv.DictReader(io.StringIO(process.stdout))] == ["whistle", "whistle"]


def test_a_process_substitution_is_a_file(place):
    command = f"{' '.join(EARSHOT)} classify <(cat hum.wav)"
    process = subprocess.run(
        ["bash", "-c", command], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split()[1] == "hum"


def test_a_name_that_is_not_utf_8_costs_no_answer(place):
    odd = os.fsdecode(b"caf\xe9.wav")
    (place / odd).write_bytes((place / "hum.wav").read_bytes())
    for environment in (ENVIRONMENT, {**ENVIRONMENT, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}):
        for form in ([], ["--json"]):
            process = subprocess.run(
                [*EARSHOT, "classify", *form, odd, "né.wav", "hum.wav"],
                cwd=place,
                env=environment,
                capture_output=True,
                timeout=120,
                check=False,
            )
            assert process.returncode == 1
            assert b"Traceback" not in process.stderr
            text = process.stdout.decode("utf-8")
            if form:
                first, second, third = map(json.loads, text.splitlines())
                assert (first["file"], first["predicted_class"]) == ("caf\\xe9.wav", "hum")
                assert second["reason"] == "missing"
                assert third["predicted_class"] == "hum"
            else:
                assert [line.split()[1] for line in text.splitlines()] == ["hum", "hum"]


@pytest.mark.parametrize("name", ["damaged.flac", "damaged.mp3"])
def test_events_around_damage_are_told_in_every_form_and_the_damage_is_named(place, name):
    people = earshot("timeline", name, cwd=place)
    table = earshot("timeline", "--csv", name, cwd=place)
    labels = earshot("timeline", "--audacity", name, cwd=place)
    lines = [json.loads(line) for line in earshot("timeline", "--json", name, cwd=place).stdout.splitlines()]
    assert {process.returncode for process in (people, table, labels)} == {0}
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [row["label"] for row in rows] == ["whistle", "whistle"]
    assert [round(float(row["onset_s"])) for row in rows] == [5, 22]
    assert [line["label"] for line in lines[:-1]] == ["whistle", "whistle"]
    (note,) = lines[-1]["notes"]
    assert note["reason"] == "damaged"
    assert 10 < note["start_s"] < note["end_s"] < 20
    assert people.stdout.splitlines()[-1] == f"note: {note['message']}"
    assert people.stderr == ""
    assert table.stderr.splitlines() == labels.stderr.splitlines() == [f"note: {note['message']}"]


@pytest.mark.parametrize("form", [[], ["--csv"], ["--audacity"], ["--json"]])
def test_events_before_the_end_are_told_where_a_recording_cannot_be_heard_on(place, form):
    samples = recording()
    samples[-10:] = np.nan
    soundfile.write(place / "ends.wav", samples, RATE, subtype="FLOAT")
    process = earshot("timeline", *form, "ends.wav", cwd=place)
    assert process.returncode == 1
    assert process.stderr.startswith("error: ends.wav: the file holds samples that are not finite")
    assert process.stdout.count("whistle") == 2


def test_a_note_follows_the_answer_of_its_file(place):
    process = earshot("classify", "damaged.flac", "hum.wav", cwd=place)
    assert process.returncode == 0
    first, note, second = process.stdout.splitlines()
    assert (first.split()[0], second.split()[0]) == ("damaged.flac", "hum.wav")
    assert note.strip().startswith("note: damaged from 1")
    answers = [
        json.loads(line)
        for line in earshot("classify", "--json", "damaged.flac", "hum.wav", cwd=place).stdout.splitlines()
    ]
    assert [len(answer["notes"]) for answer in answers] == [1, 0]


def test_decoders_write_nothing_to_the_terminal(place):
    for command in ("classify", "timeline"):
        process = earshot(command, "cut.mp3", cwd=place)
        assert (process.returncode, process.stderr) == (0, "")
        assert "cut off" in process.stdout
