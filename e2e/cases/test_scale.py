"""1,000 FtlApps: the time and memory of a restarted operator, and that it then writes nothing."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.cluster.api import Object
from e2e.cluster.control_plane import SYSTEM_NAMESPACE, Cluster
from e2e.cluster.operator import Operator
from e2e.node.pod import pid_path
from e2e.support.apps import FTL, App, tool
from e2e.support.process import wait_until

APPS = 1000
RESTART_SECONDS = 60
MEMORY_BYTES = 250 * 2**20
QUIET_SECONDS = float(os.environ.get("QUIET", "20"))
"""How long it is watched for writes: `make scale QUIET=3600` for a whole hour."""
FINISHED = tuple(f'ftl_operator_reconciles_total{{result="{result}"' for result in ("done", "unchanged"))


def memory(cluster: Cluster, pod: str) -> int:
    """Resident bytes of a pod's process."""
    pid = pid_path(cluster.folder / "containers", f"{SYSTEM_NAMESPACE}_{pod}").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def idle_deployment(app: App) -> Object:
    """The Deployment as spin-operator will take it over, with no pod from the start.

    Idle apps are scaled to zero. That their first pods start and stop is no part of the operator's work.
    """
    labels = {
        "core.spinkube.dev/app-name": app.name,
        f"core.spinkube.dev/app.{app.name}.status": "ready",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app.name, "namespace": app.namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": app.name, "image": "none"}]},
            },
        },
    }


def ready(cluster: Cluster, namespace: str) -> int:
    """How many apps are Ready in their current generation."""

    def done(app: Object) -> bool:
        status = app.get("status", {})
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        seen = status.get("observedGeneration") == app["metadata"]["generation"]
        return seen and conditions.get("Ready") == "True"

    return sum(done(app) for app in cluster.api.list(FTL, "FtlApp", namespace))


@pytest.mark.timeout(1500 + QUIET_SECONDS)
def test_a_thousand_apps(
    cluster: Cluster, operator: Operator, namespace: str, push: Callable[..., str]
) -> None:
    image = push("weather", "1", "forecast")
    scaling = {"minReplicas": 0, "maxReplicas": 3, "scaler": "keda-http", "concurrency": 10}
    apps = [
        App(
            cluster,
            namespace,
            tool("weather", image),
            name=f"app-{number}",
            runtime={"autoscaling": scaling},
            route={"host": f"app-{number}.e2e.test"},
        )
        for number in range(APPS)
    ]

    def deploy(app: App) -> None:
        cluster.api.apply(idle_deployment(app))
        app.apply()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(deploy, apps))
    wait_until("every app is Ready", lambda: ready(cluster, namespace) == APPS, 900, every=3)

    since, seen = operator.mark(), len(cluster.registry.seen)
    observed_before = observed(operator)
    start = time.monotonic()
    operator.kill()
    wait_until(
        "the operator has looked at every app",
        lambda: observed(operator) >= APPS and observed(operator) != observed_before,
        RESTART_SECONDS * 2,
        every=1,
    )
    took = time.monotonic() - start
    resident = memory(cluster, operator.leader())
    writes = [w for w in operator.writes(since) if f"/namespaces/{namespace}/" in w]
    asked = len(cluster.registry.seen) - seen
    print(f"{APPS} apps: {took:.1f} s, {resident / 2**20:.0f} MiB, {asked} registry requests")
    assert not writes
    assert took <= RESTART_SECONDS
    assert resident <= MEMORY_BYTES

    quiet = operator.mark()
    time.sleep(QUIET_SECONDS)
    assert not operator.writes(quiet)
    print(f"{APPS} apps: no write in {QUIET_SECONDS:.0f} s")


def observed(operator: Operator) -> int:
    """How many reconciles the operator has finished since it was started."""
    total = 0.0
    for line in operator.metrics().splitlines():
        if line.startswith(FINISHED):
            total += float(line.rpartition(" ")[2])
    return int(total)
