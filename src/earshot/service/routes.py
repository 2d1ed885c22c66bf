"""The routes of the service, as a Starlette application that BentoML mounts."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from earshot.service import answers, front
from earshot.service.about import about
from earshot.service.admission import Allowance
from earshot.service.config import ServiceParams
from earshot.service.engine import Engine, while_client_waits
from earshot.service.openapi import document
from earshot.service.refusals import RefusedError
from earshot.service.timeline_route import TimelineRoute
from earshot.service.uploads import Upload, UploadLimits, Uploads, receive_uploads

PAGE = Path(__file__).parent / "page"
BATCH_AT_ONCE = 4  # files of one call at work at once: one caller must not take the whole queue
# The page loads nothing from elsewhere, and the browser holds it to that.
_PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
)


class Routes:
    """The handlers, and what they need."""

    def __init__(self, params: ServiceParams, engine: Callable[[], Engine]) -> None:
        """Answer with the engine that `engine` gives once it is made."""
        self._engine = engine
        self._params = params

    def app(self) -> Starlette:
        """The application; it covers every path but those of BentoML itself."""
        params = self._params
        recording = self._limits(("file",), 1, params.recording_max_mb, params.recording_max_mb)
        routes: list[BaseRoute] = [
            Route("/", self.index, methods=["GET"]),
            Route("/ui", self.index, methods=["GET"]),
            Mount("/ui", _Page(directory=PAGE, html=True, check_dir=False)),
            Route("/classify", self.classify, methods=["POST"]),
            Route("/classify_batch", self.classify_batch, methods=["POST"]),
            Route("/timeline", TimelineRoute(self._engine, recording), methods=["POST"]),
            Route("/model", self.model, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
        ]
        return Starlette(routes=routes)

    async def index(self, request: Request) -> Response:
        """The page, by an address that also holds behind a proxy's prefix."""
        return RedirectResponse("ui/", 307)

    async def model(self, request: Request) -> Response:
        """What answers."""
        return JSONResponse(about(self._engine()))

    async def openapi(self, request: Request) -> Response:
        """What there is to ask for."""
        return JSONResponse(document())

    async def classify(self, request: Request) -> Response:
        """One clip, one answer."""
        limits = self._limits(("file",), 1, self._params.clip_max_mb, self._params.clip_max_mb)
        try:
            admission = self._engine().admission
            with admission.clips.held():
                async with receive_uploads(request, limits, admission) as uploads:
                    work = self._answer(uploads.files[0], uploads.allowance)
                    answer = await while_client_waits(request.receive, work)
        except RefusedError as error:
            return front.refused(request.scope, error)
        front.note(request.scope, audio_s=answer["duration_s"])
        return JSONResponse(answer)

    async def classify_batch(self, request: Request) -> Response:
        """Many clips, an answer or an error for each."""
        params = self._params
        limits = self._limits(("file", "files"), params.batch_max_files, params.clip_max_mb, params.batch_max_mb)
        places = min(BATCH_AT_ONCE, params.max_clips)
        gate = asyncio.Semaphore(places)

        async def one(upload: Upload, allowance: Allowance) -> dict[str, Any]:
            try:
                if upload.refusal is not None:
                    raise upload.refusal
                async with gate:
                    return {"file": upload.name, "status": 200, **await self._answer(upload, allowance)}
            except RefusedError as error:
                self._engine().metrics.rejected(error.reason)
                return {"file": upload.name, "status": error.status, **error.body()}

        async def all_of(uploads: Uploads) -> list[dict[str, Any]]:
            return await asyncio.gather(*(one(upload, uploads.allowance) for upload in uploads.files))

        try:
            admission = self._engine().admission
            with admission.clips.held(places):
                async with receive_uploads(request, limits, admission) as uploads:
                    results = await while_client_waits(request.receive, all_of(uploads))
        except RefusedError as error:
            return front.refused(request.scope, error)
        front.note(request.scope, files=len(results), refused=sum(result["status"] != 200 for result in results))
        return JSONResponse({"results": results})

    async def _answer(self, upload: Upload, allowance: Allowance) -> dict[str, Any]:
        engine = self._engine()
        source = upload.spool.open()
        heard = await engine.classify(source)
        answer = answers.classification(engine, heard)
        engine.metrics.predicted(heard.predicted_class, heard.confidence, answer["flag_for_review"])
        engine.metrics.heard("/classify", heard.duration_s)
        if answer["flag_for_review"] and engine.review is not None:
            engine.review.offer(source, answer, allowance)
        return answer

    def _limits(self, fields: tuple[str, ...], max_files: int, file_mb: float, all_mb: float) -> UploadLimits:
        return UploadLimits(
            fields,
            max_files,
            max_file_bytes=round(file_mb * 1e6),
            max_bytes=round(all_mb * 1e6),
            memory_bytes=round(self._params.memory_mb * 1e6),
            idle_s=self._params.upload_idle_s,
            min_bytes=max(1, round(self._params.upload_idle_s * self._params.upload_min_kb_s * 1e3)),
            raw=max_files == 1,
        )


def page_paths() -> frozenset[str]:
    """Addresses of the page and its files."""
    files = (path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file())
    return frozenset({"/ui/"} | {f"/ui/{path}" for path in files})


class _Page(StaticFiles):
    """The page's files, which the browser asks for anew when they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response
