"""Applies the objects of an app and deletes those it no longer needs; writes only where something differs."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.kinds import Api
from ftl_operator.api.names import SUSPENDED_ANNOTATION, NamespacedName
from ftl_operator.api.runtime import Scaler
from ftl_operator.cluster.cache import Cache, CachedObject, Snapshot, owner_of
from ftl_operator.cluster.client import ConflictError, Kube, NotFoundError, TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError
from ftl_operator.controller.executors import Executors
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import FtlError, Reason
from ftl_operator.manifests.all import Manifests, Missing, manifests
from ftl_operator.manifests.deployment import component_bytes, is_applied, pod_fields
from ftl_operator.manifests.drift import is_current, stamped
from ftl_operator.manifests.external import without_deployment
from ftl_operator.manifests.spinapp import Release
from ftl_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Applied:
    """The changes that were made in the cluster for one app.

    Args:
        written: The objects that were applied or deleted, as `Kind/name`.
        resumed: Whether pods come back after a suspension.
        missing: Objects that were left out because the cluster does not serve their kind.
        error: The error that ended the apply, if any.
    """

    written: tuple[str, ...] = ()
    resumed: bool = False
    missing: tuple[Missing, ...] = ()
    error: FtlError | None = None

    @property
    def vital_error(self) -> FtlError | None:
        """The error, or the first missing kind that the spec cannot do without."""
        return self.error or next((item.error() for item in self.missing if item.is_vital), None)

    @property
    def rolls(self) -> bool:
        """Whether the app's SpinApp was changed, so that the app has to be probed again."""
        return any(item.startswith(f"{kinds.SPIN_APP.kind}/") for item in self.written)

    @property
    def notes(self) -> tuple[str, ...]:
        """Missing objects that the app can do without, for the status."""
        return tuple(str(item) for item in self.missing if not item.is_vital)


GIVE_UP_ANNOTATION = "httpscaledobject.keda.sh/orphan-scaledobject"
"""On an HTTPScaledObject: the HTTP add-on gives up the ScaledObject that it made (0.14 and later)."""
SETTLE_TIME = timedelta(seconds=5)
"""How long a Deployment that was just changed may still look complete."""
HANDOVER_TIME = timedelta(minutes=2)
"""How long after a HorizontalPodAutoscaler was made zero pods are those of the scaler before it."""


