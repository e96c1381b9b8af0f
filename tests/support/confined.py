"""A process as a container runs it: any uid, no passwd entry, no name of a user, a read-only root."""

import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from ftl_operator.api import kinds
from tests.support.empty_cluster import EmptyCluster

IMAGES_UID = 65532
OPENSHIFTS_UID = 1_000_680_042
"""OpenShift gives each namespace a range of uids that no image knows."""

# The outer user namespace may mount, whoever runs the tests; the inner one has the uid and no capability.
# $1 is a folder that is writable, $2 the uid; the kubeconfig comes by the standard input.
CONTAINER = """
mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$1" && cat >"$1/kubeconfig" &&
exec unshare --user --map-user="$2" --map-group="$2" -- "${@:3}"
"""


def _container(writable: Path, uid: int) -> list[str]:
    """The command that runs what follows it as in a container."""
    namespaces = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
    return [*namespaces, "bash", "-euc", CONTAINER, "container", str(writable), str(uid)]


def demand(folder: Path) -> None:
    """Skip where the kernel lets nobody make a user namespace; fail where one confines nothing."""
    writable = folder / "writable"
    writable.mkdir()
    script = 'id --user; getent passwd "$(id --user)"; touch "$1/in"; test -e "$1/in"; touch "$1/../out"'
    command = [*_container(writable, IMAGES_UID), "sh", "-c", script, "sh", str(writable)]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    if not done.stdout:
        pytest.skip(f"this machine allows no user namespaces: {done.stderr.strip()}")
    assert done.stdout == f"{IMAGES_UID}\n", "the uid has a name here"
    assert done.returncode, "the root can be written to"
    assert "/in" not in done.stderr


def run_operator(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    uid: int,
    cluster: EmptyCluster,
    container: Callable[[Path, int], list[str]] = _container,
) -> None:
    """Run the operator until it is ready and watches, and end it.

    Args:
        command: How it is started.
        environment: All of its variables but those about this test.
        folder: Where a folder that it may write to is made.
        uid: As whom it runs.
        cluster: Its API server.
        container: Gives the words before the command that confine it, from that folder and the uid; what they
            start writes its standard input into the folder's `kubeconfig`.

    Raises:
        AssertionError: It does not get so far, or does not end well; with what it wrote.
    """
    writable = folder / "writable"
    writable.mkdir()
    settings = {
        "XDG_CACHE_HOME": str(writable),
        "TMPDIR": str(writable),
        "FTL_METRICS_PORT": "0",
        "FTL_METRICS_ADDRESS": "127.0.0.1",
        "FTL_LEADER_ELECTION": "false",
        "FTL_LOG_FORMAT": "text",
    }
    with subprocess.Popen(
        [*container(writable, uid), *command, "--kubeconfig", f"{writable}/kubeconfig"],
        cwd="/",
        env={**environment, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as operator:
        assert operator.stdin is not None
        assert operator.stdout is not None
        try:
            operator.stdin.write(cluster.kubeconfig)
            operator.stdin.close()
            port = _said(operator.stdout, r"probes are at port (\d+)")
            assert _said(operator.stdout, r"(\d+) apps seen") == "0"
            while cluster.watched.get() != kinds.FTL_APP.path():
                """kopf watches other kinds too."""
            for path in ("readyz", "healthz"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                    assert answer.read() == b"ok"
        finally:
            operator.terminate()
        rest = operator.stdout.read()
        assert operator.wait() == 0, rest


def _said(lines: Iterable[str], pattern: str) -> str:
    """The group of the first line that has the pattern. Raises AssertionError with all lines if they end."""
    seen = []
    for line in lines:
        seen.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(seen))
