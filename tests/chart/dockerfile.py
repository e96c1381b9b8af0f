"""Carries out a Dockerfile's steps in a folder: paths are below that folder, programs are this machine's.

There is no container engine where the tests run; what can go wrong in a step goes wrong here too.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from builds.programs import uv


@dataclass
class Stage:
    """What a stage has: where it works, its variables, and what it says about running."""

    name: str
    root: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    command: list[str] = field(default_factory=list)


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Each instruction and its arguments, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def allowed(ignore: Path) -> set[str]:
    """What an allow list in the form of a .dockerignore lets into the build."""
    lines = [line for line in ignore.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}


def carry_out(context: Path, below: Path) -> Stage:
    """Do every step; the last stage is returned. Raises AssertionError with the step that failed."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    may_copy = allowed(context / ".dockerignore")
    for word, rest in steps(context / "Dockerfile"):
        if word == "ARG":
            continue  # which base: here it is this machine
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "final"
            root = below / name
            root.mkdir()
            stage = stages[name] = Stage(name, root, root)
            continue
        assert stage is not None
        match word:
            case "WORKDIR":
                stage.folder = stage.root / rest.strip("/")
                stage.folder.mkdir(parents=True, exist_ok=True)
            case "ENV":
                stage.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
            case "COPY":
                _copy(rest, context, stage, stages, may_copy)
            case "RUN":
                done = subprocess.run(
                    ["bash", "-euc", re.sub(r"(^| )/opt/", rf"\g<1>{stage.root}/opt/", rest)],
                    cwd=stage.folder,
                    env=environment_of(stage),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"RUN {rest}\n{done.stderr}"
            case "USER":
                stage.user = rest
            case "CMD":
                stage.command = json.loads(rest)
            case _:
                assert word in ("LABEL", "EXPOSE"), word
    assert stage is not None
    return stage


def environment_of(stage: Stage) -> dict[str, str]:
    """A stage's variables, its absolute paths below its root; the machine's programs come last on PATH."""
    values = {
        name: ":".join(
            f"{stage.root}{part}" if part.startswith("/opt") else part for part in value.split(":")
        )
        for name, value in stage.environment.items()
    }
    # How this machine reaches package registries (proxies, authorities) stays as it is.
    machine = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    # The build stage has uv by a COPY from its image.
    path = f"{machine['PATH']}:{Path(uv()).parent}"
    return {**machine, **values, "PATH": f"{values['PATH']}:{path}" if "PATH" in values else path}


def _copy(rest: str, context: Path, stage: Stage, stages: dict[str, Stage], may_copy: set[str]) -> None:
    *sources, target = [part for part in rest.split() if not part.startswith("--")]
    origin = re.search(r"--from=(\S+)", rest)
    place = stage.root / target.lstrip("/") if target.startswith("/") else stage.folder / target
    for source in sources:
        if origin:
            found = stages[origin[1]].root / source.lstrip("/")
        else:
            assert source in may_copy, f"{source} is copied but .dockerignore keeps it out"
            found = context / source
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if not origin else None
            shutil.copytree(found, place, symlinks=True, ignore=ignored)
        else:
            shutil.copy(found, place)
