"""The endpoints of a registry that the operator uses, one method for each, each done once per call.

Source: OCI distribution specification 1.1: pull (manifests, blobs), push (existence, mount, monolithic
upload, manifest). Retries and limits are `conversation.py`'s.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import requests

from ftl_operator.errors import Reason, RegistryError, SpecError
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.manifest import ACCEPTED, IMAGE_MANIFEST
from ftl_operator.oci.reference import Digest, Repository, parse_digest
from ftl_operator.registry.docker_config import Credentials
from ftl_operator.registry.http import Body, Call, RegistrySettings, check, chunks, join, read
from ftl_operator.registry.retry import RequestPolicy

_ACCEPT = {"Accept": ", ".join(ACCEPTED)}
_NO_HEAD = (400, 405, 501)
_PULL = "pull"
_PUSH = "pull,push"


@dataclass(frozen=True, slots=True)
class Urls:
    """Where a repository's endpoints are; `manifests` and `blobs` end with a slash."""

    manifests: str
    blobs: str
    uploads: str


@dataclass(frozen=True, slots=True)
class RegistryApi:
    """One user's view of the registries' endpoints."""

    conversation: RequestPolicy
    credentials: Credentials
    settings: RegistrySettings
    urls: Callable[[Repository], Urls]

    def manifest_digest(self, repository: Repository, version: str) -> Digest:
        """The digest of a tag or digest, by HEAD; by GET where the registry's answer to HEAD has none.

        Raises:
            RegistryError: REFERENCE_NOT_FOUND if the repository has no such version.
        """
        where, found = _at(repository, version), ""
        call = Call("HEAD", self.urls(repository).manifests + version, _ACCEPT)
        with self._ask(call, repository, _PULL, where) as response:
            if response.status_code not in _NO_HEAD:
                check(response, self.settings, where)
                found = response.headers.get("Docker-Content-Digest", "")
        try:
            return parse_digest(found)
        except SpecError:
            raw = self.manifest(repository, version)
            return Digest(f"sha256:{hashlib.sha256(raw).hexdigest()}")

    def manifest(self, repository: Repository, version: str) -> bytes:
        """A manifest's bytes, of bounded size."""
        where = _at(repository, version)
        call = Call("GET", self.urls(repository).manifests + version, _ACCEPT)
        with self._ask(call, repository, _PULL, where) as response:
            check(response, self.settings, where)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise RegistryError(f"{where}: the host answers with a web page; is it a registry?")
            return read(response, self.settings.max_manifest_bytes, self.settings, where)

    @contextlib.contextmanager
    def blob(self, repository: Repository, digest: Digest) -> Iterator[Iterator[bytes]]:
        """A blob's bytes as they arrive, unchecked."""
        where = _at(repository, digest)
        call = Call("GET", self.urls(repository).blobs + digest)
        with self._ask(call, repository, _PULL, where) as response:
            check(response, self.settings, where)
            yield chunks(response, self.settings, where)

    def has_blob(self, repository: Repository, digest: Digest) -> bool:
        """Whether a repository has a blob."""
        where = _at(repository, digest)
        call = Call("HEAD", self.urls(repository).blobs + digest)
        with self._ask(call, repository, _PUSH, where) as response:
            if response.status_code == 404:
                return False
            check(response, self.settings, where)
            return True

    def mount(self, repository: Repository, digest: Digest, source: Repository) -> bool:
        """Take a blob over from another repository of its registry; False if the registry does not."""
        where = _at(repository, digest)
        query = urlencode({"mount": digest, "from": source.name})
        call = Call("POST", f"{self.urls(repository).uploads}?{query}", {"Content-Length": "0"})
        try:
            with self._ask(call, repository, _PUSH, where, source) as response:
                # The upload that a 202 opens instead is left to expire: the blob may not be at hand yet.
                check(response, self.settings, where, 201, 202)
                return response.status_code == 201
        except RegistryError as error:
            # These credentials may push here and not read there: others of ours may.
            if error.reason in (Reason.REGISTRY_UNAUTHORIZED, Reason.REFERENCE_NOT_FOUND):
                return False
            raise

    def upload(self, repository: Repository, descriptor: Descriptor, body: Body) -> int:
        """Upload a blob in one piece. Returns the bytes sent."""
        where = _at(repository, descriptor.digest)
        uploads = self.urls(repository).uploads
        with self._ask(Call("POST", uploads, {"Content-Length": "0"}), repository, _PUSH, where) as response:
            check(response, self.settings, where, 202)
            location = response.headers.get("Location", "")
        if not location:
            raise RegistryError(f"{where}: the registry opens an upload and does not say where")
        url = join(uploads, location)
        url += ("&" if "?" in url else "?") + urlencode({"digest": descriptor.digest})
        headers = {"Content-Type": "application/octet-stream"}
        with self._ask(Call("PUT", url, headers, body), repository, _PUSH, where) as response:
            check(response, self.settings, where, 201, 204)
        return descriptor.size

    def put_manifest(self, repository: Repository, version: str, raw: bytes) -> int:
        """Put an image manifest under a tag or its digest. Returns the bytes sent.

        Raises:
            RegistryError: DIGEST_MISMATCH if other bytes were stored, PUBLISH_FAILED if they are refused.
        """
        where = _at(repository, version)
        call = Call(
            "PUT", self.urls(repository).manifests + version, {"Content-Type": IMAGE_MANIFEST}, lambda: raw
        )
        with self._ask(call, repository, _PUSH, where) as response:
            if response.status_code in (400, 413, 415):
                text = f"{where}: the registry refuses the manifest ({response.status_code})"
                raise RegistryError(text, reason=Reason.PUBLISH_FAILED)
            check(response, self.settings, where, 200, 201, 202)
            stored = response.headers.get("Docker-Content-Digest")
        if stored and stored != f"sha256:{hashlib.sha256(raw).hexdigest()}":
            raise RegistryError(f"{where}: the registry stored {stored}", reason=Reason.DIGEST_MISMATCH)
        return len(raw)

    def _ask(
        self,
        call: Call,
        repository: Repository,
        actions: str,
        where: str,
        source: Repository | None = None,
    ) -> contextlib.AbstractContextManager[requests.Response]:
        scopes = [f"repository:{repository.name}:{actions}"]
        if source:
            scopes.append(f"repository:{source.name}:{_PULL}")
        return self.conversation.ask(call, repository, self.credentials, tuple(scopes), where)


def _at(repository: Repository, version: str) -> str:
    return f"{repository}{'@' if version.startswith('sha256:') else ':'}{version}"
