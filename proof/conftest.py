"""The image, and the summary of what was found: a section of `dist/proof.md`, or of the file `PROOF`.

Each run writes the section `PROOF_SECTION` ("The image" by default) and leaves the others.
"""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_FIGURES: dict[str, str] = {}
_RAN: dict[str, str] = {}


@pytest.fixture(scope="session")
def figure() -> Callable[[str, object], None]:
    """Notes a figure for the summary: `figure("size of the image", "332 MB")`."""

    def note(name: str, value: object) -> None:
        _FIGURES[name] = str(value)

    return note


@pytest.fixture(scope="session")
def image(figure: Callable[[str, object], None]) -> Path:
    """The folder that `scripts/image` filled."""
    folder = ROOT / "dist" / "image"
    if os.getuid() or not (folder / "image.tar").is_file():
        pytest.fail("build the image and run the tests as root: make proof")
    figure("Debian in it", (folder / "root" / "etc" / "debian_version").read_text().strip())
    figure("seconds that building it took", (folder / "seconds").read_text().strip())
    return folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _RAN[report.nodeid.partition("::")[2]] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the summary, whatever came out."""
    path = Path(os.environ.get("PROOF") or ROOT / "dist" / "proof.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    versions = {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _first_line("git", "rev-parse", "HEAD")
        + (" and changes" if _first_line("git", "status", "--porcelain") else ""),
        "machine": f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} processors",
        "buildah": _first_line("buildah", "--version"),
        "runc": _first_line("runc", "--version"),
    }
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in {**versions, **_FIGURES}.items()]
    lines += ["", "| what ran | outcome |", "|---|---|"]
    lines += [f"| {name} | {outcome} |" for name, outcome in _RAN.items()]
    sections = _sections(path) | {os.environ.get("PROOF_SECTION") or "The image": "\n".join(lines)}
    text = "".join(f"\n## {title}\n\n{body}\n" for title, body in sections.items())
    path.write_text(f"# Proof\n{text}", encoding="utf-8")


def _sections(path: Path) -> dict[str, str]:
    """What other runs have written, by its title."""
    if not path.exists():
        return {}
    parts = (part.partition("\n") for part in path.read_text(encoding="utf-8").split("\n## ")[1:])
    return {title: body.strip() for title, _, body in parts}


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return done.stdout.partition("\n")[0]
