"""Download one file over HTTP, and go on where an interruption left off."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earshot.clips.table import DatasetError
from earshot.core.files import write_json
from earshot.core.progress import progress

GB = 1e9
BLOCK = 1 << 18
TIMEOUT_S = 30
ATTEMPTS = 4  # in a row without a byte received
BACKOFF_S = 1.0  # doubles with each of them
REMEDY = "set dataset.path to a copy on disk"
USER_AGENT = "earshot"


@dataclass(frozen=True)
class _State:
    """What the server said about the file that the partial download is part of."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    total_bytes: int | None = None

    @property
    def validator(self) -> str | None:
        """A value for If-Range, which must not be a weak ETag (RFC 9110, section 13.1.5)."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.last_modified


class _Retry(Exception):
    """The transfer broke off for a reason that may pass."""


def fetch(url: str, target: Path, title: str, backoff_s: float = BACKOFF_S) -> None:
    """Download `url` to `target` with a progress bar; do nothing if `target` is there.

    The bytes received lie in ``<target>.part`` beside a note of the server's ETag, so that a later call asks for the
    rest only (Range, If-Range). A server that ignores that, or has another file by now, makes it start over.

    Raises:
        DatasetError: after `ATTEMPTS` attempts in a row that brought nothing, or when the server refuses. One sentence
            with the remedy; what was received is kept.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target)
    failures = 0
    while True:
        before = kept_bytes(target)
        try:
            _transfer(url, part)
            break
        except _Retry as error:
            failures = 1 if kept_bytes(target) > before else failures + 1
            if failures >= ATTEMPTS:
                host = urllib.request.Request(url).host
                raise DatasetError(
                    f"{title} could not be downloaded from {host} ({error}): check the network and run again "
                    f"({kept_bytes(target) / GB:.2f} GB received so far are kept), or {REMEDY}"
                ) from error
            time.sleep(backoff_s * 2 ** (failures - 1))
    os.replace(part, target)
    _note(part).unlink(missing_ok=True)


def kept_bytes(target: Path) -> int:
    """Bytes of `target` that are on disk, finished or partial."""
    for path in (target, _part(target)):
        if path.exists():
            return path.stat().st_size
    return 0


def _transfer(url: str, part: Path) -> None:
    """Receive what `part` lacks; return only when it is complete."""
    state = _read_state(part, url)
    have = part.stat().st_size if part.exists() and state.validator else 0
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if have and state.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": state.validator}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                _discard(part)
                raise _Retry("the server sent another part of the file than was asked for")
            if not resumed:
                have = 0
                state = _state_from(url, response)
                write_json(_note(part), asdict(state))
            _receive(response, part, have, state.total_bytes)
    except urllib.error.HTTPError as error:
        _refused(error, part, state, have)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Retry(_reason(error)) from error


def _receive(response: Any, part: Path, have: int, total: int | None) -> None:
    mode = "ab" if have else "wb"
    with (
        part.open(mode) as stream,
        progress(total=total, initial=have, desc="downloading", unit="B", unit_scale=True) as bar,
    ):
        while block := response.read(BLOCK):
            stream.write(block)
            bar.update(len(block))
            have += len(block)
    if total is not None and have < total:
        raise _Retry(f"the connection broke off at {have} of {total} bytes")
    if total is not None and have > total:
        _discard(part)
        raise _Retry(f"{have} bytes came instead of {total}")


def _refused(error: urllib.error.HTTPError, part: Path, state: _State, have: int) -> None:
    """Decide what an error status means; returns only where the file turns out to be complete."""
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
        if have == state.total_bytes:
            return
        _discard(part)
        raise _Retry("the file on the server is another one by now") from error
    if error.code >= 500 or error.code in (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS):
        raise _Retry(f"it answers {error.code} {error.reason}") from error
    raise DatasetError(
        f"{state.url} answers {error.code} {error.reason}: the file is not there any more or not for everyone; "
        f"fetch it another way and {REMEDY}"
    ) from error


def _state_from(url: str, response: Any) -> _State:
    length = response.headers.get("Content-Length")
    return _State(
        url, response.headers.get("ETag"), response.headers.get("Last-Modified"), int(length) if length else None
    )


def _read_state(part: Path, url: str) -> _State:
    try:
        state = _State(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _State(url)
    return state if state.url == url else _State(url)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")
