"""One node: containerd with runc and CNI from Debian, and a kubelet, all files in one folder."""

import json
import os
import signal
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from e2e.cluster import binaries
from e2e.cluster.api import Object
from e2e.cluster.pki import Pair
from e2e.support.process import Process, free_port, run

CNI_PROGRAMS = "/usr/lib/cni"
CGROUPS = Path("/sys/fs/cgroup")


class Node:
    """A kubelet and its container runtime.

    Args:
        name: The node's name.
        folder: Where all of its files go.
        logs: Where its programs write what they say.
        address: Its address, on the bridge.
        pods: The range of its pods' addresses.
        cgroup: The name of the cgroup, in each hierarchy, below which its pods' are.
    """

    def __init__(
        self, name: str, folder: Path, logs: Path, address: str, pods: IPv4Network, cgroup: str
    ) -> None:
        self.name, self.address, self.pods = name, address, pods
        self._folder, self._cgroup = folder, cgroup
        for part in ("cni", "hosts", "containerd", "kubelet", "pods"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # Debian's runtime looks for its shim and for runc on PATH.
        system = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.socket = folder / "containerd.sock"
        config = folder / "containerd.toml"
        self.containerd = Process(
            f"containerd-{name}",
            ["/usr/bin/containerd", "--config", str(config)],
            logs / f"containerd-{name}.log",
            env=system,
        )
        command = [str(binaries.target("kubelet") / "kubelet"), f"--config={folder / 'kubelet.yaml'}"]
        command += [f"--kubeconfig={folder / 'kubeconfig'}", f"--hostname-override={name}"]
        command += [f"--root-dir={folder / 'kubelet'}", f"--node-ip={address}", "--v=1"]
        command += [f"--cert-dir={folder / 'certificates'}"]
        self.kubelet = Process(f"kubelet-{name}", command, logs / f"kubelet-{name}.log", env=system)

    def start(
        self, kubeconfig: Path, authority: Path, serving: Pair, dns: str, registry: str, pause: str
    ) -> None:
        """Write the configuration and start both programs.

        Args:
            kubeconfig: Of the user `system:node:NAME`.
            authority: The certificate of who signs the clients' certificates.
            serving: The kubelet's own certificate.
            dns: The address of the cluster's DNS.
            registry: The host and port of a registry without TLS.
            pause: The image of the container that holds a pod's namespaces.
        """
        for hierarchy in CGROUPS.iterdir():
            if (hierarchy / "cgroup.procs").exists():
                (hierarchy / self._cgroup).mkdir(exist_ok=True)
        kubeconfig.replace(self._folder / "kubeconfig")
        hosts = self._folder / "hosts" / registry
        hosts.mkdir(exist_ok=True)
        (hosts / "hosts.toml").write_text(
            f'server = "http://{registry}"\n'
            f'[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'
        )
        (self._folder / "cni" / "10-proof.conflist").write_text(json.dumps(self._cni()))
        (self._folder / "containerd.toml").write_text(self._containerd(pause))
        (self._folder / "resolv.conf").write_text(f"nameserver {dns}\n")
        (self._folder / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet(authority, serving, dns)))
        self.containerd.start().wait_ready(lambda: self.ctr("version"))
        self.kubelet.start()

    def restart(self) -> None:
        """Kill both programs, as the machine's reset does to them, and start them again."""
        self.kubelet.kill()
        self.containerd.kill()
        self.containerd.start().wait_ready(lambda: self.ctr("version"))
        self.kubelet.start()

    def stop(self) -> None:
        """End both programs, and what ran in containers."""
        self.kubelet.stop()
        for hierarchy in CGROUPS.iterdir():
            for procs in (hierarchy / self._cgroup).glob("**/cgroup.procs"):
                for pid in procs.read_text().split():
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        continue
        self.containerd.stop()

    def ctr(self, *arguments: str) -> str:
        """Ask containerd about what Kubernetes has there. Raises HarnessError if it refuses."""
        return run(["/usr/bin/ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments])

    def _cni(self) -> Object:
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": str(self.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self._folder / "addresses"),
        }
        ptp = {"type": "ptp", "ipMasq": False, "mtu": 1400, "ipam": ipam}
        return {"cniVersion": "0.4.0", "name": "proof", "plugins": [ptp]}

    def _containerd(self, pause: str) -> str:
        folder = self._folder
        return f"""version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/hosts"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

    def _kubelet(self, authority: Path, serving: Pair, dns: str) -> Object:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "address": self.address,
            "port": free_port(self.address),
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "makeIPTablesUtilChains": False,
            "failSwapOn": False,
            "resolvConf": str(self._folder / "resolv.conf"),
            "podLogsDir": str(self._folder / "pods"),
            "clusterDNS": [dns],
            "clusterDomain": "cluster.local",
            "imageMinimumGCAge": "1s",
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "nodeStatusUpdateFrequency": "3s",
            "nodeLeaseDurationSeconds": 12,
            "serializeImagePulls": False,
            "staticPodPath": "",
            "volumePluginDir": str(self._folder / "plugins"),
        }
