"""The operator's part of the Deployment that spin-operator makes: pod fields that a SpinApp lacks. Pure.

Both operators use server-side apply. spin-operator (v0.6) forces the fields that it sets and leaves the
others, so the two field managers own different parts of one object. The patch has the Deployment's uid, so it
never creates one.

Where the numbers come from: Spin ends at once at SIGTERM, requests included. Spin compiles a component when
its pod starts; on one core 38 MB of Python took 88 s and 536 MB of memory, and a Rust tool of a few hundred
KB took 148 MB of memory.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.fields import Part, quantity_value
from ftl_operator.api.names import Owner
from ftl_operator.api.scheduling import CONTAINER_FIELDS, POD_FIELDS
from ftl_operator.api.status import ComponentStatus
from ftl_operator.manifests.drift import is_current, stamped
from ftl_operator.manifests.scaling import SERVICE_PORT, SPARE_SECONDS
from ftl_operator.manifests.spinapp import owner_of_app

Manifest = dict[str, Any]

MB = 1_000_000
COMPILE_SECONDS_PER_MB = 10.0
"""Four times the measured value on one core, for slower machines."""
COMPILE_SECONDS = (120, 240, 480, 960, 1920, 3600)
"""Time limits of the startup probe. There are few, so that a component that grows a little rolls no pods."""
STARTUP_PERIOD_SECONDS = 2
MEMORY_BYTES = 128 * 1024 * 1024
"""The memory of Spin without components."""
MEMORY_PER_BYTE = 11
"""Bytes of memory to compile one byte of a component."""
LOGIN_BYTES = 32 * 1024 * 1024
"""The memory of a login: 11 MB to compile its 0.94 MB, and 19 MiB to check a password (argon2id)."""


def component_bytes(components: Sequence[ComponentStatus]) -> int | None:
    """The total size of the components in an app's status; None if there are none yet."""
    return sum(component.size for component in components) if components else None


def pod_fields(app: FtlApp, uid: str, size: int) -> Manifest:
    """The operator's part of an app's Deployment.

    Args:
        app: The app.
        uid: The Deployment's uid.
        size: The total size of its components, in bytes.
    """
    owner, runtime = owner_of_app(app), app.spec.runtime
    drain = drain_seconds(app)
    container: Manifest = {"name": owner.name, "startupProbe": _startup_probe(app, size)}
    if drain:
        # The kubelet sleeps before SIGTERM. Meanwhile the pod leaves the endpoints, and running calls end.
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": drain}}}
    pod: Manifest = {"terminationGracePeriodSeconds": drain + SPARE_SECONDS, "containers": [container]}
    optional: Manifest = {
        "nodeSelector": dict(runtime.node_selector),
        "tolerations": [_plain(item) for item in runtime.tolerations],
        "affinity": _with_selectors(_plain(runtime.affinity), owner) if runtime.affinity else {},
        "topologySpreadConstraints": [
            _with_selectors(_plain(item), owner) for item in runtime.topology_spread_constraints
        ],
        "priorityClassName": runtime.priority_class_name,
        "securityContext": _plain(runtime.pod_security_context) if runtime.pod_security_context else {},
    }
    pod |= {name: value for name, value in optional.items() if value}
    if runtime.security_context is not None:
        container["securityContext"] = _plain(runtime.security_context)
    metadata = {"name": owner.name, "namespace": owner.namespace, "uid": uid}
    kind = {"apiVersion": kinds.DEPLOYMENT.api_version, "kind": kinds.DEPLOYMENT.kind}
    return stamped({**kind, "metadata": metadata, "spec": {"template": {"spec": pod}}})


def is_applied(desired: Manifest, digest: str, live: Mapping[str, Any]) -> bool:
    """Whether a Deployment has the desired part of the operator.

    Args:
        desired: The result of `pod_fields`.
        digest: The digest of the part that was applied last, from the Deployment's annotation.
        live: The fields of its pods, as in `Rollout.pod`.
    """
    pod = desired["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    wanted = {name: pod[name] for name in POD_FIELDS if name in pod}
    wanted["container"] = {name: container[name] for name in CONTAINER_FIELDS if name in container}
    return digest in desired["metadata"]["annotations"].values() and is_current(live, wanted)


def drain_seconds(app: FtlApp) -> int:
    """How long a pod serves on after it is told to end."""
    chosen = app.spec.runtime.drain_seconds
    return app.spec.longest_call_seconds + SPARE_SECONDS if chosen is None else chosen


def memory_notes(app: FtlApp, size: int | None) -> list[str]:
    """Warn if the memory limit is lower than what compiling the app's components needs.

    Args:
        app: The app.
        size: The total size of its components, in bytes, if it is known.
    """
    limit = app.spec.runtime.resources.limits.get("memory")
    has_login = app.spec.auth is not None and app.spec.auth.login is not None
    needed = MEMORY_BYTES + MEMORY_PER_BYTE * (size or 0) + (LOGIN_BYTES if has_login else 0)
    if limit is None or size is None or quantity_value(limit) >= needed:
        return []
    login = " and the login" if has_login else ""
    note = (
        f"spec.runtime.resources.limits.memory: {limit} is less than the {ceil(needed / 1024 / 1024)}Mi or "
        f"so that Spin takes to compile {size / MB:.1f} MB of components{login}"
    )
    return [note]


def _startup_probe(app: FtlApp, size: int) -> Manifest:
    """Make the startup probe. No other probe runs before it succeeds; a pod that fails it is restarted."""
    cpu = quantity_value(app.spec.runtime.resources.limits.get("cpu", "1"))
    seconds = size / MB * COMPILE_SECONDS_PER_MB / max(min(cpu, 1.0), 0.05)
    limit = next((step for step in COMPILE_SECONDS if step >= seconds), COMPILE_SECONDS[-1])
    return {
        "httpGet": {"path": "/healthz", "port": SERVICE_PORT},
        "timeoutSeconds": 5,
        "periodSeconds": STARTUP_PERIOD_SECONDS,
        "failureThreshold": limit // STARTUP_PERIOD_SECONDS,
    }


def _with_selectors(value: Any, owner: Owner) -> Any:  # noqa: ANN401 - any part of a pod's placement
    """Insert the app's own pod labels into placement terms that have no selector."""
    if isinstance(value, list):
        return [_with_selectors(item, owner) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _with_selectors(item, owner) for name, item in value.items()}
    if "topologyKey" in made:
        made.setdefault("labelSelector", {"matchLabels": owner.pod_selector})
    return made


def _plain(part: Part) -> Manifest:
    """Convert a part of the spec to a pod's fields: the names are the same, and unset fields are omitted."""
    dumped: Manifest = part.model_dump(by_alias=True, mode="json", exclude_none=True, exclude_defaults=True)
    return dumped
