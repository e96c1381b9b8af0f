"""The Secrets and ConfigMaps that an app reads from its namespace, and digests that detect changes. Pure."""

import hmac
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftl_operator.api.login import LOGIN_SECRET_SUFFIX

Source = tuple[str, str]
"""Kind (`Secret` or `ConfigMap`) and name of something an app reads from its namespace."""


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """A Secret or ConfigMap: which keys it has, and a digest that changes with their values.

    The digest is keyed by the object's uid and shortened: who may read pods but not Secrets learns that a
    value changed, but not the value.
    """

    digest: str
    keys: tuple[str, ...]


def sources_of(spec: object) -> Iterator[Source]:
    """Every Secret and ConfigMap that a spec names at any depth, found by Kubernetes' field names."""
    if isinstance(spec, Mapping):
        for field, value in spec.items():
            if field in ("secretKeyRef", "secretRef", "secret") and isinstance(value, Mapping):
                yield "Secret", str(value.get("name", ""))
            elif field in ("configMapKeyRef", "configMap") and isinstance(value, Mapping):
                yield "ConfigMap", str(value.get("name", ""))
            elif field == "loadFromSecret" and value:
                yield "Secret", str(value)
            elif field == "imagePullSecrets" and isinstance(value, list):
                for item in value:
                    yield "Secret", str(item.get("name", "") if isinstance(item, Mapping) else item)
            else:
                yield from sources_of(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from sources_of(value)


def implied_sources(app: Mapping[str, Any]) -> Iterator[Source]:
    """The Secret with the keys of an FtlApp's login, if its spec does not name one."""
    auth = (app.get("spec") or {}).get("auth") or {}
    login = auth.get("login")
    if isinstance(login, Mapping) and "secretRef" not in login:
        yield "Secret", f"{app['metadata']['name']}{LOGIN_SECRET_SUFFIX}"


def secret_version(body: Mapping[str, Any]) -> SecretVersion:
    """Reduce a Secret or ConfigMap to its keys and digest."""
    values = {**(body.get("data") or {}), **(body.get("binaryData") or {})}
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    digest = hmac.digest(str(body["metadata"].get("uid", "")).encode(), canonical, "sha256")
    return SecretVersion(digest.hex()[:16], tuple(sorted(map(sys.intern, values))))
