"""Writes an app's status, if it differs, and tells in events what changed."""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import Kube, TerminatingError
from ftl_operator.controller.look import Look
from ftl_operator.controller.status.conditions import next_status
from ftl_operator.controller.status.events import event, events_between
from ftl_operator.controller.status.inputs import Observed, Outcome
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import ClusterError
from ftl_operator.settings import Settings

Json = dict[str, Any]
_log = logging.getLogger(__name__)


class StatusWriter:
    """Reports what looks found.

    Args:
        settings: The operator's settings.
        kube: The cluster.
        view: Told of every write at once.
    """

    def __init__(self, settings: Settings, kube: Kube, view: Cache) -> None:
        self._settings = settings
        self._kube = kube
        self._view = view

    def write(self, look: Look, app: FtlApp | None) -> bool:
        """Write the status if it differs, and tell what changed. Returns whether it did.

        Raises:
            ClusterError: The status was not written, or the namespace is being deleted.
        """
        is_back = look.wanted is not None and look.running != look.wanted.image
        outcome = Outcome(
            generation=look.seen.generation,
            stages=look.steps.findings,
            error=look.error,
            facts={**look.facts, "lastHandledReconcileAt": look.seen.trigger, "history": look.entries},
            waiting=look.waiting.message if look.waiting else "",
            suspended=app is not None and app.spec.suspend,
            rolls=look.rolls,
            notes=look.notes,
        )
        observed = Observed(
            rollout=look.observed.rollout,
            is_current=look.observed.is_current,
            cause=look.observed.cause,
            report=look.observed.report,
            probe=look.probe,
            rolled_back=look.wanted.image if is_back and look.wanted else "",
            deadline_seconds=deadline(app, self._settings),
        )
        old = look.status
        new = next_status(old, outcome, observed, look.now)
        patch: Json = {name: value for name, value in new.items() if old.get(name) != value}
        patch |= {name: None for name in old if name not in new}
        if not patch:
            return False
        version = look.body["metadata"]["resourceVersion"]
        # One action: what the status says already is told by nobody else.
        with self._kube.fence.passage():
            written = self._kube.patch_status(look.key.namespace, look.key.name, version, patch)
            metrics.CLUSTER_WRITES.labels("status", "FtlApp").inc()
            self._view.see(kinds.FTL_APP, written)
            self._tell(look, old, new)
        return True

    def _tell(self, look: Look, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        for transition in events_between(old, new):
            serial = uuid.uuid4().hex[:12]
            made = event(
                transition,
                look.body["metadata"],
                identity=self._settings.identity or "ftl-operator",
                serial=serial,
                now=look.now,
            )
            try:
                self._kube.post_event(look.key.namespace, made)
                metrics.CLUSTER_WRITES.labels("create", "Event").inc()
            except TerminatingError:
                raise
            except ClusterError as error:
                _log.warning("an event was not written: %s", error, extra=look.named)


def deadline(app: FtlApp | None, settings: Settings) -> float:
    """How many seconds a rollout of an app may take."""
    own = app.spec.runtime.progress_deadline_seconds if app is not None else None
    return own or settings.progress_deadline_seconds
