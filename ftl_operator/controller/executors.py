"""The SpinAppExecutor that an app names: whether it is there, what it can do, a new one if it is missing."""

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError, Kube
from ftl_operator.errors import ClusterError, Reason
from ftl_operator.manifests.executor import new_executor
from ftl_operator.manifests.external import check_without_deployment
from ftl_operator.settings import ExecutorKind, Settings


class Executors:
    """Checks and makes executors. One that exists is never changed, whoever made it.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: What was seen of it; told of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache

    def makes_deployment(self, app: FtlApp) -> bool:
        """Whether the app's executor makes a Deployment; one that is not there, and may come, would."""
        executor = self._cache.executor(app.metadata.namespace, app.spec.runtime.executor)
        return executor is None or executor.makes_deployment

    def ensure(self, app: FtlApp) -> None:
        """See that the app's executor is there, and that the spec asks for nothing that it cannot do.

        Raises:
            ClusterError: It is not in the app's namespace, and the operator may not make it.
            SpecError: It makes no Deployment, and the spec needs one.
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
            # Somebody was faster: the watch tells of theirs.
            return
        self._cache.observe_event(kinds.SPIN_APP_EXECUTOR, made)
