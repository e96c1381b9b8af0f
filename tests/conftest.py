"""Fixtures of all tests: the command line, and the lookup of what was built before them."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from builds import NotBuiltError, built, built_wasm
from tests.support.command import Shell
from tests.support.skips import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]
NEEDS_OF_FIXTURES = {
    "guests": "guests",
    "python_tool": "python-tool",
    "core_module": "rust-tools",
    "conformance_tool": "conformance-tool",
}
"""The targets that fixtures use; a test that uses others says so with `pytest.mark.needs`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use what is built, before `-m` chooses: these are the integration tests."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if names := {NEEDS_OF_FIXTURES[name] for name in fixtures if name in NEEDS_OF_FIXTURES}:
            item.add_marker(pytest.mark.needs(*sorted(names)))
        if item.get_closest_marker("needs"):
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say at once which `make` target is missing: no test builds anything."""
    for name in (name for mark in item.iter_markers("needs") for name in mark.args):
        try:
            built(name)
        except NotBuiltError as error:
            pytest.fail(str(error), pytrace=False)


# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    # Where the tests themselves run in the background of a shell, Ctrl-C is ignored, also by what they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many attacks ran, and how many legitimate twins beside them (`tests/attacks`)."""
    stats = terminalreporter.stats
    ran = [report.nodeid for outcome in ("passed", "failed") for report in stats.get(outcome, ())]
    attacks = sum("test_attack_is_refused" in name for name in ran)
    twins = sum("test_legitimate_twin_passes" in name for name in ran)
    if attacks or twins:
        terminalreporter.write_line(f"attack tables: {attacks} attacks, {twins} legitimate twins")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write golden files anew instead of comparing them")


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for the command line in tests; only compiled components are shared with the user's."""
    folder = tmp_path_factory.mktemp("caches")
    compiled = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator" / "compiled"
    compiled.mkdir(parents=True, exist_ok=True)
    (folder / "ftl-operator").mkdir()
    (folder / "ftl-operator" / "compiled").symlink_to(compiled)
    return folder


@pytest.fixture
def shell(tmp_path: Path, caches: Path) -> Shell:
    """`ftl-operator` in an empty folder, without the user's logins and proxies."""
    folder = tmp_path / "work"
    folder.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("SPIN_VARIABLE_", "FTL_"))
    }
    places = {
        "XDG_CACHE_HOME": str(caches),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }
    return Shell(folder, kept | places)


@pytest.fixture(scope="session")
def python_tool() -> Path:
    """The component of `examples/tools/python`."""
    return built_wasm("dates")
