"""A server that answers with any bytes at any pace, as a test says."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator

PAUSE = 0.02
"""Seconds between two pieces of a dripping answer."""

Script = Callable[[socket.socket], None]
"""Talks to one client; an OSError ends it quietly, for a client that leaves is what some tests are about."""


@contextlib.contextmanager
def run_raw_server(
    script: Script, context: ssl.SSLContext | None = None, address: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[int]:
    """Serve each connection with `script` in a thread of its own; gives the port."""
    stopped = threading.Event()
    listener = socket.create_server(address)
    clients: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(client):
            if context:
                client = context.wrap_socket(client, server_side=True)
            script(client)

    def accept() -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                clients.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        thread.join(timeout=10)


def read_head(client: socket.socket) -> bytes:
    """A request's head, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError
        head += piece
    return head


def saying(*pieces: bytes, then: Iterable[bytes] = (), pause: float = 0.0) -> Script:
    """Read a request, say the pieces, then those of an endless or slow answer; close."""

    def script(client: socket.socket) -> None:
        read_head(client)
        for piece in pieces:
            client.sendall(piece)
        waiting = threading.Event()
        for piece in then:
            client.sendall(piece)
            if pause:
                waiting.wait(pause)

    return script


def deaf(client: socket.socket) -> None:
    """Accept the connection and say nothing until the client leaves."""
    while client.recv(65536):
        pass
