"""The registry credentials with which an app's tools are pulled and the app is published."""

import base64
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.errors import ClusterError, Reason, RegistryError
from ftl_operator.oci.reference import Repository
from ftl_operator.registry.docker_config import Credentials
from ftl_operator.settings import Settings

ReadObject = Callable[[kinds.Api, str, str], dict[str, Any] | None]
"""Gives an object of the cluster by kind, namespace and name."""

_log = logging.getLogger(__name__)


class OperatorCredentials:
    """The operator's own registry credentials, from a Docker configuration file.

    The file is read again when it has changed: in a pod it belongs to a Secret, and the kubelet replaces it
    within a minute or two of a change. Safe to use from several threads.

    Args:
        path: The file; None if the operator has no credentials.

    Raises:
        RegistryError: The file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()
        self._credentials = Credentials()
        if path is not None:
            self._stamp, self._credentials = _stamp(path), Credentials.from_docker_config(path)

    def now(self) -> Credentials:
        """The present credentials. If a new file is invalid, the log says so and the last good one stays."""
        if self._path is None:
            return self._credentials
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                # The stamp is taken before the file is read, so a change in between is seen the next time.
                self._stamp = stamp
                try:
                    self._credentials = Credentials.from_docker_config(self._path)
                    _log.info("the operator's registry credentials were read again")
                except RegistryError as error:
                    _log.warning("the operator's registry credentials stay as they were: %s", error)
            return self._credentials


def _stamp(path: Path) -> tuple[int, ...]:
    """A value that changes when the file is replaced or written; empty without a file."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


class PullSecrets:
    """Reads credentials from Secrets; caches each until its Secret changes. Safe to use from several threads.

    Args:
        settings: The operator's settings.
        cache: The watched Secrets, as digests.
        read: Reads a Secret.
        operator: The operator's own credentials. They are used for its own publish repository only; otherwise
            anyone who may write an FtlApp could read and write with the operator's rights.
    """

    def __init__(
        self, settings: Settings, cache: Cache, read: ReadObject, operator: OperatorCredentials
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._read = read
        self._operator = operator
        self._kept: dict[tuple[str, str], tuple[str, Credentials]] = {}
        self._lock = threading.Lock()

    def known_by(self, app: FtlApp) -> tuple[str, ...]:
        """Identify the credentials that an app pulls with, by its Secrets' digests (unique per Secret)."""
        namespace = app.metadata.namespace
        seen = (self._cache.source("Secret", namespace, item.name) for item in app.spec.image_pull_secrets)
        return tuple(source.digest if source is not None else "" for source in seen)

    def push(self, app: FtlApp, target: Repository) -> Credentials:
        """The credentials to publish with. The operator's own are for the app's default repository only."""
        own = self.pull(app)
        if app.spec.publish.secret_ref is not None:
            # First, so that it takes precedence over a pull secret for the same registry.
            return self._login(app, app.spec.publish.secret_ref.name, "spec.publish.secretRef").then(own)
        default = self._settings.default_repository(app.metadata.namespace, app.metadata.name)
        login = self._operator.now().find(target) if target == default else None
        if login is None:
            return own
        entry = {
            "username": login.username,
            "password": login.password,
            "identitytoken": login.identity_token,
            "registrytoken": login.registry_token,
        }
        document = {"auths": {str(target): {name: value for name, value in entry.items() if value}}}
        return Credentials.from_dockerconfigjson(json.dumps(document).encode(), "the operator's").then(own)

    def pull(self, app: FtlApp) -> Credentials:
        """The credentials to pull an app's tools with: those in its own pull secrets.

        Raises:
            ClusterError: A Secret does not exist or has no credentials.
        """
        credentials = Credentials()
        for index, secret in enumerate(app.spec.image_pull_secrets):
            credentials = credentials.then(self._login(app, secret.name, f"spec.imagePullSecrets[{index}]"))
        return credentials

    def _login(self, app: FtlApp, name: str, field: str) -> Credentials:
        namespace = app.metadata.namespace
        seen = self._cache.source("Secret", namespace, name)
        if seen is None or ".dockerconfigjson" not in seen.keys:
            raise ClusterError(
                f"there is no Secret {name!r} of type kubernetes.io/dockerconfigjson in the namespace",
                reason=Reason.SOURCE_NOT_FOUND,
                field=field,
            )
        with self._lock:
            kept = self._kept.get((namespace, name))
        if kept is not None and kept[0] == seen.digest:
            return kept[1]
        found = self._read(kinds.SECRET, namespace, name) or {}
        encoded = (found.get("data") or {}).get(".dockerconfigjson", "")
        credentials = Credentials.from_dockerconfigjson(base64.b64decode(encoded), f"the Secret {name!r}")
        with self._lock:
            self._kept[namespace, name] = (seen.digest, credentials)
        return credentials
