"""Leader election by a Lease: the leader renews it; a candidate takes it over when the renewals stop.

As in client-go, the clocks of two machines are never compared: a candidate takes a Lease over when it has
*seen* the record unchanged for the Lease's whole duration. The leader stops well before that
(`RENEW_DEADLINE_SECONDS`, counted from before its last successful renewal), so two replicas never lead at
once.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.cluster.client import Kube
from ftl_operator.errors import ClusterError

LEASE_SECONDS = 13
"""How long a Lease is valid after its last renewal. With two polls, a crash costs at most 15 seconds."""
RENEW_DEADLINE_SECONDS = 8.0
"""How long the leader may act after its last renewal; the rest of the Lease covers a write under way."""
RENEW_SECONDS = 3.0
"""How often the leader renews the Lease."""
POLL_SECONDS = 1.0
"""How often a candidate reads the Lease, and so how long a released Lease stays free."""

_log = logging.getLogger(__name__)


class LeaderElection:
    """This replica's part in the election.

    Args:
        kube: The cluster; its write gate does not apply to Leases.
        namespace: The Lease's namespace.
        name: The Lease's name.
        identity: This replica, unique among the candidates.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._renewed: float | None = None
        self._record: tuple[str, str] = ("", "")
        self._record_seen = clock()

    def is_leader(self) -> bool:
        """Whether this replica leads now."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE_SECONDS

    def try_acquire_or_renew(self) -> None:
        """Renew the Lease, or take it if it is free. After an error a leader leads on until the deadline."""
        started = self._clock()
        try:
            lease = self._kube.read_lease(self._namespace, self._name)
            if lease is not None and not self._is_ours_or_free(lease):
                self._renewed = None
                return
            self._kube.write_lease(self._namespace, self._claim(lease))
        except ClusterError as error:
            _log.warning("the Lease was not renewed: %s", error)
            return
        if not self.is_leader():
            _log.info("this replica leads", extra={"identity": self._identity})
        self._renewed = started

    def release(self) -> None:
        """Release the Lease, so that a standby can take it at once. After a failure the Lease expires."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            lease = self._kube.read_lease(self._namespace, self._name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                self._kube.write_lease(self._namespace, lease)
        except ClusterError as error:
            _log.warning("the Lease was not freed: %s", error)

    def run(
        self, stop: threading.Event, changed: Callable[[bool], None], end: Callable[[], bool] = lambda: True
    ) -> None:
        """Take part in the election until `stop` is set, then release the Lease.

        Args:
            stop: Ends the election.
            changed: Called with whether this replica leads, whenever that changes.
            end: Called before the Lease is released: stops the replica's work and returns whether all of it
                has
                ended. If not, the Lease is left to expire, so that no other replica leads before.
        """
        led = False
        while True:
            self.try_acquire_or_renew()
            if self.is_leader() != led:
                led = not led
                changed(led)
            if stop.wait(RENEW_SECONDS if led else POLL_SECONDS):
                break
        if end():
            self.release()
        else:
            _log.warning("the Lease is not freed, for something is still under way")
        if led:
            changed(False)

    def _is_ours_or_free(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec", {})
        holder = spec.get("holderIdentity", "")
        if holder in ("", self._identity):
            return True
        record = (holder, str(spec.get("renewTime", "")))
        if record != self._record:
            self._record, self._record_seen = record, self._clock()
        return self._clock() - self._record_seen > float(spec.get("leaseDurationSeconds", LEASE_SECONDS))

    def _claim(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec", {})
        ours = old.get("holderIdentity") == self._identity
        return {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": (lease or {}).get("metadata") or {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": old.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": old.get("leaseTransitions", 0) + (not ours and lease is not None),
            },
        }
