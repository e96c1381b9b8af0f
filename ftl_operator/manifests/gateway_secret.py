"""Makes the Secret of a gateway: the key that seals its store, and the probe word. Not pure: it is random."""

import secrets
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.names import PROBE_WORD_KEY, SEALING_KEY_KEY


def new_gateway_secret(namespace: str, name: str) -> dict[str, Any]:
    """Make a Secret with two random values of 256 bits each; it has no owner yet."""
    return {
        "apiVersion": kinds.SECRET.api_version,
        "kind": kinds.SECRET.kind,
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {key: secrets.token_hex(32) for key in (SEALING_KEY_KEY, PROBE_WORD_KEY)},
    }
