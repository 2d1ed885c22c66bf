"""The BentoML service: `bentoml serve`, `bentoml build` and `bentoml containerize` begin here.

The routes are one Starlette application, mounted before BentoML's own. BentoML reads a file input whole into memory,
twice, fetches a string in its place, cannot refuse before it has read, and answers errors in three shapes. The same
methods are declared as BentoML's APIs all the same: its clients, its schema and calls in one process know them.

`Earshot.to_asgi` differs from BentoML's in four things: requests pass `Front` first; the mounted routes come before
those of the declared methods; and BentoML's timeout is left out, since it starts with the upload's first byte and keeps
a timer for each request until it would have rung (the engine has timeouts of its own). Nor are OpenTelemetry's spans
made, one for every 64 KB of an upload, where the configuration sends them nowhere.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from bentoml.exceptions import BentoMLException
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from earshot.core.errors import EarshotError
from earshot.model.session import Model
from earshot.service import answers, connections, logs
from earshot.service.config import Settings, read_settings
from earshot.service.engine import Engine
from earshot.service.front import Front
from earshot.service.memory import ONE_HEAP, settle
from earshot.service.metrics import Metrics
from earshot.service.openapi import METHODS, OPEN
from earshot.service.refusals import RefusedError, too_large, too_many_files
from earshot.service.routes import Routes, page_paths

# `bentoml serve` reads BENTOML_DO_NOT_TRACK before it imports this, and remembers it. It sends its reports only later:
# it reads the variable again, which `earshot/__init__.py` has set.
usage_stats.do_not_track.cache_clear()


@contextlib.contextmanager
def _as_bentomls() -> Iterator[None]:
    """Errors for the user in the type that BentoML's commands show without a traceback."""
    try:
        yield
    except EarshotError as error:
        raise BentoMLException(str(error)) from error


# BentoML imports this in the project's root, or in the root of the bento's copy of it.
with _as_bentomls():
    SETTINGS: Settings = read_settings(Path.cwd())
DECLARED_TIMEOUT_S = 3600.0  # BentoML demands one; see above


@dataclass
class Worker:
    """What a worker process has once it has begun."""

    metrics: Metrics | None = None
    engine: Engine | None = None


WORKER = Worker()


def engine_of_this_worker() -> Engine:
    """The engine; requests come only after it is made."""
    if WORKER.engine is None:
        raise RuntimeError("a request came before the service began")
    return WORKER.engine


class EarshotService(bentoml.Service):
    """A BentoML service whose requests pass `Front` first."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application of one worker."""
        connections.install(SETTINGS.params)
        app: Any = super().to_asgi(is_main)
        unwanted = {"TimeoutMiddleware"} if _traced() else {"TimeoutMiddleware", "OpenTelemetryMiddleware"}
        app.user_middleware = [m for m in app.user_middleware if m.cls.__name__ not in unwanted]
        app.router.routes.sort(key=lambda route: getattr(route, "app", None) is not ROUTES)  # stable
        front: ASGIApp = Front(
            app,
            METHODS,
            OPEN,
            page=(page_paths(), "/ui/*"),
            token=SETTINGS.token,
            metrics=lambda: WORKER.metrics,
            ready=lambda: WORKER.engine is not None and WORKER.engine.ready,
        )
        if SETTINGS.cors_origins:
            front = CORSMiddleware(
                front,
                allow_origins=SETTINGS.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                expose_headers=["X-Request-ID"],
            )
        return front


def _traced() -> bool:
    """Whether BentoML's configuration sends traces anywhere."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    return bool(BentoMLContainer.config.tracing.exporter_type.get())


ROUTES: Starlette = Routes(SETTINGS.params, engine_of_this_worker).app()


@bentoml.service(
    name="earshot",
    service_class=EarshotService,
    workers=SETTINGS.params.workers or "cpu_count",
    envs=[ONE_HEAP],
    traffic={"timeout": DECLARED_TIMEOUT_S},
    logging={"access": {"enabled": False}},  # `Front` writes one, with a request id and as JSON
)
@bentoml.asgi_app(ROUTES, path="/")
class Earshot:
    """Names the sounds in recordings, and says how sure it is."""

    def __init__(self) -> None:
        """Load the model and let it answer a first clip: a worker takes no request before."""
        logs.configure()
        WORKER.metrics = Metrics()
        WORKER.engine = Engine(SETTINGS, WORKER.metrics)
        WORKER.engine.warm_up()
        settle()

    @bentoml.api(route="/classify")
    def classify(self, file: Path) -> dict[str, Any]:
        """Name the sound in a file."""
        engine = engine_of_this_worker()
        return answers.classification(engine, engine.classify_file(file))

    @bentoml.api(route="/classify_batch")
    def classify_batch(self, files: list[Path]) -> dict[str, Any]:
        """Name the sounds in many files; one bad file spoils no other."""
        params = SETTINGS.params
        if len(files) > params.batch_max_files:
            raise too_many_files(params.batch_max_files)
        if sum(file.stat().st_size for file in files) > params.batch_max_mb * 1e6:
            raise too_large(round(params.batch_max_mb * 1e6))
        return {"results": [self._one(file) for file in files]}

    @bentoml.api(route="/timeline")
    def timeline(self, file: Path) -> dict[str, Any]:
        """What is heard in a recording, and when."""
        engine = engine_of_this_worker()
        return answers.timeline(engine, *engine.timeline_file(file))

    @bentoml.on_deployment
    def check() -> None:
        """Refuse to start, once and clearly, where each worker would fail over and over."""
        with _as_bentomls():
            Model(SETTINGS.model)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what is at work."""
        if WORKER.engine is not None:
            WORKER.engine.close()

    def _one(self, file: Path) -> dict[str, Any]:
        try:
            return {"file": file.name, "status": 200, **self.classify(file)}
        except RefusedError as refusal:
            return {"file": file.name, "status": refusal.status, **refusal.body()}
