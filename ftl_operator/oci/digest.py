"""Digests, and the canonical JSON that they are made of."""

import hashlib
import json

from ftl_operator.oci.reference import Digest


def canonical(value: object) -> str:
    """JSON text that is the same for the same value: sorted keys, no spaces, characters as they are.

    Raises:
        ValueError: The value holds a number or a character that JSON in UTF-8 cannot.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def sha256(content: bytes) -> Digest:
    """The digest of some bytes."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")
