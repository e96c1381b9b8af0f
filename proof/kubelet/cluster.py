"""The end-to-end tests' control plane with real nodes: kubelet, containerd and kube-proxy."""

import ipaddress
import subprocess
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.api import Object
from e2e.cluster.control_plane import SPIN, SYSTEM_NAMESPACE, Cluster
from e2e.cluster.network import Network
from e2e.node.services import Services
from e2e.node.settings import NodeSettings
from e2e.support.process import HarnessError, run
from proof.kubelet.images import Images
from proof.kubelet.node import Node

BRIDGE = "proof0"
WHOLE = ipaddress.ip_network("10.64.0.0/16")
"""Pods in the lower half, Services in the upper; nobody else is in this network namespace."""
ADDRESSES = ("10.63.0.1", "10.63.0.2")
"""The nodes' addresses; the control plane and the registry are on the first."""
EXECUTOR = "spin-in-a-container"
CGROUP = "ftl-operator-proof"


class KubeletCluster(Cluster):
    """A cluster of two nodes, alone in namespaces of its own (`proof/kubelet/alone`)."""

    controllers = ("*",)

    def __init__(self, folder: Path, archive: Path) -> None:
        super().__init__(folder)
        self._archive = archive
        self.nodes: list[Node] = []

    def stop(self, *, keep_logs: bool = False) -> None:
        for node in self.nodes:
            node.stop()
        super().stop(keep_logs=keep_logs)

    def _open_network(self) -> Network:
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        run(["ip", "link", "set", BRIDGE, "up"])
        for address in ADDRESSES:
            run(["ip", "address", "add", f"{address}/24", "dev", BRIDGE])
        pods, services = WHOLE.subnets()
        # kube-proxy changes the destination on the way out, which needs a way first.
        run(["ip", "route", "add", str(services), "dev", BRIDGE])
        dns = str(services[10])
        run(["ip", "address", "add", f"{dns}/32", "dev", BRIDGE])
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        return Network(pods, services, ADDRESSES[0])

    def _apiserver_flags(self) -> Object:
        pair = self.ca.client("kube-apiserver", "system:masters")
        return {
            "endpoint-reconciler-type": "lease",
            "advertise-address": self.network.address,
            "kubelet-client-certificate": pair.certificate,
            "kubelet-client-key": pair.key,
            "kubelet-preferred-address-types": "InternalIP",
            # A node that is gone is given up sooner than by default.
            "default-not-ready-toleration-seconds": 5,
            "default-unreachable-toleration-seconds": 5,
        }

    def _manager_flags(self) -> Object:
        return {"node-monitor-grace-period": "15s", "node-monitor-period": "2s"}

    def _start_node(self) -> None:
        images = Images(self.registry, self.folder / "images")
        self.images = images
        self.operator_image = images.operator(self._archive)
        self.spin_image = images.spin(self.operator_image)
        pause = images.pause()
        proxy = self._client_config("system:kube-proxy")
        self._serve_names(proxy)
        command = [str(binaries.target("kubelet") / "kube-proxy"), f"--kubeconfig={proxy}"]
        command += [
            "--proxy-mode=nftables",
            "--conntrack-max-per-core=0",
            f"--cluster-cidr={self.network.pods}",
        ]
        command += [f"--hostname-override={self.node_name(0)}", f"--bind-address={ADDRESSES[0]}"]
        command += ["--healthz-bind-address=", "--metrics-bind-address=127.0.0.1:10249"]
        ranges = list(self.network.pods.subnets(new_prefix=24))
        for number, address in enumerate(ADDRESSES):
            name = self.node_name(number)
            node = Node(name, self.folder / name, self.logs, address, ranges[number], f"{CGROUP}-{number}")
            self.nodes.append(node)
            serving = self.ca.server(name, address, name)
            user = self._client_config(f"system:node:{name}", "system:nodes")
            node.start(user, self.ca.certificate, serving, self.network.dns, self.registry.address, pause)
            # One after the other: kubelets share a socket for device plugins, which each removes and makes.
            node.kubelet.wait_ready(lambda node=node: self.node_condition(node) == "True", 120)
        self._process("kube-proxy", command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def _serve_names(self, proxy: Path) -> None:
        settings = NodeSettings(
            name="names",
            kubelet=proxy,
            proxy=proxy,
            folder=self.folder,
            logs=self.logs,
            runtime_class="",
            pods=self.network.pods,
            dns=self.network.dns,
            programs={},
        )
        Services(settings).start(forward=False)

    @staticmethod
    def node_name(number: int) -> str:
        return f"node-{number + 1}"

    def node_condition(self, node: Node, kind: str = "Ready") -> str:
        """The status of a node's condition; empty while there is none."""
        found = self.api.find("v1", "Node", node.name) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((c["status"] for c in conditions if c["type"] == kind), "")

    def namespace(self, name: str, *, spin: bool = True) -> str:
        super().namespace(name, spin=spin)
        if spin and name != SYSTEM_NAMESPACE:
            self.api.apply(
                {
                    "apiVersion": SPIN,
                    "kind": "SpinAppExecutor",
                    "metadata": {"name": EXECUTOR, "namespace": name},
                    "spec": {"createDeployment": True, "deploymentConfig": {"spinImage": self.spin_image}},
                }
            )
        return name

    def container(self, namespace: str, pod: str) -> tuple[Node, Object]:
        """The node of a pod and the status of its one container."""
        found = self.api.get("v1", "Pod", pod, namespace)
        node = next(node for node in self.nodes if node.name == found["spec"]["nodeName"])
        (status,) = found["status"]["containerStatuses"]
        return node, status

    def kill_pod(self, namespace: str, name: str) -> None:
        """SIGKILL to the process of a pod's container."""
        node, status = self.container(namespace, name)
        identity = status["containerID"].rpartition("/")[2]
        node.ctr("tasks", "kill", "--signal", "SIGKILL", identity)

    def pod_log(self, namespace: str, name: str) -> str:
        """What a pod's container has written, by the API server and the kubelet."""
        try:
            return self.kubectl("logs", "--namespace", namespace, name)
        except HarnessError as error:
            return str(error)


def version(*command: str) -> str:
    """The first line that a program says of its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
