"""The endpoints of a registry: one method each, one attempt per call.

Source: OCI distribution specification 1.1: pull (manifests, blobs), push (existence, mount, monolithic
upload, manifest), tags, referrers, deletion.

Only this module imports oras. oras' `Registry` has the endpoints and follows pages; all its requests go
through its method `do_request`. This module replaces that method, because oras' own has no time limit, reads
bodies without bounds, sleeps up to 131 seconds between attempts, and sends one token to all repositories. It
adds methods that keep a manifest's exact bytes or stream a blob. `docs/adr/0013-oras.md` has the reasons.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import oras.container
import oras.provider
import requests

from ftl_operator.errors import Reason, RegistryError, SpecError
from ftl_operator.exchange import CHUNK, Response
from ftl_operator.hosts import HttpUrl, parse_url
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.manifest import ACCEPTED, IMAGE_INDEX, IMAGE_MANIFEST
from ftl_operator.oci.reference import Digest, Repository, parse_digest
from ftl_operator.registry.bearer import TokenScope
from ftl_operator.registry.http import Body, Call, check, chunks, follow, read, refusal

if TYPE_CHECKING:
    from ftl_operator.exchange import Deadline
    from ftl_operator.registry.docker_config import Credentials
    from ftl_operator.registry.retry import RequestPolicy

_ACCEPT = {"Accept": ", ".join(ACCEPTED)}
_OCTETS = {"Content-Type": "application/octet-stream"}
_EMPTY = {"Content-Length": "0"}
_NO_HEAD = (400, 405, 501)
"""The statuses of registries and proxies that do not support HEAD for an endpoint."""
_UNTOLD = (*_NO_HEAD, 401, 403)
"""Statuses of HEAD that do not tell whether something exists. Artifactory and Docker Hub answer 401 or 403
for what does not exist yet."""
_PULL = "pull"
_PUSH = "pull,push"
_DELETE = "delete"
_MAX_TAGS = 10_000


class RegistryApi(oras.provider.Registry):  # type: ignore[misc] # oras has no types
    """One repository's endpoints, with one set of credentials, for one operation.

    Args:
        policy: Sends the requests.
        credentials: The credentials.
        repository: The repository.
        deadline: The deadline of the operation.
    """

    def __init__(
        self,
        policy: "RequestPolicy",
        credentials: "Credentials",
        repository: Repository,
        deadline: "Deadline",
    ) -> None:
        self._policy = policy
        self._home: HttpUrl = policy.settings.api(repository.registry)
        super().__init__(hostname=self._home.netloc, insecure=self._home.scheme == "http")
        self._login = credentials.find(repository)
        self._repository = repository
        self._deadline = deadline
        # Set the parts, because oras' parser would take a path's first part with a dot for a registry.
        self.container = oras.container.Container("repository", registry=self._home.netloc)
        self.container.namespace, _, self.container.repository = repository.name.rpartition("/")

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,  # noqa: ARG002 - oras' own signature; nothing here sends JSON
        stream: bool = False,  # noqa: FBT001 - oras' own signature
    ) -> requests.Response:
        """Send one of oras' requests within our bounds, once.

        Args:
            url: The URL. A link to the next page is checked like a redirect.
            method: In capitals; it determines the token's scope.
            data: The body.
            headers: Without the authorization.
            json: Not used.
            stream: Whether the caller reads the body and closes the response; else the body, of bounded size,
                is
                read here.

        Raises:
            RegistryError: There is no answer or no authorization.
        """
        version = url.rpartition("/")[2]
        where = self._at(version) if version.startswith("sha256:") else str(self._repository)
        call = Call(method, parse_url(url), self._home, headers or {}, (lambda: data) if data else None)
        stack = contextlib.ExitStack()
        answer = requests.Response()
        with stack:
            response = stack.enter_context(self._ask(call, _actions(method), where))
            answer.status_code, answer.url = response.status, url
            answer.headers.update(response.headers)
            settings = self._policy.settings
            if stream and response.status == 200:
                answer.raw = _Body(chunks(response, settings.max_blob_bytes, where), stack.pop_all())
            else:
                answer.raw = io.BytesIO(read(response, settings.max_manifest_bytes, where))
        return answer

    def manifest_digest(self, version: str, *, pushing: bool = False) -> Digest:
        """The digest of a tag or digest, by HEAD, or by GET if the registry's answer to HEAD has none.

        Args:
            version: A tag or a digest.
            pushing: Whether to ask for a token with the right to push, so that a later push needs no other.

        Raises:
            RegistryError: REFERENCE_NOT_FOUND if the repository has no such version.
        """
        where, found = self._at(version), ""
        call = Call("HEAD", self._url(self.container.manifest_url(version)), self._home, _ACCEPT)
        with self._ask(call, _PUSH if pushing else _PULL, where) as response:
            if response.status not in _NO_HEAD:
                check(response, where)
                found = response.headers.get("Docker-Content-Digest", "")
        try:
            return parse_digest(found)
        except SpecError:
            raw = self.manifest(version)
            return Digest(f"sha256:{hashlib.sha256(raw).hexdigest()}")

    def manifest(self, version: str) -> bytes:
        """Read a manifest's bytes, of bounded size."""
        where = self._at(version)
        call = Call("GET", self._url(self.container.manifest_url(version)), self._home, _ACCEPT)
        with self._ask(call, _PULL, where) as response:
            check(response, where)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise RegistryError(f"{where}: the host answers with a web page; is it a registry?")
            return read(response, self._policy.settings.max_manifest_bytes, where)

    @contextlib.contextmanager
    def blob(self, digest: Digest) -> Iterator[Iterator[bytes]]:
        """A blob's bytes as they arrive; the digest is not checked here."""
        with contextlib.closing(self.get_blob(self.container, digest, stream=True)) as response:
            self._check_200_response(response)
            yield response.iter_content(CHUNK)

    def has_blob(self, digest: Digest) -> bool | None:
        """Whether the target repository has a blob; None if the registry does not say."""
        where = self._at(digest)
        call = Call("HEAD", self._url(self.container.get_blob_url(digest)), self._home)
        with self._ask(call, _PUSH, where) as response:
            if response.status in (200, 404):
                return response.status == 200
            if response.status not in _UNTOLD:
                check(response, where)
            return None

    def mount(self, digest: Digest, source: Repository) -> bool:
        """Mount a blob from another repository of the registry. Returns False if the registry refuses."""
        where = self._at(digest)
        query = urlencode({"mount": digest, "from": source.name})
        url = self._url(f"{self.container.upload_blob_url()}?{query}")
        try:
            with self._ask(Call("POST", url, self._home, _EMPTY), _PUSH, where, source) as response:
                # A 202 opens an upload instead. It is left to expire, because the blob may not be local yet.
                check(response, where, 201, 202)
                return response.status == 201
        except RegistryError as error:
            # These credentials may lack the right to read the source, which the pull credentials may have.
            if error.reason in (Reason.REGISTRY_UNAUTHORIZED, Reason.REFERENCE_NOT_FOUND):
                return False
            raise

    def upload(self, descriptor: Descriptor, body: Body) -> int:
        """Upload a blob in one piece. Returns the bytes sent."""
        where = self._at(descriptor.digest)
        uploads = self._url(self.container.upload_blob_url())
        with self._ask(Call("POST", uploads, self._home, _EMPTY), _PUSH, where) as response:
            check(response, where, 202)
            location = response.headers.get("Location", "")
        if not location:
            raise RegistryError(f"{where}: the registry opens an upload and does not say where")
        url = follow(uploads, location, where)
        query = urlencode({"digest": descriptor.digest})
        url = url.with_target(f"{url.target}{'&' if '?' in url.target else '?'}{query}")
        with self._ask(Call("PUT", url, self._home, _OCTETS, body), _PUSH, where) as response:
            check(response, where, 201, 204)
        return descriptor.size

    def put_manifest(self, version: str, raw: bytes) -> int:
        """Put an image manifest under a tag or its digest. Returns the bytes sent.

        Raises:
            RegistryError: DIGEST_MISMATCH if other bytes were stored, PUBLISH_FAILED if they are refused.
        """
        where = self._at(version)
        headers = {"Content-Type": IMAGE_MANIFEST}
        url = self._url(self.container.manifest_url(version))
        with self._ask(Call("PUT", url, self._home, headers, lambda: raw), _PUSH, where) as response:
            if response.status in (400, 413, 415):
                text = f"{where}: the registry refuses the manifest ({response.status})"
                raise RegistryError(text, reason=Reason.PUBLISH_FAILED)
            check(response, where, 200, 201, 202)
            stored = response.headers.get("Docker-Content-Digest")
        if stored and stored != f"sha256:{hashlib.sha256(raw).hexdigest()}":
            raise RegistryError(f"{where}: the registry stored {stored[:100]}", reason=Reason.DIGEST_MISMATCH)
        return len(raw)

    def tags(self) -> tuple[str, ...]:
        """The repository's tags, as the registry sorts them; at most ten thousand."""
        return tuple(str(tag) for tag in self.get_tags(self.container, _MAX_TAGS))

    def referrers(self, digest: Digest) -> bytes:
        """The image index of a manifest's referrers: signatures, attestations and the like.

        Raises:
            RegistryError: REFERENCE_NOT_FOUND if the registry does not have this endpoint.
        """
        where = self._at(digest)
        url = self._home.with_target(f"/v2/{self._repository.name}/referrers/{digest}")
        with self._ask(Call("GET", url, self._home, {"Accept": IMAGE_INDEX}), _PULL, where) as response:
            check(response, where)
            return read(response, self._policy.settings.max_manifest_bytes, where)

    def delete(self, digest: Digest) -> None:
        """Delete a manifest. Raises RegistryError if the registry refuses."""
        where = self._at(digest)
        url = self._url(self.container.manifest_url(digest))
        with self._ask(Call("DELETE", url, self._home), _DELETE, where) as response:
            check(response, where, 200, 202)

    def _ask(
        self, call: Call, actions: str, where: str, source: Repository | None = None
    ) -> contextlib.AbstractContextManager[Response]:
        scopes = [f"repository:{self._repository.name}:{actions}"]
        if source:
            scopes.append(f"repository:{source.name}:{_PULL}")
        scope = TokenScope(self._repository.registry, self._login, tuple(scopes))
        return self._policy.ask(call, scope, self._deadline, where)

    def _url(self, text: str) -> HttpUrl:
        return parse_url(f"{self.prefix}://{text}")

    def _at(self, version: str) -> str:
        return f"{self._repository}{'@' if version.startswith('sha256:') else ':'}{version}"

    def _check_200_response(self, response: requests.Response) -> None:
        """Check a status; oras calls this after its requests. Raises RegistryError without a URL."""
        if response.status_code not in (200, 201, 202):
            raise refusal(response.status_code, response.headers, response.content, str(self._repository))


class _Body(io.RawIOBase):
    """A streamed response body; closing it ends the exchange."""

    def __init__(self, body: Iterator[bytes], exchange: contextlib.ExitStack) -> None:
        self._body = body
        self._exchange = exchange

    def read(self, size: int = -1) -> bytes:
        """The bytes that have arrived, whatever `size` is."""
        del size
        return next(self._body, b"")

    def close(self) -> None:
        """End the exchange; the unread rest is dropped."""
        self._exchange.close()
        super().close()

    release_conn = close
    """The name that requests calls when it has read everything."""


def _actions(method: str) -> str:
    if method == "DELETE":
        return _DELETE
    return _PULL if method in ("GET", "HEAD") else _PUSH
