"""The client of OCI registries: resolve a reference, choose a component, read blobs, push an application.

A cache is no authorization. What it holds is given to those only whose own credentials the registry lately
let reach the same digest in the same repository, and only if that repository gave the bytes.
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
"""How long it is remembered that credentials reach a digest in a repository."""
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
    """What was seen lately of whom a registry lets reach what. Safe for threads; bounded.

    `given` are the blobs that a repository gave: they tell a registry that has the bytes from one that claims
    to. `reached` are the digests that credentials reached, with the moment at which that is forgotten.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[Repository, Digest], None] = {}
        self._reached: dict[tuple[Login | None, Repository, Digest], float] = {}
        self._lock = threading.Lock()

    def note_given(self, repository: Repository, digest: Digest) -> None:
        """Remember that the repository gave the bytes."""
        with self._lock:
            self._given.pop((repository, digest), None)
            self._given[repository, digest] = None
            if len(self._given) > MAX_REMEMBERED:
                del self._given[next(iter(self._given))]

    def note_reached(self, login: Login | None, repository: Repository, digest: Digest) -> None:
        """Remember that the registry let these credentials reach the digest."""
        with self._lock:
            self._reached.pop((login, repository, digest), None)
            self._reached[login, repository, digest] = time.monotonic() + ACCESS_SECONDS
            if len(self._reached) > MAX_REMEMBERED:
                del self._reached[next(iter(self._reached))]

    def was_given(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository gave the bytes."""
        with self._lock:
            return (repository, digest) in self._given

    def is_reached(self, login: Login | None, repository: Repository, digest: Digest) -> bool:
        """Whether the registry let these credentials reach the digest lately."""
        with self._lock:
            return self._reached.get((login, repository, digest), 0.0) > time.monotonic()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What registries have in common, whosever credentials they are asked with."""

    policy: RequestPolicy
    blobs: BlobCache
    memory: AccessMemory = field(default_factory=AccessMemory)
    turns: KeyedLock = field(default_factory=KeyedLock)


class Registry:
    """Registries as one set of credentials sees them. Safe for threads; every call blocks.

    Errors: SpecError when the settings do not allow a registry; ComponentError when an artifact holds no
    component to choose or is too large; RegistryError for all else, with the reason. No message has a
    credential.
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
        """The same registries, cache, tokens and limits, for whom these credentials stand for.

        Args:
            credentials: What everything is done with.
            reading: What `push` reads the sources of layers with; None means the same.
        """
        return Registry(self._settings, credentials, reading=reading, shared=self._shared)

    def digest(self, reference: Reference) -> Digest:
        """The digest that a reference has now, by one HEAD request.

        A reference with a digest is asked for too: that proves that it exists and that these credentials
        reach it, before anything of it is taken from the cache.
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
        """The component's layer in the artifact of a pinned reference; manifests are cached by digest.

        Args:
            reference: With a digest; one without is resolved first.
            component: Which component, if there are several: a Spin application's component id,
                else a layer's title or digest.
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
        return Artifact(reference, digest, layer, component_id)

    def blob(self, repository: Repository, descriptor: Descriptor) -> Path:
        """A blob as a cached file, of bounded size, its digest checked; downloaded if it is absent."""
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
        """Whether what is known of a blob's content may be told to whom the credentials stand for.

        That is so if the repository gave the bytes, and lately let these credentials reach them; `blob` makes
        it so, or fails.
        """
        return self._shared.memory.was_given(repository, digest) and self._shared.memory.is_reached(
            self._credentials.find(repository), repository, digest
        )

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """The repository's tags, as the registry sorts them; at most ten thousand."""
        return self._run(repository, "tags", RegistryApi.tags)

    def referrers(self, repository: Repository, digest: Digest) -> bytes:
        """The image index of what refers to a manifest: its signatures, attestations and the like."""
        return self._run(repository, "referrers", lambda api: api.referrers(digest), len)

    def delete(self, repository: Repository, digest: Digest) -> None:
        """Delete a manifest, by its digest; tags that point to it go with it."""
        self._run(repository, "delete", lambda api: api.delete(digest))

    def push(self, image: "OciImage", target: Reference) -> PublishedApp:
        """Publish an application under `target`'s tag, or by its digest alone if there is no tag.

        Nothing is uploaded that the repository has; layers of other repositories of its registry are mounted.
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
            # A registry that creates no repositories answers so; it is not about a tool's reference.
            raise RegistryError(error.message, reason=Reason.PUBLISH_FAILED) from None
        if self._has_version(repository, image.digest, image.digest) is False:
            text = f"{published}: the registry took the manifest and does not have it"
            raise RegistryError(text, reason=Reason.PUBLISH_FAILED)
        return PublishedApp(published, pushed=True, uploaded_bytes=uploaded)

    def _provide_all(self, repository: Repository, image: "OciImage") -> int:
        uploaded, done = 0, set[Digest]()
        for raw in (image.config, image.locked):
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
        """Whether the repository has a blob for sure; where it does not say, the upload decides."""

        def head(api: RegistryApi) -> bool:
            try:
                return api.has_blob(digest) is True
            except RegistryError as error:
                if error.reason is not Reason.REGISTRY_UNAUTHORIZED:
                    raise
                return False

        return self._run(repository, "exists", head)

    def _has_version(self, repository: Repository, version: str, digest: Digest) -> bool | None:
        """Whether a tag or digest is this digest; None if the registry does not say: the push will tell."""

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
        """The one manifest of an index that holds WebAssembly. Raises ComponentError if there is none."""
        candidates = oci_manifest.candidates(index, where)
        found: list[oci_manifest.Manifest] = []
        for descriptor in candidates[:MAX_CANDIDATES]:
            self._note_listed(repository, descriptor.digest)
            try:
                manifest = self._image_manifest(repository, descriptor.digest, where)
            except (ComponentError, RegistryError) as error:
                # One of several may be gone, or of a kind that is no image manifest: it is no candidate then.
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
        """A manifest that these credentials reach lists it, and registries authorize by repository."""
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
