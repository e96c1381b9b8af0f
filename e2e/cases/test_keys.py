"""API keys in a Secret of the cluster, edited between `kubectl get` and `kubectl replace`."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.control_plane import Cluster
from e2e.support.process import HarnessError

COMMAND = Path(sys.executable).with_name("ftl-operator")


def edited(*arguments: str, manifest: str) -> str:
    """What the command makes of a manifest."""
    done = subprocess.run([COMMAND, *arguments], input=manifest, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_are_added_and_revoked_and_no_change_of_somebody_else_is_lost(
    cluster: Cluster, namespace: str
) -> None:
    def secret() -> str:
        return cluster.kubectl("get", "secret", "door", "--namespace", namespace, "--output", "yaml")

    def names() -> list[str]:
        return [line.split()[0] for line in edited("key", "list", "-", manifest=secret()).splitlines()]

    line = f"ann {'0' * 64}\n"
    cluster.kubectl(
        "create", "secret", "generic", "door", "--namespace", namespace, f"--from-literal=keys={line}"
    )
    cluster.kubectl(
        "replace", "--filename=-", stdin=edited("key", "create", "ci", "--file", "-", manifest=secret())
    )
    assert names() == ["ann", "ci"]

    revoked = edited("key", "revoke", "ann", "-", manifest=secret())
    cluster.kubectl("label", "secret", "door", "--namespace", namespace, "changed=meanwhile")
    with pytest.raises(HarnessError, match="the object has been modified"):
        cluster.kubectl("replace", "--filename=-", stdin=revoked)
    assert names() == ["ann", "ci"]
    cluster.kubectl("replace", "--filename=-", stdin=edited("key", "revoke", "ann", "-", manifest=secret()))
    assert names() == ["ci"]
