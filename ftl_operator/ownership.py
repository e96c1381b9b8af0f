"""The metadata that every object of an FtlApp carries: labels and the owner reference, in one place. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftl_operator import apis
from ftl_operator.apis import Api
from ftl_operator.model_network import INTERCEPTOR_SUFFIX

MANAGED_BY = "ftl-operator"
SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Chooses everything the operator applied; what the watches ask the API server for."""

POD_LABEL = "core.spinkube.dev/app-name"
"""spin-operator's label on an app's pods, Deployment and Service, with the SpinApp's name as its value."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The FtlApp, as its objects refer to it. `uid` is empty where there is no cluster (`render`)."""

    namespace: str
    name: str
    uid: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The recommended labels of Kubernetes for this app."""
        return {
            "app.kubernetes.io/name": "ftl-app",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": "mcp-server",
            "app.kubernetes.io/part-of": self.name,
            "app.kubernetes.io/managed-by": MANAGED_BY,
        }

    @property
    def pod_selector(self) -> dict[str, str]:
        """Labels that choose exactly this app's pods."""
        return {POD_LABEL: self.name}

    @property
    def host(self) -> str:
        """The name of the app's Service in the cluster."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def interceptor_name(self) -> str:
        """The app's Service that leads to the interceptor of KEDA's HTTP add-on."""
        return f"{self.name}{INTERCEPTOR_SUFFIX}"

    @property
    def interceptor_host(self) -> str:
        """The name of that Service in the cluster."""
        return f"{self.interceptor_name}.{self.namespace}.svc"


def manifest(
    api: Api,
    owner: Owner,
    body: Mapping[str, Any],
    *,
    suffix: str = "",
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An object of the app's: its kind, its metadata, and then `body`.

    Args:
        api: The kind.
        owner: Whose it is.
        body: Everything beside `apiVersion`, `kind` and `metadata`.
        suffix: Follows the app's name in the object's name; without it the name is the app's.
        annotations: Annotations besides the operator's own.
    """
    metadata: dict[str, Any] = {
        "name": f"{owner.name}{suffix}",
        "namespace": owner.namespace,
        "labels": owner.labels,
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": apis.FTL_APP.api_version,
                "kind": apis.FTL_APP.kind,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return {"apiVersion": api.api_version, "kind": api.kind, "metadata": metadata, **body}
