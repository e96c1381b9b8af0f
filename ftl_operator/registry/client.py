"""The client of OCI registries: resolve a reference, choose a component, read blobs, push an application.

The blob cache does not replace authorization. A cached blob is returned only to credentials with which the
registry recently gave access to the same digest in the same repository, and only if that repository sent the
bytes.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.exchange import Deadline
from ftl_operator.keyed_lock import KeyedLock
from ftl_operator.oci import manifest as oci_manifest
from ftl_operator.oci.blob_cache import BlobCache
from ftl_operator.oci.descriptor import Artifact, Descriptor
from ftl_operator.oci.reference import Digest, Reference, Repository
from ftl_operator.registry.docker_config import Credentials, Login
from ftl_operator.registry.endpoints import RegistryApi
from ftl_operator.registry.http import Body, RegistrySettings
from ftl_operator.registry.retry import RequestPolicy

if TYPE_CHECKING:
    from ftl_operator.oci.descriptor import Layer
    from ftl_operator.oci.image import OciImage

__all__ = ["PublishedApp", "Registry", "RegistrySettings"]

ACCESS_SECONDS = 3600.0
"""How long a proven access of credentials to a digest in a repository stays valid."""
MAX_REMEMBERED = 16_384
MAX_CANDIDATES = 8
"""How many manifests of an index are read to find the one that holds WebAssembly."""

_NO_CANDIDATE = (Reason.REFERENCE_NOT_FOUND, Reason.UNSUPPORTED_ARTIFACT)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PublishedApp:
    """An application in a registry. `pushed` is false when it was there already."""

    reference: Reference
    pushed: bool
    uploaded_bytes: int


class AccessMemory:
    """Remembers which credentials can access which digests. Safe to use from several threads; bounded.

    `given` are the blobs that a repository sent: they distinguish a registry that has the bytes from one that
    only claims to. `reached` are the digests that credentials could access, with the time of expiry.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[Repository, Digest], None] = {}
        self._reached: dict[tuple[Login | None, Repository, Digest], float] = {}
        self._lock = threading.Lock()

    def note_given(self, repository: Repository, digest: Digest) -> None:
        """Remember that the repository sent the bytes."""
        with self._lock:
            self._given.pop((repository, digest), None)
            self._given[repository, digest] = None
            if len(self._given) > MAX_REMEMBERED:
                del self._given[next(iter(self._given))]

    def note_reached(self, login: Login | None, repository: Repository, digest: Digest) -> None:
        """Remember that the registry gave these credentials access to the digest."""
        with self._lock:
            self._reached.pop((login, repository, digest), None)
            self._reached[login, repository, digest] = time.monotonic() + ACCESS_SECONDS
            if len(self._reached) > MAX_REMEMBERED:
                del self._reached[next(iter(self._reached))]

    def was_given(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has sent the bytes."""
        with self._lock:
            return (repository, digest) in self._given

    def is_reached(self, login: Login | None, repository: Repository, digest: Digest) -> bool:
        """Whether the registry recently gave these credentials access to the digest."""
        with self._lock:
            return self._reached.get((login, repository, digest), 0.0) > time.monotonic()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What `Registry` objects of different credentials share."""

    policy: RequestPolicy
    blobs: BlobCache
    memory: AccessMemory = field(default_factory=AccessMemory)
    turns: KeyedLock = field(default_factory=KeyedLock)


class Registry:
    """Registries, with one set of credentials. Safe to use from several threads; every call blocks.

    Errors: SpecError if the settings do not allow a registry; ComponentError if an artifact has no component
        to
    choose or is too large; RegistryError for everything else, with the reason. No message has a credential.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        credentials: Credentials | None = None,
        *,
        reading: Credentials | None = None,
        shared: "_Shared | None" = None,
    ) -> None:
        self._settings = settings
        self._credentials = credentials or Credentials()
        self._reading = reading
        self._shared = shared or _Shared(
            RequestPolicy(settings), BlobCache(settings.cache_dir, settings.cache_bytes)
        )

    def with_credentials(self, credentials: Credentials, reading: Credentials | None = None) -> "Registry":
        """The same registries, cache, tokens and limits, with other credentials.

        Args:
            credentials: The credentials for all operations.
            reading: The credentials with which `push` reads the sources of layers; None means the same.
        """
        return Registry(self._settings, credentials, reading=reading, shared=self._shared)

    def digest(self, reference: Reference) -> Digest:
        """The present digest of a reference, by one HEAD request.

        A reference with a digest needs the request too: it proves that the digest exists and that these
        credentials can access it, before the cache is used.
        """
        repository = reference.repository

        def resolve(api: RegistryApi) -> Digest:
            digest = api.manifest_digest(reference.version)
            if reference.digest and digest != reference.digest:
                text = f"{reference}: the registry has {digest} there"
                raise RegistryError(text, reason=Reason.DIGEST_MISMATCH)
            return digest

        digest = self._run(repository, "resolve", resolve)
        self._shared.memory.note_reached(self._credentials.find(repository), repository, digest)
        return digest

    def artifact(self, reference: Reference, component: str | None = None) -> Artifact:
        """Find the component's layer in the artifact of a pinned reference; manifests are cached by digest.

        Args:
            reference: A reference with a digest; one without is resolved first.
            component: Chooses among several components: the component id in a Spin application, else a
                layer's
                title or digest.
        """
        where, repository = str(reference), reference.repository
        digest = reference.digest or self.digest(reference)
        manifest = oci_manifest.parse_manifest(self._manifest(repository, digest), where)
        if isinstance(manifest, oci_manifest.Index):
            manifest = self._manifest_of(manifest, repository, where)
        component_id = None
        if application := manifest.application:
            _bound(application, self._settings.max_manifest_bytes, where)
            self._note_listed(repository, application.digest)
            locked = self.blob(repository, application).read_bytes()
            component_id, layer = oci_manifest.choose_component(locked, manifest, component, where)
        else:
            layer = oci_manifest.choose_layer(manifest, component, where)
        _bound(layer, self._settings.max_blob_bytes, where)
        self._note_listed(repository, layer.digest)
        return Artifact(reference, digest, layer, component_id, manifest.catalog_of(layer.digest))

    def blob(self, repository: Repository, descriptor: Descriptor) -> Path:
        """A blob as a cached file, of bounded size and with a checked digest; it is downloaded if absent."""
        where = f"{repository}@{descriptor.digest}"
        _bound(descriptor, self._settings.max_blob_bytes, where)
        if self._may_reach(repository, descriptor.digest) and (
            path := self._shared.blobs.find(repository, descriptor)
        ):
            self._shared.memory.note_given(repository, descriptor.digest)
            return path

        def download(api: RegistryApi) -> Path:
            with api.blob(descriptor.digest) as content:
                return self._shared.blobs.store(repository, descriptor, content, where)

        with self._shared.turns.hold((repository, descriptor.digest)):
            path = self._shared.blobs.find(repository, descriptor)
            if path is None or not self._may_reach(repository, descriptor.digest):
                path = self._run(repository, "blob", download, lambda _: descriptor.size, descriptor.size)
                self._note_read(repository, descriptor.digest)
            return path

    def is_proven(self, repository: Repository, digest: Digest) -> bool:
        """Whether these credentials have proven access to a blob; cached results about it need that.

        True if the repository has sent the bytes and recently gave these credentials access. `blob` makes it
        true, or fails.
        """
        return self._shared.memory.was_given(repository, digest) and self._shared.memory.is_reached(
            self._credentials.find(repository), repository, digest
        )

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """The repository's tags, as the registry sorts them; at most ten thousand."""
        return self._run(repository, "tags", RegistryApi.tags)

    def referrers(self, repository: Repository, digest: Digest) -> bytes:
        """The image index of a manifest's referrers: signatures, attestations and the like."""
        return self._run(repository, "referrers", lambda api: api.referrers(digest), len)

    def delete(self, repository: Repository, digest: Digest) -> None:
        """Delete a manifest by its digest, with the tags that point to it."""
        self._run(repository, "delete", lambda api: api.delete(digest))

    def push(self, image: "OciImage", target: Reference) -> PublishedApp:
        """Publish an application under `target`'s tag, or by its digest if there is no tag.

        Blobs that the repository has are not uploaded; layers from other repositories of its registry are
        mounted.
        """
        repository = target.repository
        published = replace(target, digest=image.digest)
        if self._has_version(repository, target.tag or image.digest, image.digest):
            return PublishedApp(published, pushed=False, uploaded_bytes=0)
        try:
            uploaded = 0
            if not target.tag or not self._has_version(repository, image.digest, image.digest):
                uploaded = self._provide_all(repository, image)
            uploaded += self._run(
                repository,
                "publish",
                lambda api: api.put_manifest(target.tag or image.digest, image.manifest),
                lambda sent: sent,
            )
        except RegistryError as error:
            if error.reason is not Reason.REFERENCE_NOT_FOUND:
                raise
            # The repository does not exist and the registry does not create it. This is not about a tool.
            raise RegistryError(error.message, reason=Reason.PUBLISH_FAILED) from None
        if self._has_version(repository, image.digest, image.digest) is False:
            text = f"{published}: the registry took the manifest and does not have it"
            raise RegistryError(text, reason=Reason.PUBLISH_FAILED)
        return PublishedApp(published, pushed=True, uploaded_bytes=uploaded)

    def _provide_all(self, repository: Repository, image: "OciImage") -> int:
        uploaded, done = 0, set[Digest]()
        for raw in filter(None, (image.config, image.locked)):
            descriptor = Descriptor("", Digest(f"sha256:{hashlib.sha256(raw).hexdigest()}"), len(raw))
            if not self._has_blob(repository, descriptor.digest):
                uploaded += self._upload(repository, descriptor, partial(bytes, raw))
            done.add(descriptor.digest)
        for layer in image.layers:
            if layer.descriptor.digest not in done:
                uploaded += self._provide(repository, layer)
                done.add(layer.descriptor.digest)
        return uploaded

    def _provide(self, repository: Repository, layer: "Layer") -> int:
        descriptor, source = layer.descriptor, layer.source
        if self._has_blob(repository, descriptor.digest):
            return 0
        if source and source.registry == repository.registry and self._mount(repository, descriptor, source):
            return 0
        path = layer.path
        if path is None:
            if source is None:
                raise ValueError(f"the layer {descriptor.digest} has neither a path nor a source")
            reader = self if self._reading is None else self.with_credentials(self._reading)
            path = reader.blob(source, descriptor)
        return self._upload(repository, descriptor, partial(_open, path))

    def _mount(self, repository: Repository, descriptor: Descriptor, source: Repository) -> bool:
        return self._run(repository, "mount", lambda api: api.mount(descriptor.digest, source))

    def _upload(self, repository: Repository, descriptor: Descriptor, body: Body) -> int:
        return self._run(
            repository, "upload", lambda api: api.upload(descriptor, body), lambda sent: sent, descriptor.size
        )

    def _has_blob(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository certainly has a blob; False if the registry does not say."""

        def head(api: RegistryApi) -> bool:
            try:
                return api.has_blob(digest) is True
            except RegistryError as error:
                if error.reason is not Reason.REGISTRY_UNAUTHORIZED:
                    raise
                return False

        return self._run(repository, "exists", head)

    def _has_version(self, repository: Repository, version: str, digest: Digest) -> bool | None:
        """Whether a tag or digest has this digest; None if the registry does not say."""

        def head(api: RegistryApi) -> bool | None:
            try:
                return api.manifest_digest(version, pushing=True) == digest
            except RegistryError as error:
                if error.reason is Reason.REFERENCE_NOT_FOUND:
                    return False
                if error.reason is Reason.REGISTRY_UNAUTHORIZED:
                    return None
                raise

        return self._run(repository, "exists", head)

    def _manifest_of(
        self, index: oci_manifest.Index, repository: Repository, where: str
    ) -> oci_manifest.Manifest:
        """The one manifest of an index that has WebAssembly. Raises ComponentError if there is none."""
        candidates = oci_manifest.candidates(index, where)
        found: list[oci_manifest.Manifest] = []
        for descriptor in candidates[:MAX_CANDIDATES]:
            self._note_listed(repository, descriptor.digest)
            try:
                manifest = self._image_manifest(repository, descriptor.digest, where)
            except (ComponentError, RegistryError) as error:
                # Skip one of several that was deleted or is not an image manifest.
                if len(candidates) == 1 or error.reason not in _NO_CANDIDATE:
                    raise
                continue
            if manifest not in found and (len(candidates) == 1 or manifest.holds_wasm):
                found.append(manifest)
        return oci_manifest.only(found, index, where)

    def _image_manifest(self, repository: Repository, digest: Digest, where: str) -> oci_manifest.Manifest:
        manifest = oci_manifest.parse_manifest(self._manifest(repository, digest), where)
        if isinstance(manifest, oci_manifest.Index):
            raise ComponentError(f"{where}: an index of indexes", reason=Reason.UNSUPPORTED_ARTIFACT)
        return manifest

    def _manifest(self, repository: Repository, digest: Digest) -> bytes:
        limit = self._settings.max_manifest_bytes
        if self._may_reach(repository, digest):
            kept = self._shared.blobs.read(repository, digest, limit)
            if kept is not None:
                return kept

        def fetch(api: RegistryApi) -> bytes:
            raw = api.manifest(digest)
            descriptor = Descriptor(oci_manifest.IMAGE_MANIFEST, digest, len(raw))
            self._shared.blobs.store(repository, descriptor, [raw], f"{repository}@{digest}")
            return raw

        raw = self._run(repository, "manifest", fetch, len)
        self._note_read(repository, digest)
        return raw

    def _may_reach(self, repository: Repository, digest: Digest) -> bool:
        return self._shared.memory.is_reached(self._credentials.find(repository), repository, digest)

    def _note_listed(self, repository: Repository, digest: Digest) -> None:
        """Note access to a digest that an accessible manifest lists: registries authorize per repository."""
        self._shared.memory.note_reached(self._credentials.find(repository), repository, digest)

    def _note_read(self, repository: Repository, digest: Digest) -> None:
        self._shared.memory.note_reached(self._credentials.find(repository), repository, digest)
        self._shared.memory.note_given(repository, digest)

    def _run(
        self,
        repository: Repository,
        operation: str,
        attempt: Callable[[RegistryApi], T],
        size: Callable[[T], int] = lambda _: 0,
        transfer_bytes: int = 0,
    ) -> T:
        def once(deadline: Deadline) -> T:
            return attempt(RegistryApi(self._shared.policy, self._credentials, repository, deadline))

        return self._shared.policy.run(repository, operation, once, size, transfer_bytes)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _bound(descriptor: Descriptor, limit: int, where: str) -> None:
    if descriptor.size > limit:
        text = f"{where}: {descriptor.digest} has {descriptor.size} bytes, more than the limit of {limit}"
        raise ComponentError(text, reason=Reason.TOO_LARGE)
