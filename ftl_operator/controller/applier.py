"""Brings the cluster from what an app owns to what it should own; writes nothing where nothing differs."""

from collections.abc import Iterable, Mapping
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.kinds import Api
from ftl_operator.api.names import SUSPENDED_ANNOTATION, NamespacedName
from ftl_operator.cluster.cache import Cache, CachedObject, owner_of
from ftl_operator.cluster.client import ConflictError, Kube, NotFoundError
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import ClusterError, Reason
from ftl_operator.manifests.all import Manifests
from ftl_operator.manifests.deployment import component_bytes, is_applied, pod_fields
from ftl_operator.manifests.drift import is_current, stamped
from ftl_operator.manifests.external import check_without_deployment

Json = dict[str, Any]


class Applier:
    """Applies and deletes objects of apps.

    Args:
        kube: The cluster.
        view: What was seen of it; told of every write at once.
        max_rollouts: How many Deployments may be rolled out at once that nobody changed.
    """

    def __init__(self, kube: Kube, view: Cache, max_rollouts: int) -> None:
        self._kube = kube
        self._view = view
        self._max_rollouts = max_rollouts

    def live_spin_app(self, key: NamespacedName, uid: str) -> Json | None:
        """The app's SpinApp as it was seen last, without its status."""
        seen = self._view.owned(key, uid).get((kinds.SPIN_APP, key.name))
        return seen.read() if seen is not None else None

    def apply(self, app: FtlApp, desired: Manifests) -> list[str]:
        """Apply what differs, then delete what is owned and not desired.

        Args:
            app: The app.
            desired: Everything that it should own.

        Returns:
            What was applied or deleted, by kind and name.

        Raises:
            ClusterError: The cluster refused something, or a name is somebody else's.
        """
        key = NamespacedName(app.metadata.namespace, app.metadata.name)
        live = self._view.owned(key, app.metadata.uid)
        wanted = {(kinds.api_of(item), item["metadata"]["name"]) for item in desired.objects}
        left = [seen for place, seen in live.items() if place not in wanted]
        written = []
        for manifest in map(stamped, desired.objects):
            api, name = kinds.api_of(manifest), manifest["metadata"]["name"]
            if api in kinds.SCALERS:
                # Another one would be refused as long as the old one is there.
                written += self._delete(key, [seen for seen in left if seen.api in kinds.SCALERS])
                left = [seen for seen in left if seen.api not in kinds.SCALERS]
            seen = live.get((api, name))
            if seen is not None and is_current(seen.read(), manifest):
                continue
            if seen is None:
                self._refuse_a_strangers(api, key, name, app.metadata.uid)
            self._view.see(api, self._kube.apply(manifest))
            metrics.CLUSTER_WRITES.labels("apply", api.kind).inc()
            written.append(f"{api.kind}/{name}")
        written += self._delete(key, left)
        return [*written, *self._apply_pod_fields(key, app)]

    def _delete(self, key: NamespacedName, left: Iterable[CachedObject]) -> list[str]:
        """Delete what the app owns and does not want any more."""
        deleted = []
        for seen in left:
            self._kube.delete(seen.api, key.namespace, seen.name, seen.uid)
            metrics.CLUSTER_WRITES.labels("delete", seen.api.kind).inc()
            deleted.append(f"{seen.api.kind}/{seen.name}")
        return deleted

    def _apply_pod_fields(self, key: NamespacedName, app: FtlApp) -> list[str]:
        """Apply the operator's part of the Deployment, once spin-operator has made it for this SpinApp.

        It rolls the pods. So a Deployment that serves, of an app that nobody changed, gets it when few others
        are being rolled out; an upgrade of the operator would roll all of them at once.
        """
        rollout, seen = self._view.rollout(key), self._view.app(key)
        spin_app = self._view.owned(key, app.metadata.uid).get((kinds.SPIN_APP, key.name))
        if rollout is None or spin_app is None or seen is None or rollout.owner != spin_app.uid:
            return []
        status = seen.read().get("status") or {}
        size = component_bytes(status)
        if size is None:
            return []
        desired = pod_fields(app, rollout.uid, size)
        if is_applied(desired, rollout.applied_digest, rollout.pod):
            return []
        is_unchanged = status.get("observedGeneration") == app.metadata.generation
        if is_unchanged and rollout.is_complete and self._view.incomplete() >= self._max_rollouts:
            return []
        try:
            self._view.see(kinds.DEPLOYMENT, self._kube.apply(desired))
        except (ConflictError, NotFoundError):
            # Another Deployment, or none, is there by now: the watch tells, and the next look has it.
            return []
        metrics.CLUSTER_WRITES.labels("apply", kinds.DEPLOYMENT.kind).inc()
        return [f"Deployment/{key.name}"]

    def scale(self, app: FtlApp, live: Mapping[str, Any] | None) -> bool:
        """Take pods away while the app is suspended, and bring them back afterwards.

        Before the SpinApp loses its mark of suspension, so that a crash between the two is made good.

        Args:
            app: The app.
            live: Its SpinApp before it is applied.

        Returns:
            Whether pods are being brought back.
        """
        key = NamespacedName(app.metadata.namespace, app.metadata.name)
        rollout = self._view.rollout(key)
        marked = SUSPENDED_ANNOTATION in ((live or {}).get("metadata", {}).get("annotations") or {})
        if app.spec.suspend:
            # Only once spin-operator was told to leave the replicas alone, or it would set them again.
            if marked and rollout is not None and rollout.desired != 0:
                self._scale(key, 0)
            return False
        scaling = app.spec.runtime.autoscaling
        least = scaling.min_replicas if scaling is not None else 0
        if marked and least and rollout is not None and rollout.desired == 0:
            # A HorizontalPodAutoscaler does nothing at zero.
            self._scale(key, least)
        return marked

    def makes_deployment(self, app: FtlApp) -> bool:
        """Whether the app's executor makes a Deployment; one that is not there, and may come, would."""
        return self._view.executor(app.metadata.namespace, app.spec.runtime.executor) is not False

    def check_executor(self, app: FtlApp) -> None:
        """See that the app's executor is there, and that the spec asks for nothing that it cannot do.

        Raises:
            ClusterError: It is not in the app's namespace.
            SpecError: It makes no Deployment, and the spec needs one.
        """
        name = app.spec.runtime.executor
        if not self.makes_deployment(app):
            check_without_deployment(app)
        elif not app.spec.suspend and self._view.executor(app.metadata.namespace, name) is None:
            raise ClusterError(
                f"there is no SpinAppExecutor {name!r} in the namespace {app.metadata.namespace!r}",
                reason=Reason.EXECUTOR_MISSING,
                field="spec.runtime.executor",
            )

    def _scale(self, key: NamespacedName, replicas: int) -> None:
        self._kube.scale(key.namespace, key.name, replicas)
        metrics.CLUSTER_WRITES.labels("scale", kinds.DEPLOYMENT.kind).inc()

    def _refuse_a_strangers(self, api: Api, key: NamespacedName, name: str, uid: str) -> None:
        """An object that nobody was seen to own may exist all the same; it is not taken over."""
        found = self._kube.get(api, key.namespace, name)
        if found is None:
            return
        owner = owner_of(key.namespace, found["metadata"])
        if owner is None or owner[0] != key or owner[1] not in ("", uid):
            raise ConflictError(
                f"{api.kind} {name!r} exists and belongs to somebody else; rename one of the two",
                reason=Reason.CONFLICT,
            )
