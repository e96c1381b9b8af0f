"""The operator's process as a container runs it: any uid, no passwd entry, no name, a read-only root."""

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ftl_operator.api import kinds
from tests.support.empty_cluster import EmptyCluster

ROOT = Path(__file__).parent.parent
IMAGES_UID = 65532
OPENSHIFTS_UID = 1_000_680_042
"""OpenShift gives each namespace a range of uids that no image knows."""

# The outer user namespace may mount, whoever runs the tests; the inner one has the uid and no capability.
# $1 is a folder that is writable, $2 the uid; the kubeconfig comes by the standard input.
CONTAINER = """
mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$1" && cat >"$1/kubeconfig" &&
exec unshare --user --map-user="$2" --map-group="$2" -- "${@:3}"
"""


def container(writable: Path, uid: int) -> list[str]:
    """The command that runs what follows it as in a container."""
    namespaces = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
    return [*namespaces, "bash", "-euc", CONTAINER, "container", str(writable), str(uid)]


@pytest.fixture(scope="module")
def can_confine(tmp_path_factory):
    """Skip where the kernel lets nobody make a user namespace."""
    folder = tmp_path_factory.mktemp("confined")
    (folder / "writable").mkdir()
    script = 'id --user; getent passwd "$(id --user)"; touch "$1/in"; test -e "$1/in"; touch "$1/../out"'
    command = [*container(folder / "writable", IMAGES_UID), "sh", "-c", script, "sh", f"{folder}/writable"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    if not done.stdout:
        pytest.skip(f"this machine allows no user namespaces: {done.stderr.strip()}")
    assert done.stdout == f"{IMAGES_UID}\n", "the uid has a name here"
    assert done.returncode, "the root can be written to"
    assert "/in" not in done.stderr


@pytest.fixture
def cluster():
    cluster = EmptyCluster()
    yield cluster
    cluster.close()


@pytest.mark.usefixtures("can_confine")
@pytest.mark.parametrize("uid", [IMAGES_UID, OPENSHIFTS_UID])
def test_the_operator_gets_ready_as_a_uid_that_nobody_knows(uid, tmp_path, cluster):
    writable = tmp_path / "writable"
    writable.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "XDG_CACHE_HOME": str(writable),
        "TMPDIR": str(writable),
        "FTL_METRICS_PORT": "0",
        "FTL_METRICS_ADDRESS": "127.0.0.1",
        "FTL_LEADER_ELECTION": "false",
        "FTL_LOG_FORMAT": "text",
    }
    program = [sys.executable, "-B", "-m", "ftl_operator", "--kubeconfig", f"{writable}/kubeconfig"]
    with subprocess.Popen(
        [*container(writable, uid), *program],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as operator:
        try:
            operator.stdin.write(cluster.kubeconfig)
            operator.stdin.close()
            port = said(operator.stdout, r"probes are at port (\d+)")
            assert said(operator.stdout, r"(\d+) apps seen") == "0"
            while cluster.watched.get() != kinds.FTL_APP.path():
                """kopf watches other kinds too."""
            for path in ("readyz", "healthz"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                    assert answer.read() == b"ok"
        finally:
            operator.terminate()
        rest = operator.stdout.read()
        assert operator.wait() == 0, rest


def said(lines, pattern):
    """The group of the first line that has the pattern. Raises AssertionError with all lines if they end."""
    seen = []
    for line in lines:
        seen.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(seen))
