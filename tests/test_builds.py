"""What tests use is built before them: once, by one process at a time, and never half."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builds import NotBuiltError, built, programs
from builds.signals import ENDING, EndingSignals
from builds.store import ROOT, Build, BuildError, Store, Target
from builds.targets import END_TO_END, TARGETS, WASM
from tests.support.command import poll


def target(make: Callable[[Build], None], *inputs: Path, versions: str = "") -> Target:
    return Target("thing", "a thing for tests", "no time", inputs, make, versions=lambda: versions)


def writes(text: str) -> Callable[[Build], None]:
    return lambda build: (build.folder / "out").write_text(text) and None


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    return Store(tmp_path / "built", said.append)


def test_what_is_not_built_is_named_with_its_command(store: Store) -> None:
    with pytest.raises(NotBuiltError, match="run 'make build-thing', which takes no time"):
        store.find(target(writes("x")))


def test_a_build_says_what_it_does_and_is_done_once(store: Store, said: list[str]) -> None:
    made = store.build(target(writes("first")))
    assert store.build(target(writes("second"))) == made == store.find(target(writes("third")))
    assert (made / "out").read_text() == "first"
    assert said[0] == "thing: a thing for tests; takes no time on two idle cores"
    assert len(said) == 2


def test_every_input_decides_and_what_tools_leave_beside_it_does_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    file = source / "main.rs"
    file.write_text("1")
    keys = [target(writes(""), source).key()]
    (source / "target").mkdir()
    (source / "target" / "left").write_text("by cargo")
    (source / "old.wasm").write_text("by cargo too")
    assert target(writes(""), source).key() == keys[0]
    file.write_text("2")
    keys.append(target(writes(""), source).key())
    file.rename(source / "lib.rs")
    keys.append(target(writes(""), source).key())
    keys.append(target(writes(""), source, versions="go2").key())
    assert len(set(keys)) == len(keys)


def test_a_failed_build_tells_its_last_words_and_leaves_nothing(store: Store) -> None:
    def fails(build: Build) -> None:
        (build.folder / "half").touch()
        build.run("sh", "-c", "echo no compiler >&2; exit 3", cwd=build.folder)

    with pytest.raises(BuildError, match=r"ended with 3.*\n.*\nno compiler"):
        store.build(target(fails))
    with pytest.raises(NotBuiltError):
        store.find(target(fails))
    assert not (store.build(target(writes("x"))) / "half").exists()


def test_two_starts_wait_for_one_another(store: Store, said: list[str]) -> None:
    runs: list[Path] = []

    def slow(build: Build) -> None:
        runs.append(build.folder)
        poll(lambda: any("another process" in line for line in said), "the second start waits")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: store.build(target(slow)), range(2))
    assert first == second
    assert len(runs) == 1


def test_a_build_that_is_broken_off_leaves_no_process_behind(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from builds.signals import SIGNALS\n"
        "from builds.store import Store, Target\n"
        "SIGNALS.install()\n"
        "run = lambda b: b.run('sh', '-c', 'sleep 1000 & echo $! >&2; wait', cwd=b.folder)\n"
        f"Store(Path({str(tmp_path)!r})).build(Target('thing', '', '', (), run))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE)
    log = tmp_path / "thing.log"
    poll(lambda: log.exists() and len(log.read_text().splitlines()) > 1, "the build runs")
    sleeper = int(log.read_text().splitlines()[1])
    os.kill(sleeper, 0)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    poll(lambda: not Path(f"/proc/{sleeper}").exists() or _is_dead(sleeper), "the sleeper ends")


def _is_dead(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_long_build_says_that_it_runs(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builds.store._REMINDER", 0.01)

    def slow(build: Build) -> None:
        build.step("the second half")
        poll(lambda: any("s so far (the second half)" in line for line in list(said)), "a reminder")

    store.build(target(slow))


def test_every_input_of_every_target_is_there() -> None:
    missing = [str(path) for each in TARGETS.values() for path in each.inputs if not path.exists()]
    assert missing == []
    assert {*END_TO_END, *WASM.values()} <= set(TARGETS)


def test_a_run_that_needs_nothing_built_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTHING_BUILT", "1")
    with pytest.raises(NotBuiltError, match=r"needs\('guests'\)"):
        built("guests")


def test_uv_is_the_one_that_runs_us_else_the_one_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV", "/somewhere/uv")
    assert programs.uv() == "/somewhere/uv"
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "CACHE", tmp_path)
    with pytest.raises(programs.MissingProgramError, match="make init"):
        programs.uv()
    own = tmp_path / "uv-1" / "bin" / "uv"
    own.parent.mkdir(parents=True)
    own.touch()
    assert programs.uv() == str(own)


def test_a_signal_waits_until_a_child_that_starts_is_noted() -> None:
    signals, noted = EndingSignals(), []
    before = {number: signal.getsignal(number) for number in ENDING}

    def start() -> None:
        with signals.held():
            signal.raise_signal(signal.SIGTERM)
            noted.append("child")

    signals.install()
    try:
        with pytest.raises(SystemExit) as ended:
            start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (noted, ended.value.code) == (["child"], 128 + signal.SIGTERM)
