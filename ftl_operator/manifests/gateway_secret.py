"""A new Secret for a gateway: a key that seals its store, and the word of the operator's deep probe."""

import secrets
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.names import PROBE_WORD_KEY, SEALING_KEY_KEY


def new_gateway_secret(namespace: str, name: str) -> dict[str, Any]:
    """A Secret with two new random texts of 256 bits each; it belongs to nobody yet."""
    return {
        "apiVersion": kinds.SECRET.api_version,
        "kind": kinds.SECRET.kind,
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {key: secrets.token_hex(32) for key in (SEALING_KEY_KEY, PROBE_WORD_KEY)},
    }
