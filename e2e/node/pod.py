"""One pod from its binding to its end, in a thread of its own."""

import base64
import datetime as dt
import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from e2e.cluster.api import ApiError, Object, kubeconfig
from e2e.node.environment import ConfigError, environment
from e2e.node.image import PullError, SpinImage
from e2e.node.probe import Probe
from e2e.support.process import Process

if TYPE_CHECKING:
    from e2e.node.kubelet import Kubelet

BACKOFF = (0.5, 1, 2, 4, 8, 10)
"""Seconds between tries to pull or to restart: the kubelet's doubling, with a shorter end."""

STEP = 0.1
"""How often a running container and its probes are looked at, in seconds."""


SOURCES = (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name"))
"""Volumes whose content is an object: the field of the volume, the object's kind, the field with its name."""


class NotStartedError(Exception):
    """A container cannot be started now; `reason` and the message are what the pod's status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Pod:
    """Runs the pod's one container until the pod is deleted; reports every change of its state."""

    def __init__(self, kubelet: "Kubelet", obj: Object, address: str) -> None:
        self.uid: str = obj["metadata"]["uid"]
        self._kubelet = kubelet
        self._obj = obj
        self._address = address
        self._container: Object = obj["spec"]["containers"][0]
        self._ended = threading.Event()
        self._grace: float | None = None
        self._process: Process | None = None
        self._restarts = 0
        self._started = False
        self._last_state: Object = {}
        self._image_id = ""
        self._reported: Object = {}
        self._ready_since = ""
        self._warned: set[str] = set()
        meta = obj["metadata"]
        self.name = f"{meta['namespace']}/{meta['name']}"
        self._file = f"{meta['namespace']}_{meta['name']}"
        self._state_folder = kubelet.settings.folder / self._file
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def update(self, obj: Object) -> None:
        """Take a newer version of the object; a deletion ends the container within its grace period."""
        self._obj = obj
        if "deletionTimestamp" in obj["metadata"] and not self._ended.is_set():
            self._grace = obj["metadata"].get("deletionGracePeriodSeconds", 30)
            self._ended.set()

    def gone(self) -> None:
        """The object is no more (a forced deletion): end at once."""
        self._grace = 0
        self._ended.set()

    # --- the life of the container ---

    def _run(self) -> None:
        failures = 0
        try:
            while not self._ended.is_set():
                try:
                    self._process = self._start()
                except NotStartedError as error:
                    waiting = {"reason": error.reason, **({"message": str(error)} if str(error) else {})}
                    self._report({"waiting": waiting}, ready=False, phase="Pending")
                else:
                    started = time.monotonic()
                    if self._serve(self._process):
                        return
                    failures = 0 if time.monotonic() - started > 15 else failures
                self._ended.wait(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
        finally:
            self._finish()

    def _start(self) -> Process:
        spec = self._obj["spec"]
        if len(spec["containers"]) != 1:
            raise NotStartedError("CreateContainerError", "this node runs pods of one container")
        self._check_volumes()
        try:
            values = environment(self._obj, self._container, self._address, self._fetch)
        except ConfigError as error:
            raise NotStartedError("CreateContainerConfigError", str(error)) from error
        except (ApiError, urllib3.exceptions.HTTPError) as error:
            raise NotStartedError("CreateContainerConfigError", f"API server: {error}") from error
        # Volumes outlive a container; what it wrote elsewhere does not.
        self._state_folder.mkdir(parents=True, exist_ok=True)
        for path in self._state_folder.iterdir():
            if path.name != "volumes":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        artifact = self._artifact()
        if spec.get("runtimeClassName") == self._kubelet.settings.runtime_class:
            command, env = self._shim_command(values), {"PYTHONPATH": sys.path[0]}
        elif artifact:
            command, env = self._spin_up_command(values, artifact), {"PYTHONPATH": sys.path[0]}
        else:
            command, env = self._program_command(), self._program_environment(values)
        process = Process(self.name, command, log_path(self._kubelet.settings.logs, self._file), env=env)
        process.start()
        pid_path(self._kubelet.settings.folder, self._file).write_text(str(process.pid))
        return process

    def _artifact(self) -> str:
        """What a container with Spin's own image runs: the `-f` of its `spin up`. Empty for other images."""
        arguments = self._container.get("args", [])
        is_spin = self._image_name() == "spin" and arguments[:1] == ["up"]
        return arguments[arguments.index("-f") + 1] if is_spin and "-f" in arguments else ""

    def _image_name(self) -> str:
        return self._tagged_name().partition(":")[0]

    def _tagged_name(self) -> str:
        name: str = self._container["image"].partition("@")[0].rpartition("/")[2]
        return name

    def _spin_up_command(self, values: dict[str, str], artifact: str) -> list[str]:
        """Spin in an ordinary container: it pulls its app itself, without a pull secret of the pod."""
        try:
            image = self._kubelet.puller.pull(artifact, [])
        except PullError as error:
            return [sys.executable, "-c", f"import sys; sys.exit({f'Error: {error}'!r})"]
        arguments = self._container["args"]
        listen = arguments[arguments.index("--listen") + 1]
        return self._spin_command(values | {"SPIN_HTTP_LISTEN_ADDR": listen}, image)

    def _shim_command(self, values: dict[str, str]) -> list[str]:
        try:
            image = self._kubelet.puller.pull(self._container["image"], self._pull_credentials())
        except PullError as error:
            reason = "ErrImagePull" if self._reported.get("reason") != "ErrImagePull" else "ImagePullBackOff"
            raise NotStartedError(reason, str(error)) from error
        self._image_id = f"{self._container['image'].partition('@')[0]}@{image.digest}"
        return self._spin_command(values, image)

    def _spin_command(self, values: dict[str, str], image: SpinImage) -> list[str]:
        prefix = "SPIN_VARIABLE_"
        variables = {
            name.removeprefix(prefix).lower(): value
            for name, value in values.items()
            if name.startswith(prefix)
        }
        config = {
            "locked": image.locked,
            "blobs": str(image.folder),
            "variables": variables,
            "address": self._address,
            "port": int(values.get("SPIN_HTTP_LISTEN_ADDR", "0.0.0.0:80").rpartition(":")[2]),
            "state": str(self._state_folder),
        }
        path = self._state_folder / "container.json"
        path.write_text(json.dumps(config))
        return [sys.executable, "-m", "e2e.node.container", str(path)]

    def _program_command(self) -> list[str]:
        programs = self._kubelet.settings.programs
        program = programs.get(self._tagged_name()) or programs.get(self._image_name())
        if program is None:
            raise NotStartedError(
                "ErrImagePull", f"this node has no container runtime for {self._image_name()}"
            )
        command = self._container.get("command") or program
        command = [self._mounted(part) for part in [*command, *self._container.get("args", [])]]
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        # A mount namespace of its own gives the program the cluster's DNS.
        resolver = self._state_folder / "resolv.conf"
        resolver.write_text(
            f"nameserver {self._kubelet.settings.dns}\nsearch svc.cluster.local cluster.local\n"
        )
        script = f'mount --bind "{resolver}" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

    def _program_environment(self, values: dict[str, str]) -> dict[str, str]:
        """The container's variables, and what stands in for its network and its token volume."""
        environment = {
            "HOSTNAME": self._obj["metadata"]["name"],
            "FTL_METRICS_ADDRESS": self._address,
            "PYTHONUNBUFFERED": "1",
            **{name: self._mounted(value) for name, value in values.items()},
        }
        if self._obj["spec"].get("automountServiceAccountToken", True):
            environment["KUBECONFIG"] = str(self._account_config())
        return environment

    def _account_config(self) -> Path:
        """A kubeconfig with a token of the pod's ServiceAccount, bound to the pod."""
        spec, meta = self._obj["spec"], self._obj["metadata"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": 86400,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        }
        api = self._kubelet.api
        account = spec.get("serviceAccountName", "default")
        path = api.path("v1", "ServiceAccount", account, meta["namespace"]) + "/token"
        try:
            token = api.request("POST", path, request)["status"]["token"]
        except (ApiError, urllib3.exceptions.HTTPError) as error:
            # The API server's Node authorization hears of a pod that was just bound a moment later.
            raise NotStartedError("ContainerCreating", f"no token: {error}") from error
        ca = self._kubelet.settings.folder.parent / "pki" / "ca.crt"
        return kubeconfig(self._state_folder / "kubeconfig", api.server, ca, {"token": token})

    def _mounted(self, text: str) -> str:
        """The text with a volume's path replaced by where it lies here: a program has no root of its own."""
        for mount in self._container.get("volumeMounts", []):
            if text == mount["mountPath"] or text.startswith(mount["mountPath"].rstrip("/") + "/"):
                return str(self._volume(mount["name"])) + text.removeprefix(mount["mountPath"].rstrip("/"))
        return text

    def _check_volumes(self) -> None:
        """Refuse to create the container while a Secret or ConfigMap is missing; only an event says which."""
        for volume in self._obj["spec"].get("volumes", []):
            for source, kind, field in SOURCES:
                name = volume.get(source, {}).get(field)
                try:
                    is_missing = (
                        name and not volume[source].get("optional") and self._fetch(kind, name) is None
                    )
                except (ApiError, urllib3.exceptions.HTTPError) as error:
                    raise NotStartedError("ContainerCreating", "") from error
                if is_missing:
                    what = f'{kind.lower()} "{name}" not found'
                    self._warn(
                        "FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}" : {what}'
                    )
                    raise NotStartedError("ContainerCreating", "")

    def _warn(self, reason: str, message: str) -> None:
        """Write a warning event about the pod, once for each text. A kubelet counts the others in it."""
        if message in self._warned:
            return
        meta, now = self._obj["metadata"], _now()
        about = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "namespace": meta["namespace"]}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{meta['name']}.{time.time_ns():x}",
                "namespace": meta["namespace"],
            },
            "involvedObject": about | {"uid": self.uid},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._kubelet.settings.name},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._kubelet.api.create(event)
        except (ApiError, urllib3.exceptions.HTTPError) as error:
            print(f"{self.name}: an event was not written: {error}", flush=True)
            return
        self._warned.add(message)

    def _volume(self, name: str) -> Path:
        """A folder with a volume's content: an emptyDir, or the keys of a Secret or ConfigMap."""
        folder = self._state_folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        volume = next(volume for volume in self._obj["spec"]["volumes"] if volume["name"] == name)
        for source, kind, field in SOURCES:
            if source not in volume:
                continue
            found = self._fetch(kind, volume[source][field])
            if found is None:
                raise NotStartedError("ContainerCreating", f"{kind} {volume[source][field]} not found")
            data = found.get("data") or {}
            items = volume[source].get("items") or [{"key": key, "path": key} for key in data]
            for item in items:
                text = data[item["key"]]
                content = text.encode() if kind == "ConfigMap" else base64.b64decode(text)
                (folder / item["path"]).write_bytes(content)
        return folder

    def _serve(self, process: Process) -> bool:
        """Watch a running container; True if the pod is to end, False if the container has ended."""
        container = self._container
        self._started = not container.get("startupProbe")
        running = {"running": {"startedAt": _now()}}
        startup = readiness = liveness = None
        if spec := container.get("startupProbe"):
            startup = Probe(spec, container, self._address, passing=False)
        if spec := container.get("readinessProbe"):
            readiness = Probe(spec, container, self._address, passing=False)
        if spec := container.get("livenessProbe"):
            liveness = Probe(spec, container, self._address, passing=True)
        self._report(running, ready=readiness is None, phase="Running")
        while not self._ended.wait(STEP):
            if not process.running():
                self._report_end(process)
                return False
            if startup and not startup.passing and not startup.check():
                if startup.has_failed:
                    print(f"{self.name}: startup: {startup.message}", flush=True)
                    process.stop(5)
                continue
            self._started = True
            if liveness and not liveness.check():
                print(f"{self.name}: liveness: {liveness.message}", flush=True)
                process.stop(5)
            if readiness:
                ready = readiness.check()
                message = "" if ready else readiness.message
                self._report(running, ready=ready, phase="Running", message=message)
        return True

    def _report_end(self, process: Process) -> None:
        code = process.exit_code() or 0
        ended = {
            "exitCode": code if code >= 0 else 128 - code,
            "reason": "Completed" if code == 0 else "Error",
            "finishedAt": _now(),
        }
        policy = self._obj["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self._report({"terminated": ended}, ready=False, phase="Failed" if code else "Succeeded")
            self._ended.wait()
            return
        self._last_state = {"terminated": ended}
        self._restarts += 1
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off restarting failed container {self._container['name']} in pod {self.name}",
        }
        self._report({"waiting": waiting}, ready=False, phase="Running")

    def _finish(self) -> None:
        process = self._process
        if process:
            deadline = time.monotonic() + (30 if self._grace is None else self._grace)
            self._sleep_before_the_end(process)
            process.signal(signal.SIGTERM)
            while process.running() and time.monotonic() < deadline:
                time.sleep(STEP)
            process.kill()
        shutil.rmtree(self._state_folder, ignore_errors=True)
        meta = self._obj["metadata"]
        deadline = time.monotonic() + 120
        while "deletionTimestamp" in meta and time.monotonic() < deadline:
            try:
                self._kubelet.api.delete(
                    "v1",
                    "Pod",
                    meta["name"],
                    meta["namespace"],
                    gracePeriodSeconds=0,
                    preconditions={"uid": self.uid},
                )
                break
            except ApiError as error:
                if error.status in (404, 409):
                    break
            except urllib3.exceptions.HTTPError:
                pass  # The API server is away; the object still has to go.
            time.sleep(0.5)
        self._kubelet.finished(self)

    def _sleep_before_the_end(self, process: Process) -> None:
        """The hook `preStop` of kind `sleep`: the container serves on, at most for the grace period."""
        hook = self._container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        begun = time.monotonic()
        while process.running():
            # A second, forced deletion shortens the grace period.
            patience = min(hook.get("seconds", 0), 30 if self._grace is None else self._grace)
            if time.monotonic() - begun >= patience:
                return
            time.sleep(STEP)

    # --- reading and reporting ---

    def _fetch(self, kind: str, name: str) -> Object | None:
        return self._kubelet.api.find("v1", kind, name, self._obj["metadata"]["namespace"])

    def _pull_credentials(self) -> list[Object]:
        names = [entry["name"] for entry in self._obj["spec"].get("imagePullSecrets", [])]
        found = []
        for name in names:
            try:
                secret = self._fetch("Secret", name)
            except (ApiError, urllib3.exceptions.HTTPError) as error:
                raise PullError(f"cannot read the pull secret {name}: {error}") from error
            if secret and ".dockerconfigjson" in (secret.get("data") or {}):
                found.append(json.loads(base64.b64decode(secret["data"][".dockerconfigjson"])))
        return found

    def _report(self, state: Object, *, ready: bool, phase: str, message: str = "") -> None:
        """Write the pod's status if it changed; tried again at the next call if the API server is away."""
        key = {
            "state": state,
            "ready": ready,
            "phase": phase,
            "message": message,
            "started": self._started,
            "restarts": self._restarts,
            "reason": state.get("waiting", {}).get("reason"),
        }
        if key == self._reported or self._ended.is_set():
            return
        if not ready or not self._reported.get("ready"):
            self._ready_since = _now()
        try:
            self._kubelet.api.merge(self._obj, {"status": self._status(key)}, "status")
        except (ApiError, urllib3.exceptions.HTTPError):
            return
        self._reported = key

    def _status(self, report: Object) -> Object:
        state, ready, message = report["state"], report["ready"], report["message"]

        def condition(kind: str, value: object, reason: str = "") -> Object:
            text = {"reason": reason, "message": message} if reason and not value else {}
            return {
                "type": kind,
                "status": "True" if value else "False",
                "lastTransitionTime": self._ready_since,
                **text,
            }

        return {
            "phase": report["phase"],
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "hostIP": self._address,
            "startTime": self._obj["status"].get("startTime") or _now(),
            "conditions": [
                condition("PodScheduled", True),
                condition("Initialized", True),
                condition("ContainersReady", ready, "ContainersNotReady"),
                condition("Ready", ready, "ContainersNotReady"),
            ],
            "containerStatuses": [
                {
                    "name": self._container["name"],
                    "image": self._container["image"],
                    "imageID": self._image_id,
                    "ready": ready,
                    "started": self._started and "running" in state,
                    "restartCount": self._restarts,
                    "state": state,
                    "lastState": self._last_state,
                }
            ],
        }


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log_path(logs: Path, pod: str) -> Path:
    """Where the output of a pod, `NAMESPACE_NAME`, is kept."""
    return logs / f"pod_{pod}.log"


def pid_path(folder: Path, pod: str) -> Path:
    """Where the process id of a pod's container stands while the pod lives."""
    return folder / pod / "pid"
