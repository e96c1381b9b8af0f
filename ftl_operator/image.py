"""The published image: a Spin application as `spin registry push` lays it out, to the byte. Pure.

Source: spinframework/spin, `crates/oci` (client and loader), and spinframework/containerd-shim-spin, whose
rules both hold: a plain image manifest, the locked application as its last layer, and its digest as a label
of the configuration, without which container runtimes would give every application the same image id. The
time of creation is left out, for with it no push could be repeated.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftl_operator.refs import Digest
from ftl_operator.resolve import Descriptor, Layer

if TYPE_CHECKING:
    from ftl_operator.compose import LockedApp

__all__ = ["Layer", "OciImage", "build_image", "canonical", "sha256"]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LOCKED_TYPE = "application/vnd.fermyon.spin.application.v1+config"
DIGEST_LABEL = "com.fermyon.spin.lockedAppDigest"


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image whose digest is known before anything of it is pushed.

    Args:
        manifest: The manifest's bytes.
        digest: The manifest's digest, which is the image's.
        config: The configuration's bytes.
        locked: The locked application's bytes, the last layer.
        layers: All other layers, in order, each once.
    """

    manifest: bytes
    digest: Digest
    config: bytes
    locked: bytes
    layers: tuple[Layer, ...]


def build_image(locked: "LockedApp") -> OciImage:
    """Lay out a locked application as an image. The same application gives the same bytes."""
    application = locked.to_bytes()
    label = {DIGEST_LABEL: sha256(application)}
    config = canonical(
        {
            "architecture": "wasm",
            "os": "Wasip1",
            "config": {"Labels": label},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    ).encode()
    layers = tuple({layer.descriptor.digest: layer for layer in reversed(locked.layers)}.values())[::-1]
    listed = [layer.descriptor for layer in layers]
    manifest = canonical(
        {
            "schemaVersion": 2,
            "config": _described(_descriptor(CONFIG_TYPE, config)),
            "layers": [_described(item) for item in (*listed, _descriptor(LOCKED_TYPE, application))],
            "annotations": _annotations(locked.document["metadata"]),
        }
    ).encode()
    return OciImage(manifest, sha256(manifest), config, application, layers)


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


def _descriptor(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, sha256(content), len(content))


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _annotations(metadata: Mapping[str, str]) -> dict[str, str]:
    titles = {"name": "title", "version": "version", "description": "description"}
    return {f"org.opencontainers.image.{titles[key]}": metadata[key] for key in titles if metadata.get(key)}
