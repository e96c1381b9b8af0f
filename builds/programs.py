"""Where the programs that build and test lie: one rule for all of them."""

import os
import shutil

from builds.store import CACHE


class MissingProgramError(Exception):
    """A program that CONTRIBUTING.md lists is not on this machine."""


def uv() -> str:
    """The uv that runs this process, else one on PATH, else the one that `make init` put into the cache.

    Raises:
        MissingProgramError: There is none.
    """
    # `uv run` names itself in the environment of what it runs, and the Makefile does likewise.
    bootstrapped = sorted(CACHE.glob("uv-*/bin/uv"))
    found = os.environ.get("UV") or shutil.which("uv") or (str(bootstrapped[-1]) if bootstrapped else "")
    if not found:
        raise MissingProgramError("no uv: run 'make init'")
    return found
