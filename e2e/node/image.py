"""Pulls a Spin application from its registry: manifest, locked application and layers, digests checked."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from ftl_operator.errors import FtlError
from ftl_operator.oci.reference import Digest, Reference, parse_reference

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LOCKED_LAYER = "application/vnd.fermyon.spin.application.v1+config"
WASM_LAYER = "application/vnd.wasm.content.layer.v1+wasm"


class PullError(Exception):
    """Why an image cannot be used, as a pod's status says it."""


@dataclass(frozen=True, slots=True)
class SpinImage:
    """A pulled application: its manifest's digest, its locked application, and where its layers lie."""

    digest: Digest
    locked: Mapping[str, Any]
    folder: Path


class Puller:
    """Pulls images into a folder of blobs that is shared by all pods of the node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._pool = urllib3.PoolManager(retries=False)

    def pull(self, image: str, credentials: list[Mapping[str, Any]]) -> SpinImage:
        """Pull an image as the shim does.

        Args:
            image: The reference in the pod's spec.
            credentials: The parsed `.dockerconfigjson` of each image pull secret.

        Raises:
            PullError: There is no such image, the registry fails, or it is not a Spin application.
        """
        try:
            reference = parse_reference(image)
        except FtlError as error:
            raise PullError(f"invalid reference: {error.message}") from error
        headers = _authorization(reference, credentials)
        raw = self._get(reference, f"manifests/{reference.version}", {**headers, "accept": MANIFEST})
        if reference.digest and _sha256(raw) != reference.digest:
            raise PullError(f"{image}: the manifest's digest is {_sha256(raw)}")
        manifest = json.loads(raw)
        locked = None
        for layer in manifest.get("layers", []):
            path = self._blob(reference, layer["digest"], headers)
            if layer["mediaType"] == LOCKED_LAYER:
                locked = json.loads(path.read_bytes())
            elif layer["mediaType"] != WASM_LAYER and len(manifest["layers"]) > 1:
                raise PullError(f"{image}: the shim takes no layer of type {layer['mediaType']}")
        if locked is None or "spin_lock_version" not in locked:
            raise PullError(f"{image}: it has no locked Spin application")
        return SpinImage(_sha256(raw), locked, self._folder)

    def _blob(self, reference: Reference, digest: str, headers: Mapping[str, str]) -> Path:
        path = self._folder / digest.replace(":", "-")
        if not path.exists():
            data = self._get(reference, f"blobs/{digest}", headers)
            if _sha256(data) != digest:
                raise PullError(f"{reference}: a layer's bytes do not match {digest}")
            partial = path.with_suffix(f".{id(data)}")
            partial.write_bytes(data)
            partial.rename(path)
        return path

    def _get(self, reference: Reference, path: str, headers: Mapping[str, str]) -> bytes:
        repository = reference.repository
        # This registry of the tests has no TLS; a real node would be configured so for loopback.
        url = f"http://{repository.registry}/v2/{repository.name}/{path}"
        try:
            answer = self._pool.request(
                "GET", url, headers=headers, timeout=urllib3.Timeout(connect=2, read=30)
            )
        except urllib3.exceptions.HTTPError as error:
            raise PullError(f"failed to pull {reference}: {error}") from error
        if answer.status != 200:
            raise PullError(f"failed to pull {reference}: the registry answered {answer.status}")
        return answer.data


def _authorization(reference: Reference, credentials: list[Mapping[str, Any]]) -> dict[str, str]:
    for config in credentials:
        entry = config.get("auths", {}).get(reference.repository.registry)
        if entry:
            auth = (
                entry.get("auth")
                or base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
            )
            return {"authorization": f"Basic {auth}"}
    return {}


def _sha256(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
