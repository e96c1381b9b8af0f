"""The Secret of an app's gateway: a key that seals its store, and the word of the operator's deep probe.

An app names a Secret of its own, or the operator makes one, where the chart gives it the right to. The two
texts are random and independent: who learns the word of the probe learns nothing about the key. What is there
is never replaced, so no reconcile rolls an app's pods.
"""

import base64

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import PROBE_WORD_KEY
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError, Kube
from ftl_operator.manifests.gateway_secret import new_gateway_secret
from ftl_operator.manifests.metadata import owned
from ftl_operator.manifests.spinapp import gateway_secret, owner_of_app
from ftl_operator.settings import Settings


class GatewaySecrets:
    """Makes and reads the Secrets of gateways.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: What was seen of it; told of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache

    def ensure(self, app: FtlApp) -> None:
        """Make the app's Secret if the operator is to make it and it is not there.

        Raises:
            ClusterError: The cluster refused it.
        """
        name = gateway_secret(app, self._settings)
        if name is None or app.spec.gateway.secret_ref is not None:
            return
        if self._cache.source(kinds.SECRET.kind, app.metadata.namespace, name) is not None:
            return
        try:
            secret = new_gateway_secret(app.metadata.namespace, name)
            made = self._kube.create(kinds.SECRET, owned(secret, owner_of_app(app)))
        except ConflictError:
            # Another replica, or somebody before: the watch tells of it.
            return
        self._cache.observe_event(kinds.SECRET, made)

    def probe_word(self, app: FtlApp) -> str:
        """The word by which the app answers for each tool; empty if it has none.

        Raises:
            ClusterError: The cluster does not answer.
        """
        name = gateway_secret(app, self._settings)
        found = self._kube.get(kinds.SECRET, app.metadata.namespace, name) if name is not None else None
        try:
            encoded = ((found or {}).get("data") or {}).get(PROBE_WORD_KEY, "")
            return base64.b64decode(encoded, validate=True).decode("ascii").strip()
        except ValueError:
            # What cannot stand in a header is no word.
            return ""
