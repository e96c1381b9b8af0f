"""The published image: a Spin application as `spin registry push` lays it out, to the byte. Pure.

Sources: spinframework/spin, `crates/oci` (client and loader), and spinframework/containerd-shim-spin. The
    image
meets the rules of both: a plain image manifest, the locked application as its last layer, and its digest as a
label of the configuration; without the label, container runtimes would give every application the same image
id. There is no time of creation, so that the same application always gives the same image.
"""

from dataclasses import dataclass

from ftl_operator.oci.descriptor import Descriptor, Layer
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.reference import Digest

__all__ = ["OciImage"]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LOCKED_TYPE = "application/vnd.fermyon.spin.application.v1+config"
DIGEST_LABEL = "com.fermyon.spin.lockedAppDigest"


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image with its digest, before it is pushed.

    Args:
        manifest: The manifest's bytes.
        digest: The manifest's digest, which is the image's.
        config: The configuration's bytes.
        locked: The locked application's bytes, the last layer; empty for an artifact that is no application.
        layers: All other layers, in order, each once.
    """

    manifest: bytes
    digest: Digest
    config: bytes
    locked: bytes
    layers: tuple[Layer, ...]


def _descriptor(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, sha256(content), len(content))
