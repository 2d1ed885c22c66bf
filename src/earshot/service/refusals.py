"""What a client is told when there is no answer: one JSON shape for every status of 400 and above.

``{"error": {"reason": "too_long", "message": "the sound is longer than the 3600 s allowed"}}``

`reason` is for programs and for counting, `message` for people.
"""

from typing import Any

from starlette.responses import JSONResponse, Response

from earshot.hearing.decode import AudioError, AudioLimitError, NoAudioError

CLIENT_GONE = 499  # nobody reads this answer; nginx's number for it in logs


class RefusedError(Exception):
    """A request that gets no answer: HTTP status, short code and message."""

    def __init__(self, status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.headers = status, reason, message, headers

    def body(self) -> dict[str, Any]:
        """The JSON document."""
        return {"error": {"reason": self.reason, "message": self.message}}

    def response(self) -> Response:
        """The HTTP answer."""
        return JSONResponse(self.body(), self.status, self.headers)


class ClientGoneError(RefusedError):
    """The client went away before its answer."""

    def __init__(self) -> None:
        super().__init__(CLIENT_GONE, "client_gone", "the client went away")


def from_audio(error: AudioError) -> RefusedError:
    """The refusal for a sound that cannot be used."""
    if isinstance(error, AudioLimitError):
        return RefusedError(413, error.reason, str(error))
    if isinstance(error, NoAudioError):
        return RefusedError(422, error.reason, str(error))
    return RefusedError(415, error.reason, str(error))


def busy(what: str, retry_s: int) -> RefusedError:
    """A budget is full, as `what` says; it is worth asking again after `retry_s`."""
    return RefusedError(503, "busy", f"{what}; try again in a moment", {"Retry-After": str(retry_s)})


def too_large(max_bytes: int) -> RefusedError:
    """The upload is above `max_bytes`."""
    return RefusedError(413, "too_large", f"the upload is larger than the {max_bytes / 1e6:g} MB allowed")


def too_many_files(most: int) -> RefusedError:
    """A batch holds more files than it may."""
    return RefusedError(413, "too_many_files", f"more than {most} files")


def timed_out(limit_s: float) -> RefusedError:
    """The work took too long."""
    return RefusedError(504, "timeout", f"there was no answer within the {limit_s:g} s allowed")
