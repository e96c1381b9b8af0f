"""Guests' output as lines of the host's log."""

from collections.abc import Callable

MAX_LINE = 16 << 10
MAX_OUTPUT = 4 << 20
"""The most bytes of output that one request may log; the rest is dropped with one remark."""

Log = Callable[[str, str], None]
"""log(component id, line)."""


class LineWriter:
    """Splits a guest's output into lines."""

    __slots__ = ("_component", "_log", "_rest", "_total")

    def __init__(self, component: str, log: Log) -> None:
        self._component = component
        self._log = log
        self._rest = b""
        self._total = 0

    def write(self, data: bytes) -> None:
        """Take output; log each line that is complete or too long."""
        if self._total > MAX_OUTPUT:
            return
        self._total += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._rest) > MAX_LINE:
            self._emit(self._rest)
            self._rest = b""
        if self._total > MAX_OUTPUT:
            self._log(
                self._component,
                f"(more than {MAX_OUTPUT} bytes of output in one request; the rest is dropped)",
            )
            self._rest = b""

    def close(self) -> None:
        """Log the rest, which has no line end."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        self._log(self._component, line[:MAX_LINE].rstrip(b"\r").decode(errors="replace"))
