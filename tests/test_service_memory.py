"""A worker at rest hands memory back: after work, not during it, and once."""

import asyncio
import io
import weakref
from pathlib import Path
from typing import Any

import pytest

import sounds
from earshot.service import engine as engine_module
from earshot.service.config import ServiceParams, Settings
from earshot.service.engine import Engine
from earshot.service.memory import give_back
from earshot.stream.config import TimelineParams
from service_server import running


class NoMetrics:
    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def noise(seconds: int) -> io.BytesIO:
    return sounds.wav(sounds.noise(8000 * seconds), 8000, "PCM_16")


def test_memory_is_handed_back_at_rest(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []
    made = Engine(Settings(tiny_model_path, ServiceParams(), TimelineParams()), NoMetrics())  # type: ignore[arg-type]
    monkeypatch.setattr(engine_module, "_REST_S", 0.2)
    monkeypatch.setattr(engine_module, "give_back", lambda: at_work.append(made._at_work))

    async def work_then_rest() -> None:
        await made.classify(noise(1))
        await asyncio.gather(*(made.classify(noise(600)) for _ in range(3)))
        assert not at_work
        await asyncio.sleep(1.0)
        assert at_work == [0]
        await made.classify(noise(1))
        await asyncio.sleep(1.0)

    asyncio.run(work_then_rest())
    assert at_work == [0, 0]


def test_a_worker_has_one_heap(tiny_model_path: Path, tmp_path: Path) -> None:
    with running(tmp_path / "home", tiny_model_path, {}) as server:
        (worker,) = server.workers()
        assert worker.environ()["MALLOC_ARENA_MAX"] == "1"


def test_what_a_refused_upload_kept_in_a_cycle_is_freed() -> None:
    def refuse(samples: set[int]) -> Exception:
        error = ValueError("refused")
        try:
            raise error  # its traceback holds this frame, and this frame holds it
        except ValueError as caught:
            return caught

    samples = {1, 2, 3}
    kept = weakref.ref(samples)
    refuse(samples)
    del samples
    give_back()
    assert kept() is None
