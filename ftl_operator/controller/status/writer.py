"""Writes the status of an app if it has changed, and posts events about the changes."""

import logging
import uuid

from ftl_operator.api import kinds
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.cache import Cache, Snapshot
from ftl_operator.cluster.client import Kube, TerminatingError
from ftl_operator.controller.status.events import event, events_between
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import ClusterError

_log = logging.getLogger(__name__)


class StatusWriter:
    """Writes statuses and events.

    Args:
        kube: The cluster.
        cache: Gets the result of every write at once.
        identity: This replica of the operator, as events name it.
    """

    def __init__(self, kube: Kube, cache: Cache, identity: str) -> None:
        self._kube = kube
        self._cache = cache
        self._identity = identity

    def write(self, snapshot: Snapshot, status: FtlAppStatus) -> bool:
        """Write the status if it differs from the snapshot's. Returns whether it did.

        Raises:
            ClusterError: The status was not written, or the namespace is being deleted.
        """
        old, new = snapshot.document.get("status") or {}, status.document()
        patch = {name: value for name, value in new.items() if old.get(name) != value}
        patch |= {name: None for name in old if name not in new}
        if not patch:
            return False
        key, version = snapshot.key, snapshot.document["metadata"]["resourceVersion"]
        # One pass through the gate for both: once the status is written, no other replica posts its events.
        with self._kube.write_gate.write():
            written = self._kube.patch_status(key.namespace, key.name, version, patch)
            metrics.CLUSTER_WRITES.labels("status", "FtlApp").inc()
            self._cache.observe_event(kinds.FTL_APP, written)
            self._post_events(snapshot, status)
        return True

    def _post_events(self, snapshot: Snapshot, status: FtlAppStatus) -> None:
        for transition in events_between(snapshot.status, status):
            made = event(
                transition,
                snapshot.document["metadata"],
                identity=self._identity,
                serial=uuid.uuid4().hex[:12],
                now=snapshot.now,
            )
            try:
                self._kube.post_event(snapshot.key.namespace, made)
                metrics.CLUSTER_WRITES.labels("create", "Event").inc()
            except TerminatingError:
                raise
            except ClusterError as error:
                _log.warning("an event was not posted: %s", error, extra=snapshot.log_fields)
