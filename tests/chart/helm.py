"""Runs the real helm on the chart; it is built by `e2e/controlplane/build.sh`."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ftl-operator"
ALL_VALUES = CHART / "ci" / "all-values.yaml"


@cache
def program() -> Path:
    done = subprocess.run([ROOT / "e2e/controlplane/build.sh"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()) / "helm"


def helm(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home)}
    command = [program(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def template(home: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The objects of a release `ftl-operator` in the namespace `ftl-system`. Raises AssertionError."""
    fixed = ("ftl-operator", CHART, "--namespace", "ftl-system", "--kube-version", "1.34.0")
    done = helm("template", *fixed, *arguments, home=home)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def values(home: Path, *settings: str) -> list[dict[str, Any]]:
    """The objects for some values, each `path=value`."""
    return template(home, *(part for setting in settings for part in ("--set", setting)))


def the(objects: list[dict[str, Any]], kind: str, name: str = "ftl-operator") -> dict[str, Any]:
    """The one object of a kind and name."""
    (found,) = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found
