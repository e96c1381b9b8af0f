"""An OCI image layout on the local disk, which `up` publishes to and serves from.

Source: OCI image specification 1.1, "Image Layout". Any tool that reads such a folder (`oras`, `crane`,
`skopeo`) can push it to a registry, with the same digest.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import Layer
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.image import LOCKED_TYPE, MANIFEST_TYPE, OciImage
from ftl_operator.oci.reference import Digest

KEPT_SECONDS = 24 * 3600.0
"""How long a blob is kept after its last use by an image that is not the newest."""

_REF_NAME = "org.opencontainers.image.ref.name"


class Layout:
    """An OCI image layout in a folder.

    Args:
        directory: The folder; created when something is published.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def publish(self, image: OciImage, files: Mapping[Digest, Path], name: str) -> bool:
        """Write an image under a name, in place of an earlier image of that name.

        Args:
            image: The image.
            files: The file of each layer.
            name: The name (`org.opencontainers.image.ref.name` in the index).

        Returns:
            Whether anything changed.

        Raises:
            SpecError: A file does not match its digest.
        """
        for content in filter(None, (image.config, image.locked, image.manifest)):
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
        # The index is written last, so that a reader finds either the old or the new image.
        changed = self._write(self.directory / "index.json", index)
        self._forget_old(image)
        return changed

    def archive(self, path: Path) -> None:
        """Write the layout as one tar file, the same bytes for the same content."""
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            written = Path(folder) / "archive"
            with tarfile.open(written, "w", format=tarfile.PAX_FORMAT) as archive:
                for file in sorted(self.directory.rglob("*")):
                    if file.is_file():
                        entry = tarfile.TarInfo(str(file.relative_to(self.directory)))
                        entry.size = file.stat().st_size
                        with file.open("rb") as content:
                            archive.addfile(entry, content)
            written.replace(path)

    def application(self, digest: Digest) -> dict[str, Any]:
        """The locked application of a published image, read from the layout's own blobs.

        It takes a digest and not a name, because another process may publish under the name at any moment.
        """
        manifest = json.loads(self.blob(digest).read_bytes())
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
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            copy = Path(folder) / "blob"
            # A copy instead of a link: a build that overwrites the file must not change what runs.
            shutil.copyfile(file, copy)
            with copy.open("rb") as copied:
                found = f"sha256:{hashlib.file_digest(copied, 'sha256').hexdigest()}"
            if found != layer.descriptor.digest:
                raise SpecError(f"{file} changed while it was read; try again", reason=Reason.DIGEST_MISMATCH)
            copy.replace(path)

    def _forget_old(self, image: OciImage) -> None:
        """Remove blobs that no image needs and that were not used for a day: every build leaves a blob."""
        kept = {image.digest, sha256(image.config), sha256(image.locked)}
        kept |= {layer.descriptor.digest for layer in image.layers}
        oldest = time.time() - KEPT_SECONDS
        for path in (self.directory / "blobs" / "sha256").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if f"sha256:{path.name}" not in kept and path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()

    def _write(self, path: Path, content: bytes) -> bool:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                os.utime(path)
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)  # noqa: PTH105 - the name is a text
        return True
