"""The metadata that every object of an FtlApp has: labels and the owner reference. Pure."""

from collections.abc import Mapping
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.kinds import Api
from ftl_operator.api.names import Owner


def manifest(
    api: Api,
    owner: Owner,
    body: Mapping[str, Any],
    *,
    suffix: str = "",
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make an object of an app from its kind, metadata and `body`.

    Args:
        api: The kind.
        owner: The app.
        body: Everything except `apiVersion`, `kind` and `metadata`.
        suffix: Is appended to the app's name to give the object's name.
        annotations: Annotations in addition to the operator's own.
    """
    metadata: dict[str, Any] = {
        "name": f"{owner.name}{suffix}",
        "namespace": owner.namespace,
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    made = {"apiVersion": api.api_version, "kind": api.kind, "metadata": metadata, **body}
    return owned(made, owner)


def owned(made: dict[str, Any], owner: Owner) -> dict[str, Any]:
    """Add the app's labels and, in a cluster, the owner reference, which ties its deletion to the app's."""
    metadata = {**made["metadata"], "labels": owner.labels}
    if owner.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": kinds.FTL_APP.api_version,
                "kind": kinds.FTL_APP.kind,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return {**made, "metadata": metadata}
