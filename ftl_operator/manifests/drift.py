"""Whether an object in the cluster still is what was applied. Pure.

Two questions together replace a dry run against the API server: does the object carry the digest of the very
manifest that is desired now (then nothing was meant to be added or removed), and does it still hold every
value of that manifest (then nobody changed one). What the cluster adds by itself is not looked at.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ftl_operator.api.names import DIGEST_ANNOTATION


def stamped(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its own digest as an annotation."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), DIGEST_ANNOTATION: digest}
    return {**manifest, "metadata": metadata}


def is_current(live: object, desired: object) -> bool:
    """Whether `live` has everything that `desired`, a stamped manifest or a part of one, says.

    More keys in an object are fine, more items in a list are not. Quantities and the like may be written
    otherwise by the cluster; then the answer is a harmless False.
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
    # Go's encoder drops these; a dropped number or boolean is a change.
    return value is None or (not value and isinstance(value, (str, Mapping, Sequence)))
