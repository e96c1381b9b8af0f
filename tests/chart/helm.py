"""Runs the real helm on the chart; a module that uses it is marked `pytest.mark.needs("helm")`."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from builds import built

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ftl-operator"
ALL_VALUES = CHART / "ci" / "all-values.yaml"


def helm(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home)}
    command = [built("helm") / "helm", *arguments]
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
