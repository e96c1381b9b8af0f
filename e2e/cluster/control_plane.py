"""Brings the cluster up and down: etcd, API server, controllers, scheduler, SpinKube, registry, node."""

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from e2e.cluster import binaries
from e2e.cluster.api import Api, Object, kubeconfig
from e2e.cluster.network import Network, free_range, open_network
from e2e.cluster.pki import Authority, Pair
from e2e.cluster.registry import Registry
from e2e.node.pod import log_path, pid_path
from e2e.support.process import HarnessError, Process, free_port, python, run, wait_until

SPIN = "core.spinkube.dev/v1alpha1"
EXECUTOR = "containerd-shim-spin"
RUNTIME_CLASS = "wasmtime-spin-v2"
NODE = "e2e-node"
WEBHOOK_PORT = 9443
"""Fixed in spin-operator."""
TURN_SECONDS = 1200
SYSTEM_NAMESPACE = "ftl-system"
"""Where ftl-operator itself runs; the audit log notes every request of its service accounts."""

# Those that pods, Services, deletion and scaling need; not volumes, certificates and old kinds of workload.
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "disruption-controller",
    "job-controller",
    "namespace-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
    "pod-garbage-collector-controller",
    "node-lifecycle-controller",
)

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{SYSTEM_NAMESPACE}"]},
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata"},
    ],
}


