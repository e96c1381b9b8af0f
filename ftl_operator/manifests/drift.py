"""Detects whether an object in the cluster differs from the desired manifest. Pure.

Two checks replace a dry run against the API server. The object must have the digest of the desired manifest
as an annotation; then the manifest has not changed. And it must have every value of the manifest; then nobody
has changed the object. Fields that the cluster adds are ignored.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ftl_operator.api.names import DIGEST_ANNOTATION


def stamped(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Add the manifest's digest to it as an annotation."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), DIGEST_ANNOTATION: digest}
    return {**manifest, "metadata": metadata}


def is_current(live: object, desired: object) -> bool:
    """Whether `live` has every value of `desired`, which is a stamped manifest or a part of one.

    `live` may have further keys in an object, but no further items in a list. The cluster may write
    quantities differently; the result is then False, which only costs an apply.
    """
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            is_current(live[key], value) if key in live else _is_nothing(value)
            for key, value in desired.items()
        )
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        return (
            isinstance(live, Sequence)
            and len(live) == len(desired)
            and all(is_current(mine, yours) for mine, yours in zip(live, desired, strict=True))
        )
    return type(live) is type(desired) and live == desired


def _is_nothing(value: object) -> bool:
    # Go's encoder omits empty texts, lists and objects. An omitted number or boolean is a change.
    return value is None or (not value and isinstance(value, (str, Mapping, Sequence)))
