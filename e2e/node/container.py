"""The process of one Spin container: `python -m e2e.node.container FILE`, the shim's place in this node.

FILE is JSON: `locked` (the locked application), `blobs` (folder), `variables`, `address`, `port`, `state`
(folder). SIGTERM ends it: since endpoints are withdrawn in parallel with that signal, it serves for a moment
longer, asks clients not to use their connections again, and lets requests that run come to their end.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ftl_operator.host import HostApp, Request, Response, serve

DRAIN_SECONDS = 1.0


class Draining:
    """An application that can be asked to end; the node's grace period bounds how long that takes."""

    def __init__(self, app: HostApp) -> None:
        self._app = app
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._running = 0

    def handle(self, request: Request) -> Response:
        """As HostApp's, with `connection: close` once the end is near."""
        with self._lock:
            self._running += 1
        try:
            response = self._app.handle(request)
        except BaseException:
            self._done()
            raise
        headers = response.headers
        if self._ending.is_set():
            headers = (*headers, ("connection", b"close"))
        return replace(response, headers=headers, body=self._counted(response.body))

    def end(self) -> None:
        """Wait for DRAIN_SECONDS and until no request runs."""
        self._ending.set()
        earliest = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < earliest or self._running:
            threading.Event().wait(0.05)

    def _counted(self, body: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from body
        finally:
            self._done()

    def _done(self) -> None:
        with self._lock:
            self._running -= 1


def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text())
    blobs = Path(config["blobs"])
    app = HostApp(
        config["locked"],
        lambda digest: blobs / digest.replace(":", "-"),
        variables=config["variables"],
        state_dir=Path(config["state"]),
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    draining = Draining(app)
    server = serve(draining, address=config["address"], port=config["port"])  # type: ignore[arg-type]
    print(f"serving on {server.url}", flush=True)
    ended.wait()
    draining.end()
    server.stop()
    app.close()


if __name__ == "__main__":
    main()
