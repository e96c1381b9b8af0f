"""A container's environment variables, resolved as the kubelet does."""

import base64
import re
from collections.abc import Callable
from typing import Any

from e2e.cluster.api import Object


class ConfigError(Exception):
    """A Secret, ConfigMap or key that a container needs does not exist."""


Fetch = Callable[[str, str], Object | None]
"""(kind, name) → the Secret or ConfigMap of the pod's namespace, or None."""


def environment(pod: Object, container: Object, address: str, fetch: Fetch) -> dict[str, str]:
    """The variables of a container. Raises ConfigError as `CreateContainerConfigError` would say it."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        for kind, key in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            if reference := source.get(key):
                found = _data(kind, reference, fetch)
                values.update({source.get("prefix", "") + name: value for name, value in found.items()})
    for entry in container.get("env", []):
        value = _value(pod, entry, address, fetch)
        if value is not None:
            values[entry["name"]] = _expand(value, values)
    return values


def _value(pod: Object, entry: Object, address: str, fetch: Fetch) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return entry.get("value", "")
    if field := source.get("fieldRef"):
        return _field(pod, field["fieldPath"], address)
    for kind, key in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
        if reference := source.get(key):
            data = _data(kind, reference, fetch)
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    raise ConfigError(f"this node cannot take {entry['name']} from {', '.join(source)}")


def _data(kind: str, reference: Object, fetch: Fetch) -> dict[str, str]:
    found = fetch(kind, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    data = found.get("data") or {}
    if kind == "ConfigMap":
        return dict(data)
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def _field(pod: Object, path: str, address: str) -> str:
    if path in ("status.podIP", "status.hostIP"):
        return address
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {}) if isinstance(value, dict) else {}
    return str(value or "")


def _expand(value: str, known: dict[str, str]) -> str:
    """`$(NAME)` of an earlier variable is replaced, `$$(NAME)` escapes it, an unknown one stays."""
    return re.sub(
        r"\$(\$?)\(([A-Za-z_][A-Za-z0-9_.-]*)\)",
        lambda match: f"$({match[2]})" if match[1] else known.get(match[2], match[0]),
        value,
    )
