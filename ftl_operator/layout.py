"""The edge to the local disk: an application as an OCI image layout, which `up` publishes to and serves from.

Source: OCI image specification 1.1, "Image Layout". Any tool that reads such a folder (`oras`, `crane`,
`skopeo`) can push it to a registry, with the same digest.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftl_operator.image import LOCKED_TYPE, MANIFEST_TYPE, Layer, OciImage, canonical, sha256
from ftl_operator.refs import Digest

_REF_NAME = "org.opencontainers.image.ref.name"


class Layout:
    """An OCI image layout in a folder.

    Args:
        directory: The folder; made when something is published.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def publish(self, image: OciImage, files: Mapping[Digest, Path], name: str) -> bool:
        """Write an image, under a name, in place of what had that name before.

        Args:
            image: The image.
            files: Where the bytes of each layer are.
            name: The name, as `org.opencontainers.image.ref.name` in the index.

        Returns:
            Whether anything changed.
        """
        for content in (image.config, image.locked, image.manifest):
            self._write(self._path(sha256(content)), content)
        for layer in image.layers:
            self._take(layer, files[layer.descriptor.digest])
        entry = {
            "mediaType": MANIFEST_TYPE,
            "digest": image.digest,
            "size": len(image.manifest),
            "annotations": {_REF_NAME: name},
        }
        index = canonical({"schemaVersion": 2, "manifests": [entry]}).encode()
        self._write(self.directory / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        # The index last: a reader finds the old image or the new one, never half of one.
        return self._write(self.directory / "index.json", index)

    def application(self) -> dict[str, Any]:
        """The locked application of the published image, read from the layout's own blobs."""
        index = json.loads((self.directory / "index.json").read_bytes())
        manifest = json.loads(self.blob(index["manifests"][0]["digest"]).read_bytes())
        locked = next(layer for layer in manifest["layers"] if layer["mediaType"] == LOCKED_TYPE)
        document: dict[str, Any] = json.loads(self.blob(locked["digest"]).read_bytes())
        return document

    def blob(self, digest: Digest) -> Path:
        """The file of a blob."""
        return self._path(digest)

    def _path(self, digest: Digest) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self.directory / "blobs" / algorithm / encoded

    def _take(self, layer: Layer, file: Path) -> None:
        path = self._path(layer.descriptor.digest)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            copy = Path(folder) / "blob"
            # A copy and no link: a file that is built anew in place must not change what runs.
            shutil.copyfile(file, copy)
            copy.replace(path)

    def _write(self, path: Path, content: bytes) -> bool:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)  # noqa: PTH105 - the name is a text
        return True
