"""A server that reads requests and throws them away: how fast the load generator can go. ``python sink.py PORT``."""

import socket
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve(port: int) -> None:
    """Answer every request with 200 as soon as its body is there."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_swallow, args=(connection,), daemon=True).start()


def _swallow(connection: socket.socket) -> None:
    buffer = bytearray(1 << 20)
    head = b""
    with connection:
        while count := connection.recv_into(buffer):
            head += buffer[:count]
            begin, found, rest = head.partition(b"\r\n\r\n")
            if not found:
                continue
            length = int(begin.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            missing = length - len(rest)
            while missing > 0:
                missing -= connection.recv_into(buffer, min(len(buffer), missing))
            connection.sendall(ANSWER)
            head = b""


if __name__ == "__main__":
    serve(int(sys.argv[1]))
