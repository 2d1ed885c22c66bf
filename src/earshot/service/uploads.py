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

from earshot.service.refusals import ClientGoneError, RefusedError
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
        memory_bytes: see `Spool`.
        idle_s: longest wait for the next bytes.
        raw: whether the body itself may be the file.
    """

    fields: tuple[str, ...]
    max_files: int
    max_file_bytes: int
    max_bytes: int
    memory_bytes: int
    idle_s: float
    raw: bool = False


@dataclass
class Upload:
    """One uploaded file, or why it was refused on its way (`spool` then holds nothing)."""

    name: str
    spool: Spool
    refusal: RefusedError | None = None


@asynccontextmanager
async def receive_uploads(request: Request, limits: UploadLimits) -> AsyncIterator[list[Upload]]:
    """The files in the body of `request`; closed, and thereby gone, when the block is left.

    A file that is refused for itself (too large) carries its refusal where several are allowed, so that it spoils no
    other.

    Raises:
        RefusedError: the body as a whole is refused.
        ClientGoneError: it broke off.
    """
    uploads: list[Upload] = []
    try:
        await _receive(request, limits, uploads)
        yield uploads
    finally:
        for upload in uploads:
            upload.spool.close()


async def _receive(request: Request, limits: UploadLimits, uploads: list[Upload]) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.max_bytes + _MULTIPART_SPARE_BYTES:
        raise too_large(limits.max_bytes)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    if media_type == "multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise malformed("the content type names no boundary")
        await _receive_multipart(request, limits, uploads, boundary)
    elif limits.raw and media_type.startswith(RAW_TYPES):
        await _receive_raw(request, limits, uploads)
    else:
        raise RefusedError(
            400,
            "no_file",
            f"send the sound as a file in the multipart/form-data field '{limits.fields[0]}', for example "
            f"curl -F {limits.fields[0]}=@clip.wav" + (", or as the body with the type audio/*" * limits.raw),
        )


async def _receive_raw(request: Request, limits: UploadLimits, uploads: list[Upload]) -> None:
    spool = Spool(limits.memory_bytes)
    uploads.append(Upload("", spool))
    async for chunk in _chunks(request, limits.idle_s):
        if spool.size + len(chunk) > limits.max_bytes:
            raise too_large(limits.max_bytes)
        spool.write(chunk)
        if spool.wants_flush:
            await _flush(spool)
    if not spool.size:
        raise RefusedError(400, "no_file", "the body is empty: send the sound as the body")


async def _receive_multipart(request: Request, limits: UploadLimits, uploads: list[Upload], boundary: bytes) -> None:
    form = _Form(limits, uploads)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        received = 0
        async for chunk in _chunks(request, limits.idle_s):
            received += len(chunk)
            if received > limits.max_bytes + _MULTIPART_SPARE_BYTES:
                raise too_large(limits.max_bytes)
            parser.write(chunk)
            if form.spool is not None and form.spool.wants_flush:
                await _flush(form.spool)
    except FormParserError as error:
        raise malformed(str(error)) from error
    if not form.ended:
        raise malformed("it breaks off before its last boundary")
    if not uploads:
        raise RefusedError(
            400,
            "no_file",
            f"the form has no file in the field '{limits.fields[0]}': send one, for example "
            f"curl -F {limits.fields[0]}=@clip.wav",
        )


async def _chunks(request: Request, idle_s: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(idle_s):
                message = await request.receive()
        except TimeoutError:
            raise RefusedError(
                408, "upload_stalled", f"nothing of the upload arrived for {idle_s:g} s", {"Connection": "close"}
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if body := message.get("body"):
            yield body
        if not message.get("more_body"):
            return


async def _flush(spool: Spool) -> None:
    try:
        await asyncio.to_thread(spool.flush)
    except OSError as error:
        raise RefusedError(503, "storage", f"the upload cannot be stored: {error.strerror}") from error


class _Form:
    """What the multipart parser finds, part by part. Files go to `uploads`, other fields nowhere."""

    def __init__(self, limits: UploadLimits, uploads: list[Upload]) -> None:
        self.ended = False
        self.spool: Spool | None = None  # of the part at work, if it is a file that is kept
        self._limits = limits
        self._uploads = uploads
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
        self._headers, self._name, self._value, self.spool = {}, b"", b"", None

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
            one = self._limits.max_files == 1
            raise RefusedError(
                400 if one else 413,
                "too_many_files",
                "send one file; /classify_batch takes many" if one else f"more than {self._limits.max_files} files",
            )
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        upload = Upload(name, Spool(self._limits.memory_bytes))
        self._uploads.append(upload)
        self.spool = upload.spool

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.spool is None:
            return
        self._kept += end - start
        if self._kept > self._limits.max_bytes:
            raise too_large(self._limits.max_bytes)
        if self.spool.size + end - start > self._limits.max_file_bytes:
            refusal = too_large(self._limits.max_file_bytes)
            if self._limits.max_files == 1:
                raise refusal
            self._uploads[-1].refusal = refusal
            self._kept -= self.spool.size
            self.spool.close()
            self.spool = None
            return
        self.spool.write(data[start:end])

    def _part_end(self) -> None:
        self.spool = None

    def _end(self) -> None:
        self.ended = True


def too_large(max_bytes: int) -> RefusedError:
    """The refusal of an upload above `max_bytes`."""
    return RefusedError(413, "too_large", f"the upload is larger than the {max_bytes / 1e6:g} MB allowed")


def malformed(why: str) -> RefusedError:
    """The refusal of a body that is no multipart form."""
    return RefusedError(400, "malformed_multipart", f"the multipart form cannot be read: {why}")
