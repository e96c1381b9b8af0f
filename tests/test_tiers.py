"""`make test`: its tiers are make's targets, a failed tier fails it, and no process stays behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import tiers
from tests.support.command import poll

ROOT = tiers.ROOT
MAKEFILE = (ROOT / "Makefile").read_text()


def test_every_tier_is_a_target_that_help_and_contributing_name() -> None:
    targets = re.findall(r"^([a-z0-9]+):.*## ", MAKEFILE, re.MULTILINE)
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for tier in tiers.TIERS:
        assert tier.target in targets
        assert f"| `make {tier.target}` |" in contributing


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder whose Makefile has tiers that pass, fail, and stay."""
    (tmp_path / "Makefile").write_text(
        "pass:\n\t@true\nfail:\n\t@exit 3\nstay:\n\t@echo $$$$ >pid; sleep 1000\n"
    )
    return tmp_path


def run(clone: Path, *names: str) -> "subprocess.Popen[str]":
    """`scripts.tiers` in that folder with these tiers and without builds."""
    script = (
        "import sys; from pathlib import Path; from scripts import tiers\n"
        f"tiers.ROOT = Path({str(clone)!r})\n"
        f"tiers.TIERS = tuple(tiers.Tier(name, '1', '1') for name in {names!r})\n"
        "tiers.BUILDS = ('true',)\n"
        "sys.exit(tiers.main())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KEEP_GOING"}
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (("pass", "pass"), 0, ["pass", "pass"]),
        (("pass", "fail", "pass"), 1, ["pass", "fail"]),
    ],
)
def test_the_first_failure_ends_it(clone: Path, names: tuple[str, ...], code: int, said: list[str]) -> None:
    process = run(clone, *names)
    out, _ = process.communicate()
    assert process.returncode == code, out
    assert re.findall(r"^==   (\w+) +(?:passed|FAILED)", out, re.MULTILINE) == said


def test_a_signal_ends_what_runs(clone: Path) -> None:
    process = run(clone, "stay")
    poll((clone / "pid").exists, "the tier runs")
    poll(lambda: (clone / "pid").read_text().strip(), "its number")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    running = Path(f"/proc/{(clone / 'pid').read_text().strip()}/cmdline")
    assert not running.exists() or b"sleep" not in running.read_bytes()
