"""The metadata that every object of an FtlApp carries: labels and the owner reference, in one place. Pure."""

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
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    made = {"apiVersion": api.api_version, "kind": api.kind, "metadata": metadata, **body}
    return owned(made, owner)


def owned(made: dict[str, Any], owner: Owner) -> dict[str, Any]:
    """An object with the app's labels and, in a cluster, the owner reference that deletes it with the app."""
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