class Cluster:
    """A running cluster; everything it writes lies in `folder`, its processes' output in `folder/logs`."""

    controllers: tuple[str, ...] = CONTROLLERS

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="ftl-e2e-"))
        self._own_folder = folder is None
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.audit_log = self.logs / "audit.jsonl"
        self._token_lock = threading.Lock()
        self.processes: list[Process] = []
        self.registry: Registry
        self.network: Network

    # --- start and stop ---

    def start(self) -> "Cluster":
        """Start everything; on failure stop what was started and raise HarnessError with the reason."""
        try:
            self._start()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        return self

    def _start(self) -> None:
        self._wait_for_turn()
        self.bin = binaries.target("control-plane")
        crds = binaries.crds()
        self.network = self._open_network()
        self.ca = Authority(self.folder / "pki")
        address = self.network.address
        self.server = f"https://{address}:{free_port(address)}"
        self.admin = self._client_config("admin", "system:masters")
        self._start_etcd()
        self.registry = Registry(self.folder / "registry", address).start()
        self.apiserver = self._start_apiserver()
        self.api = Api(self.admin)
        self._start_controllers()
        spin = sorted((binaries.spin_operator_files() / "crd" / "bases").iterdir())
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", *(f"--filename={path}" for path in [*spin, *crds])
        )
        self._start_spin_operator()
        self._start_node()
        self.namespace(SYSTEM_NAMESPACE)

    def _wait_for_turn(self) -> None:
        """One cluster at a time in a network namespace: spin-operator's webhook port cannot be chosen."""
        space = Path("/proc/self/ns/net").readlink().name.strip("net:[]")
        # Not in the user's cache: a run with a cache of its own shares the network all the same.
        path = Path(tempfile.gettempdir()) / f"ftl-operator-e2e-{os.getuid()}-{space}.lock"
        # Closed, and so released, when this process ends in whatever way; children do not inherit it.
        self._lock = path.open("a+")
        deadline = time.monotonic() + TURN_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise HarnessError("another cluster of this harness runs on this machine") from None
            if not told:
                print("waiting for another cluster of this harness to end", file=sys.stderr, flush=True)
                told = True
            time.sleep(1)

    def _open_network(self) -> Network:
        """Take a range; one that an earlier run could not give back, because it was killed, is freed."""
        self._lock.seek(0)
        if left := self._lock.read().strip():
            free_range(left)
        network = open_network()
        self._lock.truncate(0)
        self._lock.write(str(network.whole))
        self._lock.flush()
        return network

    def stop(self, *, keep_logs: bool = False) -> None:
        """Stop every process, free the addresses, remove the folder unless `keep_logs` or it was given."""
        for process in reversed(self.processes):
            process.stop()
        if hasattr(self, "registry"):
            self.registry.stop()
        if hasattr(self, "network"):
            free_range(str(self.network.whole))
        if hasattr(self, "_lock"):
            self._lock.close()
        if self._own_folder and not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.logs / f"{name}.log", env=env)
        self.processes.append(process)
        return process.start()

    def _client_config(self, user: str, *groups: str) -> Path:
        pair = self.ca.client(user, *groups)
        entry = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        return kubeconfig(path, self.server, self.ca.certificate, entry)

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        command = [binaries.etcd(), "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"default={peer}"]
        self._etcd = client
        # Debian's etcd refuses other architectures unless told that it is meant.
        process = self._process("etcd", command, {"ETCD_UNSUPPORTED_ARCH": "arm64"})
        process.wait_ready(lambda: urllib.request.urlopen(f"{client}/health", timeout=2).status == 200)

    def _start_apiserver(self) -> Process:
        serving = self.ca.server(
            "apiserver",
            self.network.address,
            "localhost",
            "kubernetes.default.svc",
            # Where pods find it.
            str(self.network.services[1]),
        )
        accounts: Pair = self.ca.signing_key("service-accounts")
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(AUDIT_POLICY))
        flags = {
            "etcd-servers": self._etcd,
            "bind-address": self.network.address,
            # Published nowhere; without it the server looks for a default route, which not every machine has.
            "advertise-address": self.network.services[2],
            "secure-port": self.server.rpartition(":")[2],
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
            "client-ca-file": self.ca.certificate,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": accounts.certificate,
            "service-account-signing-key-file": accounts.key,
            "service-cluster-ip-range": self.network.services,
            "endpoint-reconciler-type": "none",
            "audit-policy-file": policy,
            "audit-log-path": self.audit_log,
            "audit-log-mode": "batch",
            "audit-log-batch-max-wait": "200ms",
            "profiling": "false",
            **self._apiserver_flags(),
        }
        self._service_account_key = accounts.key
        process = self._process("apiserver", [str(self.bin / "kube-apiserver"), *_flags(flags)])
        return process.wait_ready(self._apiserver_ready, 90)

    def _apiserver_flags(self) -> Object:
        """What another kind of cluster has the API server do differently."""
        return {}

    def _manager_flags(self) -> Object:
        """What another kind of cluster has the controllers do differently."""
        return {}

    def _apiserver_ready(self) -> bool:
        return Api(self.admin).request("GET", "/readyz") == "ok"

    def _start_controllers(self) -> None:
        common = {
            "bind-address": "127.0.0.1",
            "leader-elect": "false",
            "profiling": "false",
            # The defaults would make a thousand apps a matter of a quarter of an hour.
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
        }
        manager = {
            **common,
            "kubeconfig": self._client_config("system:kube-controller-manager"),
            "secure-port": free_port(),
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self._service_account_key,
            "root-ca-file": self.ca.certificate,
            "controllers": ",".join(self.controllers),
            "concurrent-gc-syncs": 5,
            **self._manager_flags(),
        }
        self._process("controller-manager", [str(self.bin / "kube-controller-manager"), *_flags(manager)])
        scheduler = {**common, "secure-port": free_port()}
        scheduler["kubeconfig"] = self._client_config("system:kube-scheduler")
        self._process("scheduler", [str(self.bin / "kube-scheduler"), *_flags(scheduler)])

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again at the same address."""
        self.apiserver.kill()
        self.apiserver.start()
        self.apiserver.wait_ready(self._apiserver_ready, 90)

    # --- SpinKube ---

    def _start_spin_operator(self) -> None:
        files = binaries.spin_operator_files()
        for kind in ("SpinApp", "SpinAppExecutor"):
            wait_until(f"{kind} is served", lambda kind=kind: self.api.list(SPIN, kind) is not None)
        self.namespace("spin-operator", spin=False)
        subject = {"kind": "ServiceAccount", "name": "spin-operator", "namespace": "spin-operator"}
        role = yaml.safe_load((files / "rbac" / "role.yaml").read_text())
        role["metadata"]["name"] = "spin-operator"
        self.api.apply_all(
            [
                _meta("v1", "ServiceAccount", "spin-operator", "spin-operator"),
                role,
                {
                    **_meta("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "spin-operator"),
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "spin-operator",
                    },
                    "subjects": [subject],
                },
                {**_meta("node.k8s.io/v1", "RuntimeClass", RUNTIME_CLASS), "handler": "spin"},
            ]
        )
        temporary = self.folder / "spin-operator"
        certificates = temporary / "k8s-webhook-server" / "serving-certs"
        certificates.mkdir(parents=True)
        pair = self.ca.server("webhook", "127.0.0.1")
        shutil.copy(pair.certificate, certificates / "tls.crt")
        shutil.copy(pair.key, certificates / "tls.key")
        health = f"127.0.0.1:{free_port()}"
        command = [str(self.bin / "spin-operator"), "--enable-webhooks", "--metrics-bind-address=0"]
        command += [f"--health-probe-bind-address={health}", "--zap-log-level=info"]
        config = self.service_account("spin-operator", "spin-operator")
        process = self._process(
            "spin-operator", command, {"KUBECONFIG": str(config), "TMPDIR": str(temporary)}
        )
        process.wait_ready(lambda: urllib.request.urlopen(f"http://{health}/readyz", timeout=2).status == 200)
        for obj in yaml.safe_load_all((files / "webhook" / "manifests.yaml").read_text()):
            self.api.apply(self._local_webhook(obj))
        # The manager is ready before its webhook server listens.
        wait_until("spin-operator's webhooks answer", self._webhooks_answer)

    def _local_webhook(self, obj: Object) -> Object:
        obj["metadata"] = {"name": "spin-operator"}
        for webhook in obj["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            webhook["clientConfig"] = {
                "url": f"https://127.0.0.1:{WEBHOOK_PORT}{path}",
                "caBundle": base64.b64encode(self.ca.pem).decode(),
            }
        return obj

    def _webhooks_answer(self) -> Object:
        return self.api.apply(_executor("default"), dry_run=True)

    # --- the node ---

    def _start_node(self) -> None:
        (self.folder / "containers").mkdir(exist_ok=True)
        config = {
            "name": NODE,
            "kubelet": str(self._client_config(f"system:node:{NODE}", "system:nodes")),
            "proxy": str(self._client_config("system:kube-proxy")),
            "folder": str(self.folder / "containers"),
            "logs": str(self.logs),
            "runtime_class": RUNTIME_CLASS,
            "pods": str(self.network.pods),
            "dns": self.network.dns,
            "programs": {
                "ftl-operator": python("-m", "ftl_operator"),
                "http-add-on-interceptor:0.12.0": [str(binaries.target("interceptor") / "interceptor")],
                **{
                    f"http-add-on-{part}": [str(binaries.target("http-add-on") / part)]
                    for part in ("interceptor", "operator", "scaler")
                },
            },
        }
        path = self.folder / "node.json"
        path.write_text(json.dumps(config))
        env = {"PYTHONPATH": str(binaries.ROOT), "PYTHONUNBUFFERED": "1"}
        self.node = self._process("node", python("-m", "e2e.node", str(path)), env)
        wait_until("the node is Ready", self._node_ready)

    def _node_ready(self) -> bool:
        conditions = self.api.get("v1", "Node", NODE)["status"]["conditions"]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    # --- what tests ask for ---

    def namespace(self, name: str, *, spin: bool = True) -> str:
        """Make a namespace with its default ServiceAccount; with `spin` also executor and pull secret."""
        objects = [
            _meta("v1", "Namespace", name),
            _meta("v1", "ServiceAccount", "default", name),
        ]
        if spin:
            secret = _meta("v1", "Secret", "registry", name)
            secret["type"] = "kubernetes.io/dockerconfigjson"
            secret["stringData"] = {".dockerconfigjson": self.registry.pull_secret}
            objects += [_executor(name), secret]
        self.api.apply_all(objects)
        return name

    def service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a token of an existing ServiceAccount, valid for a day."""
        with self._token_lock:
            path = self.api.path("v1", "ServiceAccount", name, namespace) + "/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86400},
        }
        token = self.api.request("POST", path, request)["status"]["token"]
        target = self.folder / f"{namespace}-{name}.kubeconfig"
        return kubeconfig(target, self.server, self.ca.certificate, {"token": token})

    def apply_file(self, path: Path) -> None:
        """Server-side apply of every object in a YAML file."""
        self.api.apply_all(obj for obj in yaml.safe_load_all(path.read_text()) if obj)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the real kubectl as administrator and return its output; HarnessError if it fails."""
        return self._tool("kubectl", *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """Run the real helm as administrator and return its output; HarnessError if it fails."""
        return self._tool("helm", *arguments)

    def _tool(self, name: str, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [binaries.program(name), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, "KUBECONFIG": str(self.admin), "HOME": str(self.folder)},
            check=False,
        )
        if done.returncode:
            text = (done.stderr or done.stdout).strip()
            raise HarnessError(f"{name} {' '.join(arguments)}: exit {done.returncode}: {text}")
        return done.stdout

    def kill_pod(self, namespace: str, name: str) -> None:
        """SIGKILL to the process of a pod's container, as the kernel would end it for lack of memory."""
        path = pid_path(self.folder / "containers", f"{namespace}_{name}")
        os.kill(int(path.read_text()), signal.SIGKILL)

    def pod_log(self, namespace: str, name: str) -> str:
        """Everything that a pod's containers have written."""
        path = log_path(self.logs, f"{namespace}_{name}")
        return path.read_text(errors="replace") if path.exists() else ""

    def resolv_conf(self) -> Path:
        """A resolver configuration that asks the cluster's DNS."""
        path = self.folder / "resolv.conf"
        path.write_text(f"nameserver {self.network.dns}\nsearch svc.cluster.local cluster.local\n")
        return path

    def in_cluster(self, *command: str) -> str:
        """Run a command with the cluster's DNS, as in a pod, and return its output."""
        return run(self._with_dns(command))

    def open_in_cluster(self, *command: str) -> subprocess.Popen[str]:
        """Start a command with the cluster's DNS, as in a pod, to speak with line by line."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._with_dns(command), stdin=pipe, stdout=pipe, text=True)

    def _with_dns(self, command: tuple[str, ...]) -> list[str]:
        script = f'mount --bind "{self.resolv_conf()}" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

    def audit(self, offset: int = 0) -> Iterator[Object]:
        """The audit log's entries after a byte offset; see AUDIT_POLICY for what it holds."""
        with self.audit_log.open("rb") as log:
            log.seek(offset)
            for line in log:
                if line.endswith(b"\n"):
                    yield json.loads(line)


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _meta(version: str, kind: str, name: str, namespace: str = "") -> Object:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}}


def _executor(namespace: str) -> Object:
    executor = _meta(SPIN, "SpinAppExecutor", EXECUTOR, namespace)
    executor["spec"] = {
        "createDeployment": True,
        "deploymentConfig": {"runtimeClassName": RUNTIME_CLASS},
    }
    return executor
