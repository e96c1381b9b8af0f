"""Creates and reads the Secret of an app's gateway: the key that seals its store, and the probe word.

The probe word is the secret by which the operator makes the gateway check every tool. An app names a Secret
of its own, or the operator creates one where the chart grants the right. The two values are random and
independent: the probe word reveals nothing about the key. An existing Secret is never replaced, so no
reconcile rolls pods because of it.
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
    """Creates and reads the Secrets of gateways.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: The watched objects; gets the result of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache

    def ensure(self, app: FtlApp) -> None:
        """Create the app's Secret if it is missing and the settings let the operator create it.

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
            # It exists already; the watch adds it to the cache.
            return
        self._cache.observe_event(kinds.SECRET, made)

    def probe_word(self, app: FtlApp) -> str:
        """The app's probe word; empty if it has none.

        Raises:
            ClusterError: The cluster does not answer.
        """
        name = gateway_secret(app, self._settings)
        found = self._kube.get(kinds.SECRET, app.metadata.namespace, name) if name is not None else None
        try:
            encoded = ((found or {}).get("data") or {}).get(PROBE_WORD_KEY, "")
            return base64.b64decode(encoded, validate=True).decode("ascii").strip()
        except ValueError:
            # A value that is not valid in an HTTP header cannot be a probe word.
            return ""
