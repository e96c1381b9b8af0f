"""Threads for guests. Guests wait for guests, so the number is not limited; idle threads are reused."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Workers:
    """Runs each job at once in its own thread."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Job | None]] = []
        self._closed = False

    def run(self, job: Job) -> None:
        """Start a job. It must not raise."""
        try:
            self._idle.pop().put(job)
        except IndexError:
            inbox: SimpleQueue[Job | None] = SimpleQueue()
            inbox.put(job)
            threading.Thread(target=self._work, args=(inbox,), name="guest", daemon=True).start()

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job."""
        self._closed = True
        while self._idle:
            self._idle.pop().put(None)

    def _work(self, inbox: "SimpleQueue[Job | None]") -> None:
        while (job := inbox.get()) is not None:
            job()
            del job
            if self._closed:
                return
            self._idle.append(inbox)
