"""Creates the Secret of an app's login where the settings let the operator do so.

An existing Secret is never replaced: people rotate its keys with `ftl-operator login secret --rotate`.
"""

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError, Kube
from ftl_operator.manifests.login_secret import login_secret, new_keys
from ftl_operator.manifests.metadata import owned
from ftl_operator.manifests.spinapp import owner_of_app
from ftl_operator.settings import Settings


class LoginSecrets:
    """Creates the Secrets of logins.

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
        """Create the Secret of the app's login if it is missing and the settings let the operator create it.

        A Secret that the spec names is its author's, and never created.

        Raises:
            ClusterError: The cluster refused it.
        """
        login = app.spec.auth.login if app.spec.auth is not None else None
        if login is None or login.secret_ref is not None or not self._settings.login_secrets:
            return
        namespace, name = app.metadata.namespace, login.secret_of(app.metadata.name)
        if self._cache.source(kinds.SECRET.kind, namespace, name) is not None:
            return
        try:
            secret = login_secret(namespace, name, new_keys())
            made = self._kube.create(kinds.SECRET, owned(secret, owner_of_app(app)))
        except ConflictError:
            # It exists already; the watch adds it to the cache.
            return
        self._cache.observe_event(kinds.SECRET, made)
