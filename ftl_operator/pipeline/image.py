"""Makes the OCI image of a composed application. The same inputs give the same bytes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.image import CONFIG_TYPE, DIGEST_LABEL, LOCKED_TYPE, OciImage, _descriptor

if TYPE_CHECKING:
    from ftl_operator.pipeline.compose import LockedApp


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


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _annotations(metadata: Mapping[str, str]) -> dict[str, str]:
    titles = {"name": "title", "version": "version", "description": "description"}
    return {f"org.opencontainers.image.{titles[key]}": metadata[key] for key in titles if metadata.get(key)}
