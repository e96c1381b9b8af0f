"""Digests, and the canonical JSON that they are computed from."""

import hashlib
import json

from ftl_operator.oci.reference import Digest


def canonical(value: object) -> str:
    """Write canonical JSON, the same text for the same value: sorted keys, no spaces, no escaped characters.

    Raises:
        ValueError: The value has a number or a character that JSON in UTF-8 cannot express.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def sha256(content: bytes) -> Digest:
    """The digest of some bytes."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")
