"""The option `--output` of every command, and how errors and interrupts end one."""

import errno
import sys
from collections.abc import Callable
from functools import wraps

import click

from ftl_operator.cli.console import EXIT_INTERRUPTED, Console
from ftl_operator.cli.interrupt import interruptible
from ftl_operator.errors import FtlError, Reason

Command = Callable[..., None]


def formats(*names: str) -> Callable[[Command], Command]:
    """Add `--output`, and print errors in that format, with the exit code of their kind."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--output", "-o", type=click.Choice(names), default=names[0], show_default=True, help="Format."
        )
        @wraps(command)
        def run(output: str, **options: object) -> None:
            console = Console(output)
            try:
                # At a signal, everything is cleaned up, including sandboxed children.
                with interruptible():
                    command(console=console, **options)
            except FtlError as error:
                console.fail(error)
            except KeyboardInterrupt:
                sys.exit(EXIT_INTERRUPTED)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise
                where = f"{error.filename}: " if error.filename else ""
                console.fail(FtlError(f"{where}{error.strerror or error}", reason=Reason.LOCAL_FAILURE))

        return run

    return decorate
