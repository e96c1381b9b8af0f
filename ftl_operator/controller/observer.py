"""Observes a running app: the state of its Deployment, why pods are not ready, and the result of a probe."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access
from ftl_operator.api.conditions import ConditionState, ConditionType, unknown
from ftl_operator.api.names import POD_LABEL, SPEC_ANNOTATION, NamespacedName
from ftl_operator.cluster.cache import Cache, Snapshot
from ftl_operator.cluster.client import Kube
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.cluster.executor import SpinAppStatus
from ftl_operator.cluster.pods import Event, Pod, crash, failing_pods, has_events, pod_cause
from ftl_operator.controller.choice import Choice
from ftl_operator.controller.gateway_secrets import GatewaySecrets
from ftl_operator.controller.probe import Probe
from ftl_operator.errors import COME_BACK, ClusterError, Reason, WaitingError
from ftl_operator.fair_share import FairShare
from ftl_operator.settings import Settings

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""How long after a rollout an app that does not answer is probed again before the status reports it."""
MOST_ASKED = 3
"""For how many pods the events are read in one reconcile, until a cause is found."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The observed state of a running app.

    Args:
        rollout: The state of its Deployment, if there is one.
        is_current: Whether that state belongs to the SpinApp as it was applied last.
        cause: Why its pods do not become ready.
        report: The SpinApp's own status, if its executor makes no Deployment.
        probe: The result of the probe, if the app was probed now.
        waiting: Why the probe was put off.
    """

    rollout: Rollout | None = None
    is_current: bool = False
    cause: str = ""
    report: SpinAppStatus | None = None
    probe: ConditionState | None = None
    waiting: WaitingError | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a Deployment or a status of the SpinApp."""
        return self.rollout is not None or self.report is not None

    @property
    def is_complete(self) -> bool:
        """Whether all pods run what was applied last and are available, as far as the cluster tells."""
        if self.report is not None:
            return self.report.may_serve
        return self.rollout is not None and self.is_current and self.rollout.is_complete

    @property
    def is_scaled_to_zero(self) -> bool:
        """Whether zero pods are desired and none is left."""
        return self.rollout is not None and self.rollout.is_scaled_to_zero


class Observer:
    """Observes running apps.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        cache: The watched objects.
        probe: Probes running apps.
    """

    def __init__(self, settings: Settings, kube: Kube, cache: Cache, probe: Probe) -> None:
        self._settings = settings
        self._kube = kube
        self._cache = cache
        self._probe = probe
        self._gateway_secrets = GatewaySecrets(settings, kube, cache)
        # An app that does not answer blocks a worker until the timeout. Half of the workers stay free for
        # other work, and apps that did not answer the last time get few slots.
        self._slots = FairShare(max(1, settings.workers // 2))
        self._silent = FairShare(max(1, settings.workers // 8))
        self._lock = threading.Lock()

    def observe(
        self, snapshot: Snapshot, app: FtlApp | None, choice: Choice, *, is_new: bool, tools: Sequence[str]
    ) -> Observation:
        """Read the state of the app, and probe it unless a probe has succeeded since the rollout.

        Args:
            snapshot: The app.
            app: The same, parsed; None if its spec is invalid.
            choice: The release that was applied.
            is_new: Whether the SpinApp was changed just now.
            tools: The names of tools that clients must see.
        """
        seen = self._read_state(snapshot)
        if app is None or app.spec.suspend or not choice.image or not seen.is_there:
            return seen
        if not seen.is_complete or seen.is_scaled_to_zero:
            return seen
        # An earlier result in the status does not count for a new image or changed pods.
        is_same = snapshot.status.image == choice.image and not is_new
        before = snapshot.status.condition(ConditionType.VERIFIED) if is_same else None
        try:
            probe = self.verify(app, before, tools)
        except WaitingError as waiting:
            return replace(seen, waiting=waiting)
        was_told = before is not None and before.reason is Reason.NOT_VERIFIED
        is_silent = probe is not None and probe.reason is Reason.NOT_VERIFIED
        if is_silent and not was_told and _has_just_completed(seen.rollout, snapshot.now):
            # For some seconds after a rollout, the Service may still route to deleted pods.
            return replace(
                seen, waiting=WaitingError("the Service does not lead to the new pods yet", COME_BACK)
            )
        return replace(seen, probe=probe)

    def _read_state(self, snapshot: Snapshot) -> Observation:
        """What the cluster tells, without a probe."""
        key = snapshot.key
        spin_app = self._cache.spin_app(key, snapshot.app.uid) or {}
        spec = spin_app.get("spec") or {}
        executor = self._cache.executor(key.namespace, spec.get("executor", ""))
        if executor is not None and not executor.makes_deployment:
            # A Deployment that an earlier executor made may still exist; it says nothing about this app.
            report = self._cache.report(key)
            cause = "" if report.may_serve else str(report)
            return Observation(None, report.is_current, cause, report)
        rollout = self._cache.rollout(key)
        if rollout is None:
            return Observation()
        is_current = not spin_app or _belongs_to(rollout, spin_app)
        rollout = _as_asked(rollout, spin_app)
        if (is_current and rollout.is_complete) or rollout.is_scaled_to_zero:
            return Observation(rollout, is_current)
        return Observation(rollout, is_current, self._cause(key, snapshot.now) or rollout.message)

    def _cause(self, key: NamespacedName, now: datetime) -> str:
        """Why the pods of an app do not become ready.

        Events and logs are read for the newest pods that fail, so a healthy app costs no request.
        """
        pods = self._kube.pods(key.namespace, f"{POD_LABEL}={key.name}")
        for pod in failing_pods(pods, now)[:MOST_ASKED]:
            cause = pod_cause(pod, now, self._events_of(key.namespace, pod), self._log_of(key.namespace, pod))
            if cause:
                return cause
        return ""

    # The operator's roles may lack the following rights; then only the status of the pods is used.

    def _events_of(self, namespace: str, pod: Pod) -> Sequence[Event]:
        if not has_events(pod):
            return ()
        try:
            return self._kube.pod_events(namespace, pod["metadata"]["uid"])
        except ClusterError as error:
            _log.debug("events of a pod are not read: %s", error)
            return ()

    def _log_of(self, namespace: str, pod: Pod) -> str:
        ended = crash(pod) if self._settings.read_pod_logs else None
        if ended is None:
            return ""
        name = pod["metadata"]["name"]
        try:
            return self._kube.pod_log(namespace, name, ended.container, previous=ended.is_previous)
        except ClusterError as error:
            _log.debug("the log of a pod is not read: %s", error)
            return ""

    def verify(
        self, app: FtlApp, before: ConditionState | None, tools: Sequence[str]
    ) -> ConditionState | None:
        """Probe the running app. Returns None if an earlier probe has succeeded.

        Raises:
            WaitingError: Too many probes are under way.
        """
        if before is not None and before.status == "True":
            return None
        was_silent = before is not None and before.reason is not Reason.PROGRESSING
        with self._slot(app.metadata.namespace, was_silent=was_silent):
            url = self._settings.service_url.format(
                name=app.metadata.name, namespace=app.metadata.namespace
            ).rstrip("/")
            try:
                word = self._gateway_secrets.probe_word(app)
            except ClusterError as error:
                return unknown(f"the app's probe word cannot be read: {error}", Reason.NOT_VERIFIED)
            is_public = app.spec.access is Access.PUBLIC
            return self._probe.ask(url, word, expected=tools, is_public=is_public)

    @contextmanager
    def _slot(self, namespace: str, *, was_silent: bool) -> Iterator[None]:
        shares = (self._silent, self._slots) if was_silent else (self._slots,)
        with self._lock:
            if not all(share.may_take(namespace) for share in shares):
                raise WaitingError("other apps are being probed first", COME_BACK)
            turns = [(share, share.take(namespace)) for share in shares]
        try:
            yield
        finally:
            with self._lock:
                for share, turn in turns:
                    share.give_back(turn)


def _has_just_completed(rollout: Rollout | None, now: datetime) -> bool:
    """Whether a rollout completed so recently that proxies may not know its pods. Clocks differ a little."""
    if rollout is None or not rollout.completed_at:
        return False
    return abs((now - datetime.fromisoformat(rollout.completed_at)).total_seconds()) < SETTLE_SECONDS


def _as_asked(rollout: Rollout, spin_app: Mapping[str, Any]) -> Rollout:
    """The Deployment as it will be after spin-operator has scaled it up from zero.

    Without an autoscaler, spin-operator sets the replicas of the SpinApp. Between the end of a suspension and
    that moment, the Deployment still has zero.
    """
    spec = spin_app.get("spec") or {}
    if rollout.desired or spec.get("enableAutoscaling") or not spec.get("replicas"):
        return rollout
    return replace(rollout, desired=int(spec["replicas"]))


def _belongs_to(rollout: Rollout, spin_app: Mapping[str, Any]) -> bool:
    """Whether a Deployment is the one that spin-operator makes of this SpinApp as it is now."""
    spec = spin_app["spec"]
    return (
        # The garbage collector is about to delete the Deployment of an earlier SpinApp.
        rollout.owner in ("", spin_app["metadata"]["uid"])
        # Somebody may have changed the image but not the annotation. Only digests are compared, because a
        # cluster's policies may redirect pulls to a mirror.
        and rollout.image.rpartition("@")[2] == spec["image"].rpartition("@")[2]
        and rollout.spec_digest == (spec.get("deploymentAnnotations") or {}).get(SPEC_ANNOTATION, "")
    )
