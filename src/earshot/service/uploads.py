"""Request bodies to spooled files: multipart or raw, never whole in memory, refused as early as can be.

A field is a file if it has a file name. A string where a file belongs is refused and never looked at: frameworks that
take it for an address fetch it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from earshot.service.admission import Admission, Allowance
from earshot.service.refusals import ClientGoneError, RefusedError, too_large, too_many_files
from earshot.service.spool import Spool

RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")
_MAX_OTHER_FIELDS = 32
_MAX_HEADER_BYTES = 8 << 10
_MULTIPART_SPARE_BYTES = 64 << 10  # boundaries, headers and small fields beside the files


@dataclass(frozen=True)
class UploadLimits:
    """What a body may hold.

    Attributes:
        fields: names of the fields that are files.
        max_files: most of them.
        max_file_bytes: largest file.
        max_bytes: all files together.
        memory_bytes: of all files together that may lie in memory.
        idle_s: seconds of waiting after which something must have come, and
        min_bytes: how much of it at least.
        raw: whether the body itself may be the file.
    """

    fields: tuple[str, ...]
    max_files: int
    max_file_bytes: int
    max_bytes: int
    memory_bytes: int
    idle_s: float
    min_bytes: int = 1
    raw: bool = False


@dataclass
class Upload:
    """One uploaded file, or why it was refused on its way (`spool` then holds nothing)."""

    name: str
    spool: Spool
    refusal: RefusedError | None = None


@dataclass
class Uploads:
    """The files of one request, and the allowance that they lie in."""

    allowance: Allowance
    files: list[Upload]


@asynccontextmanager
async def receive_uploads(request: Request, limits: UploadLimits, admission: Admission) -> AsyncIterator[Uploads]:
    """The files in the body of `request`; gone when the block is left, unless somebody shares the allowance.

    A file that is refused for itself (too large) carries its refusal where several are allowed, so that it spoils no
    other.

    Raises:
        RefusedError: the body as a whole is refused, from its head if that is enough to say so.
        ClientGoneError: it broke off.
    """
    length = announced_length(request)
    if length is not None and length > limits.max_bytes + _MULTIPART_SPARE_BYTES:
        raise too_large(limits.max_bytes)
    boundary = _boundary(request, limits)
    with admission.uploads.held():
        uploads = Uploads(Allowance(admission, limits.memory_bytes, length), [])
        try:
            if boundary is None:
                await _receive_raw(request, limits, uploads)
            else:
                await _receive_multipart(request, limits, uploads, boundary)
            for upload in uploads.files:
                if upload.spool.on_disk and upload.spool.pending:
                    await _flush(upload.spool)
        except BaseException:
            uploads.allowance.release()
            raise
    try:
        yield uploads
    finally:
        uploads.allowance.release()


def announced_length(request: Request) -> int | None:
    """The body's length as its head says it, in bytes; None where it says none (a chunked body).

    Raises:
        RefusedError: it says something that is no length.
    """
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):  # other scripts' digits and superscripts are digits to `isdigit` too
        raise RefusedError(400, "malformed_request", f"the header Content-Length is {text!r}, which is no length")
    return int(text)


def _boundary(request: Request, limits: UploadLimits) -> bytes | None:
    """What separates the parts of a form; None where the body itself is the file.

    Raises:
        RefusedError: the body is neither.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    if media_type == "multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise malformed("the content type names no boundary")
        return boundary
    if limits.raw and media_type.startswith(RAW_TYPES):
        return None
    raise RefusedError(
        400,
        "no_file",
        f"send the sound as a file in the multipart/form-data field '{limits.fields[0]}', for example "
        f"curl -F {limits.fields[0]}=@clip.wav" + (", or as the body with the type audio/*" * limits.raw),
    )


async def _receive_raw(request: Request, limits: UploadLimits, uploads: Uploads) -> None:
    spool = Spool(uploads.allowance)
    uploads.files.append(Upload("", spool))
    async for chunk in _chunks(request, limits):
        if spool.size + len(chunk) > limits.max_bytes:
            raise too_large(limits.max_bytes)
        spool.write(chunk)
        await _make_room(uploads)
    if not spool.size:
        raise RefusedError(400, "no_file", "the body is empty: send the sound as the body")


