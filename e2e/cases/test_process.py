"""No process outlives the harness, however it ends."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.support.process import HarnessError, Process, free_port, python, wait_until

PARENT = """
import sys, threading
from pathlib import Path
from e2e.support.process import Process
process = Process("child", ["sleep", "600"], Path(sys.argv[1]))
threading.Thread(target=process.start).start()
while not process.running():
    pass
print(process.pid, flush=True)
threading.Event().wait()
"""


def test_children_die_with_a_killed_harness(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        python("-c", PARENT, str(tmp_path / "log")), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    def gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        # Where nobody adopts orphans, the dead child stays as a zombie.
        return ") Z " in Path(f"/proc/{child}/stat").read_text()

    wait_until("the child is gone", gone)


def test_an_early_end_is_told_with_the_log(tmp_path: Path) -> None:
    process = Process("short", ["sh", "-c", "echo no such luck; exit 3"], tmp_path / "log").start()
    start = time.monotonic()
    with pytest.raises(HarnessError, match=r"exit 3\)(.|\n)*no such luck"):
        process.wait_ready(lambda: False, 30)
    assert time.monotonic() - start < 10


def test_stop_asks_first_and_then_kills(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; echo deaf; while true; do sleep 0.1; done"
    process = Process("stubborn", ["sh", "-c", stubborn], tmp_path / "log").start()
    process.wait_ready(lambda: "deaf" in process.log.read_text())
    process.stop(0.5)
    assert process.exit_code() == -signal.SIGKILL


def test_ports_are_free_and_differ() -> None:
    assert len({free_port() for _ in range(20)}) > 15