class Applier:
    """Applies and deletes objects of apps.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: The watched objects; gets the result of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache
        self._executors = Executors(settings, kube, cache)
        self._lock = threading.Lock()
        self._rolling: dict[NamespacedName, datetime] = {}

    def apply(self, snapshot: Snapshot, app: FtlApp, release: Release) -> Applied:
        """Apply what differs, then delete what is owned and not desired.

        Args:
            snapshot: The app.
            app: The same, parsed.
            release: What is to run.

        Returns:
            The changes, or the error.

        Raises:
            NotLeaderError: Another replica leads.
            TerminatingError: The app's namespace is being deleted.
        """
        try:
            desired = manifests(app, release, self._settings, self._kube.serves())
            if not self._executors.makes_deployment(app):
                desired = without_deployment(desired)
            resumed = self._scale_for_suspension(app, snapshot.spin_app)
            written = self.write(snapshot, app, desired)
            self._leave_zero(snapshot, app)
        except (NotLeaderError, TerminatingError):
            raise
        except FtlError as error:
            return Applied(error=error)
        return Applied(tuple(written), resumed, desired.missing)

    def write(self, snapshot: Snapshot, app: FtlApp, desired: Manifests) -> list[str]:
        """Apply these objects and the operator's part of the Deployment, and delete what else is owned.

        Returns:
            What was written, as `Kind/name`.

        Raises:
            ClusterError: The cluster refused a request, or another owner has an object of the same name.
        """
        key = snapshot.key
        live = self._cache.owned(key, app.metadata.uid)
        wanted = {(kinds.api_of(item), item["metadata"]["name"]) for item in desired.objects}
        left = [seen for place, seen in live.items() if place not in wanted]
        written = []
        for manifest in map(stamped, desired.objects):
            api, name = kinds.api_of(manifest), manifest["metadata"]["name"]
            seen = live.get((api, name))
            if seen is not None and is_current(seen.read(), manifest):
                continue
            if seen is None and api == kinds.SCALED_OBJECT:
                holder = next((item for item in left if item.api == kinds.HTTP_SCALED_OBJECT), None)
                if holder is not None and self._is_held(key, name, holder):
                    left.remove(holder)
                    continue
            if seen is None:
                self._refuse_foreign(api, key, name, app.metadata.uid)
            if seen is None and api in kinds.SCALERS:
                # The API server refuses a new autoscaler while the old one exists.
                written += self._delete(key, [seen for seen in left if seen.api in kinds.SCALERS])
                left = [seen for seen in left if seen.api not in kinds.SCALERS]
            self._cache.observe_event(api, self._kube.apply(manifest))
            metrics.CLUSTER_WRITES.labels("apply", api.kind).inc()
            written.append(f"{api.kind}/{name}")
        written += self._delete(key, left)
        return written + self._apply_pod_fields(snapshot, app)

    def _is_held(self, key: NamespacedName, name: str, holder: CachedObject) -> bool:
        """Whether a ScaledObject still belongs to the app's HTTPScaledObject; if so, have it given up.

        The HTTP add-on makes a ScaledObject of the same name for each HTTPScaledObject. It would be deleted
        with its owner, and KEDA would then set the pods back to their number before it came. With the
        annotation the add-on gives it up, the watch reports that, and the operator takes it over.
        """
        found = self._kube.get(kinds.SCALED_OBJECT, key.namespace, name) or {}
        owners = found.get("metadata", {}).get("ownerReferences") or ()
        if not any(owner.get("uid") == holder.uid for owner in owners):
            return False
        if GIVE_UP_ANNOTATION not in (holder.read()["metadata"].get("annotations") or {}):
            held = self._kube.annotate(holder.api, key.namespace, holder.name, {GIVE_UP_ANNOTATION: "true"})
            self._cache.observe_event(holder.api, held)
            metrics.CLUSTER_WRITES.labels("annotate", holder.api.kind).inc()
        return True

    def _delete(self, key: NamespacedName, left: Iterable[CachedObject]) -> list[str]:
        """Delete objects that the app owns and no longer needs."""
        deleted = []
        for seen in left:
            self._kube.delete(seen.api, key.namespace, seen.name, seen.uid)
            metrics.CLUSTER_WRITES.labels("delete", seen.api.kind).inc()
            deleted.append(f"{seen.api.kind}/{seen.name}")
        return deleted

    def _apply_pod_fields(self, snapshot: Snapshot, app: FtlApp) -> list[str]:
        """Apply the operator's part of the Deployment, once spin-operator has made it for this SpinApp.

        This rolls the pods. An upgrade of the operator may change the part for every app; `max_rollouts`
        limits how many complete Deployments of unchanged apps roll at once.
        """
        key = snapshot.key
        rollout = self._cache.rollout(key)
        spin_app = self._cache.owned(key, app.metadata.uid).get((kinds.SPIN_APP, key.name))
        if rollout is None or spin_app is None or rollout.owner != spin_app.uid:
            return []
        size = component_bytes(snapshot.status.components)
        if size is None:
            return []
        desired = pod_fields(app, rollout.uid, size)
        if is_applied(desired, rollout.applied_digest, rollout.pod):
            return []
        is_unchanged = snapshot.status.observed_generation == app.metadata.generation
        if is_unchanged and rollout.is_complete and not self._may_roll(key, snapshot.now):
            return []
        try:
            self._cache.observe_event(kinds.DEPLOYMENT, self._kube.apply(desired))
        except (ConflictError, NotFoundError):
            # The Deployment was replaced or deleted. A watch event queues the app again.
            return []
        metrics.CLUSTER_WRITES.labels("apply", kinds.DEPLOYMENT.kind).inc()
        return [f"Deployment/{key.name}"]

    def _may_roll(self, key: NamespacedName, now: datetime) -> bool:
        """Take one of the `max_rollouts` slots for unchanged apps, if one is free. Returns whether it did."""
        deadline = timedelta(seconds=self._settings.progress_deadline_seconds)
        with self._lock:
            self._rolling = {
                other: begun
                for other, begun in self._rolling.items()
                if now - begun < SETTLE_TIME or (now - begun < deadline and not self._is_complete(other))
            }
            if key not in self._rolling and len(self._rolling) >= self._settings.max_rollouts:
                return False
            self._rolling[key] = now
            return True

    def _is_complete(self, key: NamespacedName) -> bool:
        rollout = self._cache.rollout(key)
        return rollout is None or rollout.is_complete

    def _scale_for_suspension(self, app: FtlApp, spin_app: Mapping[str, Any] | None) -> bool:
        """Remove the pods of a suspended app, and bring them back afterwards.

        This happens before the SpinApp loses its suspension annotation: after a crash between the two, the
        next reconcile sees the annotation and scales again.

        Returns:
            Whether pods are being brought back.
        """
        key = NamespacedName(app.metadata.namespace, app.metadata.name)
        rollout = self._cache.rollout(key)
        marked = SUSPENDED_ANNOTATION in ((spin_app or {}).get("metadata", {}).get("annotations") or {})
        if app.spec.suspend:
            # Only after the annotation is applied: without it spin-operator would set the replicas again.
            if marked and rollout is not None and rollout.desired != 0:
                self._scale(key, 0)
            return False
        scaling = app.spec.runtime.autoscaling
        least = scaling.min_replicas if scaling is not None else 0
        if marked and least and rollout is not None and rollout.desired == 0:
            # A HorizontalPodAutoscaler never scales up from zero.
            self._scale(key, least)
        return marked

    def _leave_zero(self, snapshot: Snapshot, app: FtlApp) -> None:
        """Bring the pods back if a scaler to zero has left none to a HorizontalPodAutoscaler.

        That one never scales up from zero. KEDA may even set the Deployment to zero after the new autoscaler
        exists, while it finishes with its own. After `HANDOVER_TIME` a person has set zero, and it stays.
        """
        scaling, rollout = app.spec.runtime.autoscaling, self._cache.rollout(snapshot.key)
        if scaling is None or scaling.scaler is not Scaler.HPA or app.spec.suspend:
            return
        scaler = self._cache.owned(snapshot.key, app.metadata.uid).get(
            (kinds.HORIZONTAL_POD_AUTOSCALER, snapshot.key.name)
        )
        if scaler is None or rollout is None or rollout.desired != 0:
            return
        created = scaler.read()["metadata"].get("creationTimestamp")
        if created and snapshot.now - datetime.fromisoformat(created) < HANDOVER_TIME:
            self._scale(snapshot.key, scaling.min_replicas)

    def _scale(self, key: NamespacedName, replicas: int) -> None:
        """Set the Deployment's replicas, and read it back: the watch reports it only after this reconcile."""
        self._kube.scale(key.namespace, key.name, replicas)
        metrics.CLUSTER_WRITES.labels("scale", kinds.DEPLOYMENT.kind).inc()
        scaled = self._kube.get(kinds.DEPLOYMENT, key.namespace, key.name)
        if scaled is not None:
            self._cache.observe_event(kinds.DEPLOYMENT, scaled)

    def _refuse_foreign(self, api: Api, key: NamespacedName, name: str, uid: str) -> None:
        """Refuse to take over an existing object that belongs to another owner."""
        found = self._kube.get(api, key.namespace, name)
        if found is None:
            return
        owner = owner_of(key.namespace, found["metadata"])
        if owner is None or owner[0] != key or owner[1] not in ("", uid):
            raise ConflictError(
                f"{api.kind} {name!r} exists and belongs to somebody else; rename one of the two",
                reason=Reason.CONFLICT,
            )