async def _receive_multipart(request: Request, limits: UploadLimits, uploads: Uploads, boundary: bytes) -> None:
    form = _Form(limits, uploads)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        received = 0
        async for chunk in _chunks(request, limits):
            received += len(chunk)
            if received > limits.max_bytes + _MULTIPART_SPARE_BYTES:
                raise too_large(limits.max_bytes)
            parser.write(chunk)
            await _make_room(uploads)
    except FormParserError as error:
        raise malformed(str(error)) from error
    if not form.ended:
        raise malformed("it breaks off before its last boundary")
    if not uploads.files:
        raise RefusedError(
            400,
            "no_file",
            f"the form has no file in the field '{limits.fields[0]}': send one, for example "
            f"curl -F {limits.fields[0]}=@clip.wav",
        )


async def _chunks(request: Request, limits: UploadLimits) -> AsyncIterator[bytes]:
    """The body as it comes. Only the time spent waiting for the client counts against it."""
    loop = asyncio.get_running_loop()
    waited_s, arrived = 0.0, 0
    while True:
        begun_s = loop.time()
        message = None
        try:
            async with asyncio.timeout(limits.idle_s - waited_s):
                message = await request.receive()
        except TimeoutError:
            waited_s = limits.idle_s
        else:
            waited_s += loop.time() - begun_s
            arrived += len(message.get("body", b""))
        if message is not None and message["type"] == "http.disconnect":
            raise ClientGoneError
        if message is not None and not message.get("more_body"):
            yield message.get("body", b"")
            return
        if waited_s >= limits.idle_s:
            if arrived < limits.min_bytes:
                raise stalled(limits, arrived)
            waited_s, arrived = 0.0, 0
        if message is not None and message["body"]:
            yield message["body"]


async def _make_room(uploads: Uploads) -> None:
    """Move files to disk until no more than the allowance lies in memory, the largest first."""
    while uploads.allowance.in_memory > uploads.allowance.memory_bytes:
        await _flush(max((upload.spool for upload in uploads.files), key=lambda spool: spool.pending))


async def _flush(spool: Spool) -> None:
    try:
        await asyncio.to_thread(spool.flush)
    except OSError as error:
        raise RefusedError(503, "storage", f"the upload cannot be stored: {error.strerror}") from error


class _Form:
    """What the multipart parser finds, part by part. Files go to `uploads`, other fields nowhere."""

    def __init__(self, limits: UploadLimits, uploads: Uploads) -> None:
        self.ended = False
        self._spool: Spool | None = None  # of the part at work, if it is a file that is kept
        self._limits = limits
        self._allowance, self._uploads = uploads.allowance, uploads.files
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._others = 0
        self._kept = 0  # bytes of all files

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers, self._name, self._value, self._spool = {}, b"", b"", None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._name) + len(self._value) > _MAX_HEADER_BYTES or len(self._headers) > 16:
            raise malformed("the headers of a part are too long")

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field not in self._limits.fields:
            self._others += 1
            if self._others > _MAX_OTHER_FIELDS:
                raise malformed(f"more than {_MAX_OTHER_FIELDS} fields are not '{self._limits.fields[0]}'")
            return
        if b"filename" not in options and b"filename*" not in options:
            raise RefusedError(
                400,
                "not_a_file",
                f"the field '{field}' is text where a file belongs; addresses are never fetched. Send the file itself, "
                f"for example curl -F {field}=@clip.wav",
            )
        if len(self._uploads) >= self._limits.max_files:
            if self._limits.max_files == 1:
                raise RefusedError(400, "too_many_files", "send one file; /classify_batch takes many")
            raise too_many_files(self._limits.max_files)
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        upload = Upload(name, Spool(self._allowance))
        self._uploads.append(upload)
        self._spool = upload.spool

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._spool is None:
            return
        self._kept += end - start
        if self._kept > self._limits.max_bytes:
            raise too_large(self._limits.max_bytes)
        if self._spool.size + end - start > self._limits.max_file_bytes:
            refusal = too_large(self._limits.max_file_bytes)
            if self._limits.max_files == 1:
                raise refusal
            self._uploads[-1].refusal = refusal
            self._kept -= self._spool.size
            self._spool.drop()
            self._spool = None
            return
        self._spool.write(data[start:end])

    def _part_end(self) -> None:
        self._spool = None

    def _end(self) -> None:
        self.ended = True


def stalled(limits: UploadLimits, arrived: int) -> RefusedError:
    """The refusal of an upload of which only `arrived` bytes came in the time that `limits` gives."""
    words = f"{arrived} bytes of the upload arrived" if arrived else "nothing of the upload arrived"
    needed = f", and {limits.min_bytes} are needed" if arrived else ""
    return RefusedError(408, "upload_stalled", f"{words} in {limits.idle_s:g} s{needed}", {"Connection": "close"})


def malformed(why: str) -> RefusedError:
    """The refusal of a body that is no multipart form."""
    return RefusedError(400, "malformed_multipart", f"the multipart form cannot be read: {why}")
