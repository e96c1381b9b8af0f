"""A component with the catalog of its tools as an artifact. Pure.

The manifest is that of a plain Wasm package: the configuration and one `application/wasm` layer, as `wkg`
pushes them, so that whatever reads such packages reads this one too. The catalog is an annotation of the
layer. The time of creation is a constant, so that the same input gives the same digest.
"""

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import CATALOG_ANNOTATION, Layer
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.manifest import IMAGE_MANIFEST

MAX_CATALOG_BYTES = 1 << 20
"""Registries take manifests of at most 4 MiB, and the catalog is a part of one."""

_CONFIG = "application/vnd.wasm.config.v0+json"


def package_image(layer: Layer, catalog: str) -> OciImage:
    """Lay out a component and its catalog.

    Args:
        layer: The component.
        catalog: The JSON array of its tools.

    Raises:
        SpecError: The catalog is too long.
    """
    size = len(catalog.encode())
    if size > MAX_CATALOG_BYTES:
        text = f"the catalog has {size} bytes, more than the {MAX_CATALOG_BYTES} that are packaged"
        raise SpecError(text, reason=Reason.TOO_LARGE)
    item = layer.descriptor
    config = canonical(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [item.digest],
        }
    ).encode()
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": [
                {
                    "mediaType": item.media_type,
                    "digest": item.digest,
                    "size": item.size,
                    "annotations": {CATALOG_ANNOTATION: catalog},
                }
            ],
        }
    ).encode()
    return OciImage(manifest, sha256(manifest), config, b"", (layer,))
