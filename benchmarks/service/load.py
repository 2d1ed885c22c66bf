"""A load generator that costs little: keep-alive connections in one thread, bytes that were made before.

It shares the machine with the server it measures, so its own processor time is part of what it reports.
"""

import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

_BUFFER = bytearray(1 << 16)


@dataclass
class Load:
    """What one run measured. Add runs together with `+=`.

    Attributes:
        seconds: how long requests were begun and counted.
        latencies_s: of the requests that ended in that time.
        statuses: HTTP status to count.
        client_cpu_s: processor time of the generator.
        begun: requests begun, those included that ended too late to be counted.
    """

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    client_cpu_s: float = 0.0
    begun: int = 0

    def __iadd__(self, other: "Load") -> "Load":
        self.seconds += other.seconds
        self.latencies_s += other.latencies_s
        self.statuses += other.statuses
        self.client_cpu_s += other.client_cpu_s
        self.begun += other.begun
        return self

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return len(self.latencies_s) / self.seconds

    def summary(self) -> dict[str, object]:
        """Plain values for JSON."""
        p50, p95, p99 = (round(1e3 * float(value), 1) for value in np.percentile(self.latencies_s, (50, 95, 99)))
        return {
            "requests_per_s": round(self.per_second, 1),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "requests": len(self.latencies_s),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "client_cpu_share_of_a_core": round(self.client_cpu_s / self.seconds, 3),
        }


def multipart(path: str, data: bytes, field_name: str = "file") -> bytes:
    """A whole request: `data` as a file in a form."""
    boundary = "----benchmark-7f3a"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; filename="clip.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    ).encode()
    body = head + data + f"\r\n--{boundary}--\r\n".encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def run(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Keep `clients` requests at work for `seconds`; those at work at the end are waited for and not counted."""
    load = Load(seconds)
    cpu = time.process_time()
    with selectors.DefaultSelector() as selector:
        begin = time.perf_counter()
        deadline = begin + seconds
        connections = [_Connection(port, selector, requests, number, clients) for number in range(clients)]
        for connection in connections:
            connection.start()
        while selector.get_map():
            for key, _ in selector.select(timeout=60) or _nothing_comes():
                connection = key.data
                if not connection.advance():
                    continue
                ended = time.perf_counter()
                if ended <= deadline:
                    load.latencies_s.append(ended - connection.begun)
                    load.statuses[connection.status] += 1
                    connection.start()
                else:
                    connection.close()
    load.client_cpu_s = time.process_time() - cpu
    load.begun = len(load.latencies_s) + clients
    return load


def _nothing_comes() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("the server answered nothing for 60 s")


class _Connection:
    """One client: sends a request, waits for its answer, sends the next."""

    def __init__(
        self, port: int, selector: selectors.BaseSelector, requests: list[bytes], first: int, clients: int
    ) -> None:
        self.begun = 0.0
        self.status = 0
        self._selector = selector
        self._requests = requests
        self._next = first * len(requests) // clients  # clients begin at different places
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._unsent = memoryview(b"")
        self._answer = bytearray()
        selector.register(self._socket, selectors.EVENT_WRITE, self)

    def start(self) -> None:
        """Begin the next request."""
        self._unsent = memoryview(self._requests[self._next % len(self._requests)])
        self._next += 1
        self._answer.clear()
        self.begun = time.perf_counter()
        self._selector.modify(self._socket, selectors.EVENT_WRITE, self)

    def advance(self) -> bool:
        """Send or receive what can be; True if the answer is complete."""
        if self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if not self._unsent:
                self._selector.modify(self._socket, selectors.EVENT_READ, self)
            return False
        count = self._socket.recv_into(_BUFFER)
        if not count:
            raise ConnectionError(f"the server hung up: {bytes(self._answer[:200])!r}")
        self._answer += memoryview(_BUFFER)[:count]
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return False
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        self.status = int(head[9:12])
        return len(body) >= length

    def close(self) -> None:
        """Hang up."""
        self._selector.unregister(self._socket)
        self._socket.close()
