"""`python -m e2e up`: a cluster with SpinKube and a registry that stays until Ctrl-C."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from builds.store import BuildError, build_all
from builds.targets import END_TO_END, STORE, TARGETS
from e2e.cluster import binaries
from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.cluster.registry import PASSWORD, USER
from e2e.support.process import HarnessError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m e2e",
        description="Run a real Kubernetes control plane with SpinKube, a registry and a node here.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser(
        "up",
        help="start a cluster and keep it until Ctrl-C",
        description="Start a cluster, print its KUBECONFIG, keep it until Ctrl-C, then remove it. What it "
        "consists of is built first where that is missing, as 'make build-control-plane' does. It needs "
        "root, etcd and Go.",
    )
    up.add_argument(
        "--folder", type=Path, help="where its files and logs go (default: a new temporary folder)"
    )
    up.add_argument("--namespace", default="demo", help="a namespace to prepare for SpinApps (default: demo)")
    up.add_argument("--operator", action="store_true", help="also install ftl-operator, by its chart")
    arguments = parser.parse_args()
    cluster = Cluster(arguments.folder)
    try:
        build_all(STORE, [TARGETS[name] for name in END_TO_END])
        cluster.start()
        cluster.namespace(arguments.namespace)
        if arguments.operator:
            Operator(cluster).install()
    except (BuildError, HarnessError) as error:
        print(f"e2e: {error}\nlogs: {cluster.logs}", file=sys.stderr)
        return 1
    print(f"export KUBECONFIG={cluster.admin}")
    print(f"export PATH={cluster.bin}:{binaries.program('helm').parent}:$PATH")
    print(f"# registry {cluster.registry.address}, user {USER}, password {PASSWORD}; pull secret: registry")
    print(f"# namespace {arguments.namespace}; logs {cluster.logs}; Services and pods answer on this machine")
    sys.stdout.flush()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    ended.wait()
    print("stopping", file=sys.stderr)
    cluster.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
