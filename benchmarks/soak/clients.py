"""Clients of every kind, for as long as they are let.

Patient and slow ones, ones that vanish, are mistaken, drip a byte now and then, open connections and say nothing, and
send long recordings; and a crowd of large uploads at once.

All know what they are owed. What they count as an error is never their own doing.
"""

import asyncio
import io
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile

LIMIT_S = 60.0  # for any answer
_BOUNDARY = b"----soak-55d0"
# Of 16 clients. Kinds are dealt out in this order, so that a few clients are of several kinds too.
_KINDS = (
    *("patient", "slow", "vanishing", "recording", "patient", "mistaken", "drip", "half_open"),
    *("patient",) * 4,
    *("slow", "vanishing", "drip", "half_open"),
)
DRIP_S = 0.5


@dataclass
class Report:
    """What all clients saw.

    Attributes:
        answered: kind of client to answers that were right.
        errors: what went wrong while the service was undisturbed.
        lost: what went wrong while `disturbed`: requests that a killed worker took with it.
        disturbed: the worker was killed and no new one has answered yet.
        crowded: large uploads fill the budgets, so that others may be told to come back.
        told_to_wait: how often they were.
        last_answer: when the last right answer to a clip came, on the monotonic clock.
        latencies_s: of the patient clients.
    """

    answered: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    disturbed: bool = False
    crowded: bool = False
    told_to_wait: int = 0
    last_answer: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def right(self, kind: str, seconds: float) -> None:
        """Count an answer."""
        self.answered[kind] += 1
        if kind == "patient":
            self.last_answer = time.monotonic()
            self.latencies_s.append(seconds)

    def wrong(self, kind: str, what: str, disturbed: bool) -> None:
        """Count an error; `disturbed`: in the time of its request the worker was."""
        (self.lost if disturbed else self.errors).append(f"{kind}: {what}")


