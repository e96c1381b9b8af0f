"""The edge to OCI registries: resolve a reference, choose a component, read blobs, push an application.

This is the only importer of oras, of which it uses the session (one that takes no cookies) and the layout of
URLs. Not used are its parser of references (`refs.py` is stricter), its requests (no timeout, up to 131 s of
sleep), its logins (one token for all repositories) and its pushes (a manifest is serialised anew, a blob read
into memory).
"""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import oras.container
import oras.provider

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.keyed_lock import KeyedLock
from ftl_operator.oci import manifest as oci_manifest
from ftl_operator.oci.blob_cache import BlobCache
from ftl_operator.oci.descriptor import Artifact, Descriptor
from ftl_operator.oci.reference import Digest, Reference, Repository
from ftl_operator.registry.docker_config import Credentials
from ftl_operator.registry.endpoints import RegistryApi, Urls
from ftl_operator.registry.http import Body, Origin, RegistrySettings
from ftl_operator.registry.retry import RequestPolicy
from ftl_operator.registry.session import configure

if TYPE_CHECKING:
    import requests

    from ftl_operator.oci.descriptor import Layer
    from ftl_operator.oci.image import OciImage

__all__ = ["PublishedApp", "Registry", "RegistrySettings"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PublishedApp:
    """An application in a registry. `pushed` is false when it was there already."""

    reference: Reference
    pushed: bool
    uploaded_bytes: int


class Registry:
    """Registries as one set of credentials sees them. Safe for threads; every call blocks.

    Errors: SpecError when the settings do not allow a registry; ComponentError when an artifact holds no
    component to choose or is too large; RegistryError for all else, with the reason. No message has a
    credential.
    """

    def __init__(self, settings: RegistrySettings, credentials: Credentials | None = None) -> None:
        session: requests.Session = oras.provider.Registry().session
        configure(session, settings.connections, settings.ca_file, settings.proxies)
        self._settings = settings
        self._blobs = BlobCache(settings.cache_dir, settings.cache_bytes)
        self._turns = KeyedLock()
        self._endpoints = RegistryApi(
            RequestPolicy(session, settings), credentials or Credentials(), settings, self._urls
        )

    def with_credentials(self, credentials: Credentials) -> "Registry":
        """The same registries, cache, tokens and limits, for whom these credentials stand for."""
        other = copy.copy(self)
        other._endpoints = replace(self._endpoints, credentials=credentials)  # noqa: SLF001 - its own class
        return other

    def digest(self, reference: Reference) -> Digest:
        """The digest that a reference has now, by one HEAD request.

        A reference with a digest is asked for too: that proves that it exists and that these credentials
        reach it, before anything of it is taken from the cache.
        """

        def resolve() -> Digest:
            digest = self._endpoints.manifest_digest(reference.repository, reference.version)
            if reference.digest and digest != reference.digest:
                text = f"{reference}: the registry has {digest} there"
                raise RegistryError(text, reason=Reason.DIGEST_MISMATCH)
            return digest

        return self._run(reference.repository, "resolve", resolve)

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
            chosen = oci_manifest.choose_manifest(manifest, where)
            manifest = oci_manifest.parse_manifest(self._manifest(repository, chosen.digest), where)
        if isinstance(manifest, oci_manifest.Index):
            raise ComponentError(f"{where}: an index of indexes", reason=Reason.UNSUPPORTED_ARTIFACT)
        component_id = None
        if application := manifest.application:
            _bound(application, self._settings.max_manifest_bytes, where)
            locked = self.blob(repository, application).read_bytes()
            component_id, layer = oci_manifest.choose_component(locked, manifest, component, where)
        else:
            layer = oci_manifest.choose_layer(manifest, component, where)
        _bound(layer, self._settings.max_blob_bytes, where)
        return Artifact(reference, digest, layer, component_id)

    def blob(self, repository: Repository, descriptor: Descriptor) -> Path:
        """A blob as a cached file, of bounded size, its digest checked; downloaded if it is absent."""
        where = f"{repository}@{descriptor.digest}"
        _bound(descriptor, self._settings.max_blob_bytes, where)
        if path := self._blobs.find(descriptor):
            return path

        def download() -> Path:
            with self._endpoints.blob(repository, descriptor.digest) as content:
                return self._blobs.store(descriptor, content, where)

        with self._turns.take(descriptor.digest):
            if path := self._blobs.find(descriptor):
                return path
            return self._run(repository, "blob", download, lambda _: descriptor.size)

    def push(self, image: "OciImage", target: Reference) -> PublishedApp:
        """Publish an application under `target`'s tag, or by its digest alone if there is no tag.

        Nothing is uploaded that the repository has; layers of other repositories of its registry are mounted.
        """
        repository = target.repository
        published = replace(target, digest=image.digest)
        if self._version(repository, target.tag or image.digest) == image.digest:
            return PublishedApp(published, pushed=False, uploaded_bytes=0)
        try:
            uploaded = 0
            if not target.tag or self._version(repository, image.digest) is None:
                uploaded = self._provide_all(repository, image)
            uploaded += self._run(
                repository,
                "publish",
                lambda: self._endpoints.put_manifest(repository, target.tag or image.digest, image.manifest),
                lambda sent: sent,
            )
        except RegistryError as error:
            if error.reason is not Reason.REFERENCE_NOT_FOUND:
                raise
            # A registry that creates no repositories answers so; it is not about a tool's reference.
            raise RegistryError(error.message, reason=Reason.PUBLISH_FAILED) from None
        if self._version(repository, image.digest) is None:
            text = f"{published}: the registry took the manifest and does not have it"
            raise RegistryError(text, reason=Reason.PUBLISH_FAILED)
        return PublishedApp(published, pushed=True, uploaded_bytes=uploaded)

    def _provide_all(self, repository: Repository, image: "OciImage") -> int:
        uploaded, done = 0, set[Digest]()
        for raw in (image.config, image.locked):
            descriptor = Descriptor("", Digest(f"sha256:{hashlib.sha256(raw).hexdigest()}"), len(raw))
            if not self._has_blob(repository, descriptor.digest):
                uploaded += self._upload(repository, descriptor, lambda raw=raw: raw)  # type: ignore[misc]
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
            path = self.blob(source, descriptor)
        return self._upload(repository, descriptor, lambda: path.open("rb"))

    def _mount(self, repository: Repository, descriptor: Descriptor, source: Repository) -> bool:
        return self._run(
            repository, "mount", lambda: self._endpoints.mount(repository, descriptor.digest, source)
        )

    def _upload(self, repository: Repository, descriptor: Descriptor, body: Body) -> int:
        return self._run(
            repository,
            "upload",
            lambda: self._endpoints.upload(repository, descriptor, body),
            lambda sent: sent,
        )

    def _has_blob(self, repository: Repository, digest: Digest) -> bool:
        return self._run(repository, "exists", lambda: self._endpoints.has_blob(repository, digest))

    def _version(self, repository: Repository, version: str) -> Digest | None:
        def head() -> Digest | None:
            try:
                return self._endpoints.manifest_digest(repository, version)
            except RegistryError as error:
                if error.reason is not Reason.REFERENCE_NOT_FOUND:
                    raise
                return None

        return self._run(repository, "exists", head)

    def _manifest(self, repository: Repository, digest: Digest) -> bytes:
        kept = self._blobs.read(digest, self._settings.max_manifest_bytes)
        if kept is not None:
            return kept

        def fetch() -> bytes:
            raw = self._endpoints.manifest(repository, digest)
            descriptor = Descriptor(oci_manifest.IMAGE_MANIFEST, digest, len(raw))
            self._blobs.store(descriptor, [raw], f"{repository}@{digest}")
            return raw

        return self._run(repository, "manifest", fetch, len)

    def _run(
        self,
        repository: Repository,
        operation: str,
        attempt: Callable[[], T],
        size: Callable[[T], int] = lambda _: 0,
    ) -> T:
        return self._endpoints.conversation.run(repository, operation, attempt, size)

    def _urls(self, repository: Repository) -> Urls:
        origin = Origin.of_registry(repository.registry, self._settings)
        # oras' parser would take a path's first part with a dot for a registry, so it is told the parts.
        container = oras.container.Container("repository", registry=origin.netloc)
        container.namespace, _, container.repository = repository.name.rpartition("/")
        return Urls(
            f"{origin.scheme}://{container.manifest_url('-')}"[:-1],
            f"{origin.scheme}://{container.get_blob_url('')}",
            f"{origin.scheme}://{container.upload_blob_url()}",
        )


def _bound(descriptor: Descriptor, limit: int, where: str) -> None:
    if descriptor.size > limit:
        text = f"{where}: {descriptor.digest} has {descriptor.size} bytes, more than the limit of {limit}"
        raise ComponentError(text, reason=Reason.TOO_LARGE)
