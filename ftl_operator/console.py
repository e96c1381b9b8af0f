"""What the command line says: progress and errors on standard error, results on standard output."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import yaml

from ftl_operator.errors import ClusterError, FtlError, IssuerError, RegistryError

EXIT_DATA = 65
"""The input is not usable (sysexits.h, EX_DATAERR)."""
EXIT_UNAVAILABLE = 69
"""Something outside does not answer as it should (EX_UNAVAILABLE)."""

_UNAVAILABLE = (RegistryError, IssuerError, ClusterError)


class Console:
    """Writes for people, or for programs.

    Args:
        output: `text`, `json` or `yaml`.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self._is_terminal = sys.stderr.isatty()
        self._shown = False

    def progress(self, text: str) -> None:
        """Show what is being waited for, in place of what was shown before; only on a terminal."""
        if self._is_terminal:
            click.echo(f"\r\x1b[2K{text} …", err=True, nl=False)
            self._shown = True

    def note(self, text: str) -> None:
        """Say something lasting about the work."""
        self._clear()
        click.echo(text, err=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a step while it runs and, on a terminal, how long it took."""
        started = time.monotonic()
        self.progress(text)
        try:
            yield
        finally:
            self._clear()
        seconds = time.monotonic() - started
        if self._is_terminal and seconds >= 1:
            click.echo(f"{text}: {seconds:.1f} s", err=True)

    def result(self, document: object, text: Callable[[], str] = str) -> None:
        """Print a result: the document for programs (a list as several YAML documents), or the text."""
        self._clear()
        if self.output == "json":
            click.echo(json.dumps(document, ensure_ascii=False))
        elif self.output == "yaml":
            documents = document if isinstance(document, list) else [document]
            dumped = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
            click.echo(dumped, nl=False)
        else:
            click.echo(text())
        sys.stdout.flush()

    def error(self, error: FtlError) -> None:
        """Print an error with its reason."""
        self._clear()
        if self.output == "json":
            document = {"error": {"reason": error.reason, "field": error.field, "message": error.message}}
            click.echo(json.dumps(document, ensure_ascii=False), err=True)
        else:
            click.echo(f"{click.style('error', fg='red', bold=True)} ({error.reason}): {error}", err=True)

    def fail(self, error: FtlError) -> NoReturn:
        """Print an error and end with the exit code of its kind."""
        self.error(error)
        sys.exit(EXIT_UNAVAILABLE if isinstance(error, _UNAVAILABLE) else EXIT_DATA)

    def _clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._shown = False
