"""The service's answers, over real HTTP, beside those of the library in this process."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import bentoml
import httpx
import numpy as np
import pytest
import soundfile

import sounds
import tiny_model
from earshot.core.files import sha256
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import read_mono
from earshot.model.session import Model
from earshot.service.config import ServiceParams, read_settings
from earshot.service.openapi import METHODS, document
from earshot.service.routes import Routes
from earshot.stream.classify import classify
from earshot.stream.timeline import timeline
from service_server import ROOT, Server, running

RATE = tiny_model.RATE


@pytest.fixture(scope="module")
def model(tiny_model_path: Path) -> Model:
    return Model(tiny_model_path)


@pytest.fixture(scope="module")
def server(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("service") / "home", tiny_model_path, {"memory_mb": 0.2}) as server:
        yield server


def clip(label: str, seed: int = 0, duration_s: float = 4.0, rate_hz: int = RATE) -> bytes:
    return sounds.wav(tiny_model.sound(label, duration_s, seed), rate_hz, "PCM_16").getvalue()


def street(seconds: int = 40) -> bytes:
    """A recording with a whistle and a hum in it, far apart."""
    samples = np.zeros(seconds * RATE, np.float32)
    for label, start_s in (("whistle", 8), ("hum", 25)):
        sound = tiny_model.sound(label, 5.0, 3)
        samples[start_s * RATE : start_s * RATE + len(sound)] = sound
    return sounds.wav(samples, RATE, "PCM_16").getvalue()


def post(server: Server, data: bytes, path: str = "/classify", **options: object) -> httpx.Response:
    files = {"file": ("sound", data)}
    return httpx.post(f"{server.url}{path}", files=files, timeout=60, **options)  # type: ignore[arg-type]


def test_a_clip_gets_the_answer_of_the_library(server: Server, model: Model) -> None:
    data = clip("whistle", 5)
    response = post(server, data)
    assert response.status_code == 200
    answer = response.json()
    expected = classify(model, io.BytesIO(data)).as_dict()
    assert answer["predicted_class"] == "whistle"
    assert answer["top"] == [{"label": k, "probability": v} for k, v in expected["probabilities"].items()]
    for key in ("predicted_class", "confidence", "known", "duration_s", "windowed", "windows", "silent"):
        assert answer[key] == expected[key]
    assert answer["flag_for_review"] == (expected["confidence"] < 0.6)
    assert answer["model"]["sha256"] == sha256(model.path)


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_a_clip_in_any_format_is_the_row_of_the_cache(
    server: Server, model: Model, container: str, subtype: str
) -> None:
    samples = np.stack([tiny_model.sound("hum", 3.0, 2)] * 2, axis=1)
    data = sounds.wav(samples, 44_100, subtype, container).getvalue()
    mono = read_mono(io.BytesIO(data), RATE)
    row = model.log_mel.clip(fit_length(mono, model.log_mel.params.window_samples))
    *expected, known = model.scores(row[None])[0]
    answer = post(server, data).json()
    told = {entry["label"]: entry["probability"] for entry in answer["top"]}
    assert [told[label] for label in model.classes] == pytest.approx(expected, abs=1e-6)
    assert answer["known"] == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("webm", "libopus"), ("mp4", "aac")])
def test_what_phones_and_browsers_send(server: Server, container: str, codec: str) -> None:
    data = sounds.ffmpeg(tiny_model.sound("hum", 3.0, 1)[:, None], 48_000, container, codec).getvalue()
    response = post(server, data)
    assert response.status_code == 200
    assert response.json()["duration_s"] == pytest.approx(3.0 * RATE / 48_000, abs=0.1)


def test_a_long_sound_is_windowed_and_says_so(server: Server, model: Model) -> None:
    data = clip("hum", 1, 11.0)
    answer = post(server, data).json()
    assert answer["windowed"]
    assert answer["windows"] > 2
    assert answer["predicted_class"] == "hum"
    assert answer["confidence"] == classify(model, io.BytesIO(data)).as_dict()["confidence"]


def test_silence_is_flagged(server: Server) -> None:
    answer = post(server, sounds.wav(np.zeros((RATE, 1)), RATE, "PCM_16").getvalue()).json()
    assert answer["silent"]
    assert answer["flag_for_review"]


@pytest.mark.parametrize("duration_s", [3.0, 11.0])
def test_a_sound_of_no_class_is_unknown_and_flagged(server: Server, model: Model, duration_s: float) -> None:
    data = clip(tiny_model.OUTSIDE, 5, duration_s)
    answer = post(server, data).json()
    expected = classify(model, io.BytesIO(data)).as_dict()
    assert answer["predicted_class"] == expected["predicted_class"] == "unknown"
    assert answer["flag_for_review"]
    assert answer["known"] == expected["known"] < httpx.get(f"{server.url}/model").json()["unknown_threshold"]
    assert answer["top"] == [{"label": k, "probability": v} for k, v in expected["probabilities"].items()]
    assert answer["confidence"] == answer["top"][0]["probability"]
    files = [("file", ("a.wav", data)), ("file", ("b.wav", clip("hum")))]
    first, second = httpx.post(f"{server.url}/classify_batch", files=files, timeout=60).json()["results"]
    assert first == {"file": "a.wav", "status": 200, **answer}
    assert second["predicted_class"] == "hum"


def test_the_body_itself_may_be_the_clip(server: Server) -> None:
    data = clip("hiss")
    raw = httpx.post(f"{server.url}/classify", content=data, headers={"Content-Type": "audio/wav"})
    assert raw.json() == post(server, data).json()


def test_an_answer_does_not_depend_on_who_else_asks(server: Server) -> None:
    labels = (*tiny_model.CLASSES, tiny_model.OUTSIDE)
    clips = [clip(labels[i % 4], i, 0.5 + i / 8) for i in range(24)]
    alone = [post(server, data).json() for data in clips]
    assert {*labels[:3], "unknown"} == {answer["predicted_class"] for answer in alone}

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            posts = (client.post(f"{server.url}/classify", files={"file": data}) for data in clips)
            return await asyncio.gather(*posts)

    assert [response.json() for response in asyncio.run(together())] == alone


def test_one_bad_file_spoils_no_other_of_a_batch(server: Server) -> None:
    good, other = clip("hum"), clip("whistle")
    files = [("file", ("a.wav", good)), ("file", ("b.wav", b"no sound")), ("files", ("c.wav", other))]
    response = httpx.post(f"{server.url}/classify_batch", files=files)
    assert response.status_code == 200
    first, second, third = response.json()["results"]
    assert first == {"file": "a.wav", "status": 200, **post(server, good).json()}
    assert third == {"file": "c.wav", "status": 200, **post(server, other).json()}
    assert second["file"] == "b.wav"
    assert second["status"] == 415
    assert second["error"]["reason"] == "undecodable"


def test_damage_is_noted_in_every_answer(server: Server) -> None:
    samples, _ = soundfile.read(io.BytesIO(street()), dtype="int16")
    content = bytearray(sounds.wav(samples + 1, RATE, "PCM_16", "FLAC").getvalue())
    content[len(content) // 2] ^= 0x10
    data = bytes(content)
    (note,) = post(server, data).json()["notes"]
    assert note["reason"] == "damaged"
    assert 0 < note["start_s"] < note["end_s"] < 40
    assert post(server, data, "/timeline").json()["notes"] == [note]
    assert json.loads(post(server, data, "/timeline?stream=1").text.splitlines()[-1])["notes"] == [note]


def test_a_form_that_is_called_a_sound_is_named(server: Server) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3\r\n--x--\r\n'
    refused = httpx.post(f"{server.url}/classify", content=form, headers={"Content-Type": "audio/mpeg"})
    assert refused.status_code == 415
    assert "multipart form" in refused.json()["error"]["message"]


def test_a_timeline_is_that_of_the_library(server: Server, model: Model) -> None:
    data = street()
    answer = post(server, data, "/timeline").json()
    assert answer["events"] == [event.as_dict() for event in timeline(model, io.BytesIO(data))]
    assert {"whistle", "hum"} <= {event["label"] for event in answer["events"]}
    assert answer["duration_s"] == 40.0
    raw = httpx.post(f"{server.url}/timeline", content=data, headers={"Content-Type": "audio/wav"}, timeout=60)
    assert raw.json() == answer


@pytest.mark.parametrize("how", ["query", "header"])
def test_events_as_lines(server: Server, how: str) -> None:
    data = street()
    path, headers = ("/timeline?stream=1", {}) if how == "query" else ("/timeline", {"Accept": "application/x-ndjson"})
    response = post(server, data, path, headers=headers)
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    whole = post(server, data, "/timeline").json()
    assert [line for line in lines if "label" in line] == whole["events"]
    assert lines[-1] == {"duration_s": 40.0, "events": len(whole["events"]), "notes": [], "model": whole["model"]}
    assert all(line.keys() == {"heard_s"} for line in lines[:-1] if "label" not in line)


def test_the_model_says_what_it_is(server: Server, model: Model) -> None:
    told = httpx.get(f"{server.url}/model").json()
    card = json.loads(model.card.to_json())
    assert told["classes"] == list(tiny_model.CLASSES)
    assert told["lineage"]["dataset"] == card["dataset"]
    assert told["metrics"] == card["metrics"]
    assert told["licence"]["data"] == "CC0-1.0"
    assert any("glass" in text for text in told["cannot_hear"])
    assert told["window"]["window_s"] == 4.0
    assert told["review_threshold"] == 0.6
    assert told["unknown_threshold"] == told["lineage"]["unknown_threshold"] == card["unknown_threshold"] > 0
    assert "calls unknown" in told["cannot_hear"][0]


def test_the_page(server: Server) -> None:
    first = httpx.get(f"{server.url}/")
    assert first.status_code == 307
    page = httpx.get(f"{server.url}/", follow_redirects=True)
    assert page.url.path == "/ui/"
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="([^":#]+\.(?:js|css|svg))"', page.text):
        assert httpx.get(f"{server.url}/ui/{name}").status_code == 200, name


def test_bentoml_client(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(clip("hum"))
    with bentoml.SyncHTTPClient(server.url) as client:
        answer = client.classify(file=tmp_path / "a.wav")
        many = client.classify_batch(files=[tmp_path / "a.wav", tmp_path / "a.wav"])
    assert answer == post(server, clip("hum")).json()
    assert [result["predicted_class"] for result in many["results"]] == [answer["predicted_class"]] * 2


def test_a_request_id_comes_back_and_a_strange_one_does_not(server: Server) -> None:
    given = httpx.get(f"{server.url}/model", headers={"X-Request-ID": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    assert httpx.get(f"{server.url}/nothing", headers={"X-Request-ID": "mine-2"}).headers["x-request-id"] == "mine-2"
    strange = httpx.get(f"{server.url}/model", headers={"X-Request-ID": 'a" b'})
    assert re.fullmatch("[0-9a-f]{32}", strange.headers["x-request-id"])


def test_metrics(server: Server) -> None:
    before = server.metrics()
    post(server, clip("hum", 1, 2.0))
    post(server, clip(tiny_model.OUTSIDE, 1, 2.0))
    post(server, b"no sound")
    after = server.metrics()

    def grew(series: str) -> float:
        return after[series] - before.get(series, 0.0)

    assert grew('earshot_requests_total{method="POST",route="/classify",status="200"}') == 2
    assert grew('earshot_requests_total{method="POST",route="/classify",status="415"}') == 1
    assert grew('earshot_request_seconds_count{route="/classify"}') == 3
    assert grew('earshot_predictions_total{predicted_class="hum"}') == 1
    assert grew('earshot_predictions_total{predicted_class="unknown"}') == 1
    assert grew('earshot_flagged_total{predicted_class="unknown"}') == 1
    assert grew("earshot_confidence_count") == 2
    assert grew('earshot_rejected_total{reason="undecodable"}') == 1
    assert grew('earshot_audio_seconds_total{route="/classify"}') == 4.0
    assert after['earshot_budget_used{budget="clips"}'] == 0
    assert any(name.startswith("bentoml_service_request_total") for name in after)


def test_strange_paths_reach_no_metric(server: Server) -> None:
    for i in range(5):
        assert httpx.get(f"{server.url}/scan-{i}").status_code == 404
        assert httpx.get(f"{server.url}/ui/scan-{i}").status_code == 404
    assert "scan-" not in httpx.get(f"{server.url}/metrics").text


def test_logs_are_json_and_hold_nothing_of_the_sound(server: Server) -> None:
    files = {"file": ("secret-name.wav", clip("hum"))}
    httpx.post(f"{server.url}/classify", files=files, headers={"X-Request-ID": "log-me"})
    text = server.log.read_text()
    (line,) = (json.loads(line) for line in text.splitlines() if '"log-me"' in line)
    assert (line["route"], line["status"], line["method"]) == ("/classify", 200, "POST")
    assert line["duration_ms"] > 0
    assert "secret-name" not in text
    assert not {"predicted_class", "top", "confidence", "known"} & line.keys()


def test_the_worker_holds_no_training_library(server: Server) -> None:
    post(server, clip("hum"))
    for worker in server.workers():
        mapped = Path(f"/proc/{worker.pid}/maps").read_text()
        assert "onnxruntime" in mapped
        assert not re.search(r"site-packages/(torch|pandas|sklearn|scipy|dvc)/", mapped)


def test_the_document_covers_every_route(server: Server) -> None:
    told = httpx.get(f"{server.url}/openapi.json").json()
    assert told == document()
    documented = {
        (path.replace("{path}", "*"), method.upper()) for path, item in told["paths"].items() for method in item
    }
    assert documented == {(path, m) for path, methods in METHODS.items() for m in methods if m != "HEAD"}
    mounted = Routes(ServiceParams(), lambda: None).app()  # type: ignore[arg-type, return-value]
    ours = {(route.path, method) for route in mounted.routes for method in getattr(route, "methods", None) or ()}
    bentomls = {(path, "GET") for path in ("/livez", "/healthz", "/readyz", "/metrics", "/schema.json")}
    assert {(path, m) for path, m in ours if m != "HEAD"} | bentomls | {("/ui/*", "GET")} == documented
    for path, _ in bentomls:
        assert httpx.get(f"{server.url}{path}").status_code == 200
    for path in ("/docs.json", "/static_content/main.css", "/assets/a.js"):  # BentoML's, which nobody needs
        assert httpx.get(f"{server.url}{path}").status_code == 404


def test_the_project_has_a_service_section() -> None:
    settings = read_settings(ROOT, {})
    assert settings.params == ServiceParams()
    assert settings.model == ROOT / "models" / "earshot.int8.onnx"


def test_a_large_upload_goes_through_a_file_without_a_name(server: Server) -> None:
    data = clip("hum", 3, 8.0)
    assert len(data) > 0.2e6
    before = sorted(server.temporary.iterdir())
    assert post(server, data).json()["windowed"]
    assert sorted(server.temporary.iterdir()) == before