class Client:
    """One of them."""

    def __init__(self, number: int, port: int, files: dict[str, bytes], owed: dict[tuple[str, str], Any]) -> None:
        """Client `number`; `owed` has the answer to each file, by path and name."""
        self.kind = _KINDS[number % len(_KINDS)]
        self._random = random.Random(number)
        self._port = port
        self._files = files
        self._owed = owed
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, report: Report, over: asyncio.Event) -> None:
        """Ask again and again until it is `over`."""
        act: Callable[[], Awaitable[str]] = getattr(self, f"_{self.kind}")
        while not over.is_set():
            disturbed, crowded = report.disturbed, report.crowded
            begun = time.monotonic()
            try:
                async with asyncio.timeout(LIMIT_S):
                    wrong = await act()
            except TimeoutError:
                wrong = f"no answer within {LIMIT_S:g} s"
            except (OSError, EOFError) as error:
                wrong = f"{type(error).__name__}: {error}"
            if wrong.startswith("status 503") and (crowded or report.crowded):
                report.told_to_wait += 1
                await asyncio.sleep(1.0)
            elif wrong:
                report.wrong(self.kind, wrong, disturbed or report.disturbed)
                self._hang_up()
                await asyncio.sleep(0.2)
            else:
                report.right(self.kind, time.monotonic() - begun)
        self._hang_up()

    async def _patient(self) -> str:
        name = self._random.choice([name for name in self._files if name not in ("recording", "text")])
        return self._judge("/classify", name, await self._ask("/classify", self._files[name]))

    async def _slow(self) -> str:
        self._hang_up()
        name = self._random.choice(["wav44", "flac"])
        answer = await self._ask("/classify", self._files[name], pieces=20, pause_s=self._random.uniform(0.05, 0.4))
        return self._judge("/classify", name, answer)

    async def _recording(self) -> str:
        await asyncio.sleep(self._random.uniform(0, 2))
        self._hang_up()
        return self._judge("/timeline", "recording", await self._ask("/timeline", self._files["recording"]))

    async def _mistaken(self) -> str:
        await asyncio.sleep(self._random.uniform(0, 0.2))
        status, document = await self._ask("/classify", self._files["text"])
        return "" if status == 415 else f"status {status} for a text: {document}"

    async def _vanishing(self) -> str:
        """Send some or all of a request, and go: politely, or with a reset."""
        self._hang_up()
        path, name = self._random.choice([("/classify", "wav44"), ("/classify", "flac"), ("/timeline", "recording")])
        request = _request(path, self._files[name])
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        if self._random.random() < 0.5:
            option = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        try:
            writer.write(request[: self._random.choice((50, 5000, len(request) // 2, len(request)))])
            await writer.drain()
            await asyncio.sleep(self._random.choice((0, 0.01, 0.1, 0.5)))
        finally:
            writer.close()
        return ""

    async def _drip(self) -> str:
        """A byte now and then, until the service has had enough."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_request("/classify", self._files["wav44"])[:500])
            answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
            while not answer.done():
                writer.write(b"x")
                await asyncio.wait({answer}, timeout=DRIP_S)
            head = answer.result()
        finally:
            writer.close()
        return "" if head.startswith(b"HTTP/1.1 408") else f"status {head[9:12].decode()} for a drip"

    async def _half_open(self) -> str:
        """Nothing, or half of a head, until the service hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._random.choice((b"", b"POST /classify HTTP/1.1\r\nHost: soak\r\nX: ")))
            received = await reader.read()
        finally:
            writer.close()
        return "" if not received else f"an answer to half a head: {received[:100]!r}"

    def _judge(self, path: str, name: str, answer: tuple[int, Any]) -> str:
        status, document = answer
        if status != 200:
            return f"status {status} for {name}: {document}"
        return "" if document == self._owed[path, name] else f"another answer to {name}: {document}"

    async def _ask(self, path: str, data: bytes, pieces: int = 1, pause_s: float = 0.0) -> tuple[int, Any]:
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._connection
        request = _request(path, data)
        size = -(-len(request) // pieces)
        for begin in range(0, len(request), size):
            writer.write(request[begin : begin + size])
            await writer.drain()
            await asyncio.sleep(pause_s)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"\r\nconnection: close" in head:
            self._hang_up()
        return int(head[9:12]), json.loads(body)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


def files() -> dict[str, bytes]:
    """What is sent: clips in several formats, a minute of street, and a text."""
    noise = np.random.default_rng(0)

    def sound(rate_hz: int, seconds: float) -> np.ndarray:
        time_s = np.arange(round(rate_hz * seconds)) / rate_hz
        loud = 0.5 * (1 + np.sin(2 * np.pi * 0.05 * time_s))
        tone = 0.3 * loud * np.sin(2 * np.pi * (400 + 200 * np.sin(2 * np.pi * 3 * time_s)) * time_s)
        return tone[:, None] + 0.02 * noise.standard_normal((len(time_s), 2))

    found = {}
    for name, container, subtype, rate_hz, seconds in (
        ("wav44", "WAV", "PCM_16", 44_100, 4.0),
        ("wav48", "WAV", "PCM_24", 48_000, 4.0),
        ("short", "WAV", "PCM_16", 22_050, 0.3),
        ("flac", "FLAC", "PCM_16", 44_100, 4.0),
        ("vorbis", "OGG", "VORBIS", 44_100, 4.0),
        ("long", "WAV", "PCM_16", 22_050, 15.0),
        ("recording", "WAV", "PCM_16", 44_100, 60.0),
    ):
        stream = io.BytesIO()
        soundfile.write(stream, sound(rate_hz, seconds), rate_hz, format=container, subtype=subtype)
        found[name] = stream.getvalue()
    return {**found, "text": b"no sound at all\n" * 1000}


def _request(path: str, data: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = b"--" + _BOUNDARY + b"\r\n" + head + data + b"\r\n--" + _BOUNDARY + b"--\r\n"
    lines = f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(body)}\r\n".encode()
    return lines + b"Content-Type: multipart/form-data; boundary=" + _BOUNDARY + b"\r\n\r\n" + body


async def answers(port: int, sent: dict[str, bytes]) -> dict[tuple[str, str], Any]:
    """The answer to each file, asked for once, alone.

    Raises:
        RuntimeError: a valid file was refused.
    """
    client = Client(0, port, sent, {})
    owed = {}
    for name, data in sent.items():
        path = "/timeline" if name == "recording" else "/classify"
        status, owed[path, name] = await client._ask(path, data)
        if status != 200 and name != "text":
            raise RuntimeError(f"{name} got status {status}: {owed[path, name]}")
    client._hang_up()
    return owed


def large_request(mb: float) -> bytes:
    """A request with a large clip, made once: while a client makes one, its connection's deadline runs."""
    return _request("/classify", large_clip(mb))


async def large_upload(port: int, request: bytes) -> tuple[int, bool]:
    """Send one large clip; the status, and whether a refusal says when to come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    try:
        for begin in range(0, len(request), 1 << 16):
            writer.write(request[begin : begin + (1 << 16)])
            await asyncio.wait({answer, asyncio.ensure_future(writer.drain())}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():  # refused: there is no use in sending the rest
                break
        head = (await answer).lower()
    finally:
        writer.close()
    return int(head[9:12]), b"\r\nretry-after:" in head


def large_clip(mb: float) -> bytes:
    """A stereo WAV file of `mb` megabytes of 10^6 bytes, 16 bit at 44.1 kHz: faint noise."""
    samples = np.random.default_rng(1).integers(-200, 200, (round(mb * 1e6 / 4), 2), np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, samples, 44_100, format="WAV", subtype="PCM_16")
    return stream.getvalue()
