"""The command line's output: progress and errors on standard error, results on standard output."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from ftl_operator.errors import ClusterError, FtlError, InspectionError, IssuerError, RegistryError, printable

EXIT_USAGE = 2
"""Wrong usage (click's own code)."""
EXIT_DATA = 65
"""The input is not usable (sysexits.h, EX_DATAERR)."""
EXIT_UNAVAILABLE = 69
"""An external service does not answer correctly (EX_UNAVAILABLE)."""
EXIT_INTERRUPTED = 130
"""Ended by Ctrl-C (128 + SIGINT, as in shells)."""

PATIENCE_SECONDS = 5.0
"""How long a step may take before it is printed if standard error is not a terminal."""
LINE_WIDTH = 110
"""The line width of YAML; the committed CRD has the same, so that `crd` prints the same text."""

_UNAVAILABLE = (RegistryError, IssuerError, ClusterError, InspectionError)


class Console:
    """Writes for people or for programs. Safe to use from several threads, because components log meanwhile.

    Args:
        output: `text`, `json` or `yaml`.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self._is_terminal = sys.stderr.isatty()
        self._shown = False
        self._lock = threading.Lock()

    def progress(self, text: str) -> None:
        """Show what the command waits for, in place of the previous text; only on a terminal."""
        if self._is_terminal and self.output != "json":
            with self._lock:
                click.echo(f"\r\x1b[2K{text} …", err=True, nl=False)
                self._shown = True

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._say({"note": text}, printable(text))

    def log(self, component: str, line: str) -> None:
        """Print a line of a component's log."""
        self._say({"component": component, "line": line}, f"[{component}] {printable(line)}")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a step while it runs and, on a terminal, its duration; elsewhere only long steps are shown."""
        started = time.monotonic()
        self.progress(text)
        late = threading.Timer(PATIENCE_SECONDS, self._say, ({"note": text}, f"{text} …"))
        late.daemon = True
        if not self._is_terminal and self.output != "json":
            late.start()
        try:
            yield
        finally:
            late.cancel()
            self._clear()
        seconds = time.monotonic() - started
        if self._is_terminal and seconds >= 1 and self.output != "json":
            self.note(f"{text}: {seconds:.1f} s")

    def result(self, document: object, text: Callable[[], str] = str) -> None:
        """Print a result: the document for programs (a list as several YAML documents), or the text."""
        self._clear()
        if self.output == "json":
            click.echo(json.dumps(document, ensure_ascii=False))
        elif self.output == "yaml":
            from ftl_operator.yaml_writer import write_yaml

            documents = document if isinstance(document, list) else [document]
            click.echo(write_yaml(documents, LINE_WIDTH), nl=False)
        else:
            click.echo(text())
        sys.stdout.flush()

    def error(self, error: FtlError) -> None:
        """Print an error with its reason."""
        document = {"error": {"reason": error.reason, "field": error.field, "message": error.message}}
        self._say(
            document, f"{click.style('error', fg='red', bold=True)} ({error.reason}): {printable(str(error))}"
        )

    def fail(self, error: FtlError) -> NoReturn:
        """Print an error and exit with the code of its kind."""
        self.error(error)
        sys.exit(EXIT_UNAVAILABLE if isinstance(error, _UNAVAILABLE) else EXIT_DATA)

    def _say(self, document: object, text: str) -> None:
        self._clear()
        with self._lock:
            click.echo(json.dumps(document, ensure_ascii=False) if self.output == "json" else text, err=True)

    def _clear(self) -> None:
        with self._lock:
            if self._shown:
                click.echo("\r\x1b[2K", err=True, nl=False)
                self._shown = False
