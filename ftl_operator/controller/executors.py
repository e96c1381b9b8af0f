"""Checks the SpinAppExecutor that an app names, and creates a missing one if the settings allow it."""

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError, Kube
from ftl_operator.errors import ClusterError, Reason
from ftl_operator.manifests.executor import new_executor
from ftl_operator.manifests.external import check_without_deployment
from ftl_operator.settings import ExecutorKind, Settings


class Executors:
    """Checks and creates executors. It never changes an existing one.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: The watched objects; gets the result of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache

    def makes_deployment(self, app: FtlApp) -> bool:
        """Whether the app's executor makes a Deployment; True for an executor that does not exist yet."""
        executor = self._cache.executor(app.metadata.namespace, app.spec.runtime.executor)
        return executor is None or executor.makes_deployment

    def ensure(self, app: FtlApp) -> None:
        """Check that the app's executor exists and can do what the spec asks for.

        Raises:
            ClusterError: The executor does not exist in the app's namespace, and the operator may not create
                it.
            SpecError: The executor makes no Deployment, and the spec needs one.
        """
        namespace, name = app.metadata.namespace, app.spec.runtime.executor
        if not self.makes_deployment(app):
            check_without_deployment(app)
        elif not app.spec.suspend and self._cache.executor(namespace, name) is None:
            self._make(namespace, name)

    def _make(self, namespace: str, name: str) -> None:
        if self._settings.executors_create is ExecutorKind.NONE:
            raise ClusterError(
                f"there is no SpinAppExecutor {name!r} in the namespace {namespace!r}; create one, or "
                "install the operator with executors.create",
                reason=Reason.EXECUTOR_MISSING,
                field="spec.runtime.executor",
            )
        try:
            made = self._kube.create(kinds.SPIN_APP_EXECUTOR, new_executor(namespace, name, self._settings))
        except ConflictError:
            # Somebody else has created it meanwhile; the watch adds it to the cache.
            return
        self._cache.observe_event(kinds.SPIN_APP_EXECUTOR, made)
