"""Chooses the release that an app runs now: the planned one, the last good one, or none. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from ftl_operator.api.conditions import timestamp
from ftl_operator.cluster.cache import Snapshot
from ftl_operator.controller.releaser import Planned
from ftl_operator.controller.status import history
from ftl_operator.controller.status.history import Version
from ftl_operator.errors import WaitingError
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference

LONG_WAIT = 30.0
"""Seconds to the next reconcile while a watch event is expected; the reconcile covers a missed one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The release to apply.

    Args:
        release: The release; None to apply nothing.
        wanted: The version that the spec asks for; after a rollback `release` is another one.
        waiting: Why the planned release is not applied yet.
    """

    release: Release | None = None
    wanted: Version | None = None
    waiting: WaitingError | None = None

    @property
    def image(self) -> str:
        """The image that runs once this is applied; empty if nothing is applied."""
        return str(self.release.image) if self.release is not None else ""

    @property
    def rolled_back(self) -> str:
        """The image that missed its deadline, if another one runs in its place."""
        return self.wanted.image if self.wanted is not None and self.image != self.wanted.image else ""


def choose(snapshot: Snapshot, planned: Planned, *, rollouts: Callable[[], int], max_rollouts: int) -> Choice:
    """Choose between the planned release and the last good one, and limit rollouts of unchanged specs.

    Args:
        snapshot: The app.
        planned: Its planned release.
        rollouts: Counts the apps that are being rolled out now; asked only for a new version of an unchanged
            spec, for it looks at every app.
        max_rollouts: From how many on an app whose spec did not change has to wait.
    """
    if planned.app is None or planned.result is None:
        return Choice()
    release = planned.result.release
    wanted = Version(str(release.image), release.inputs, snapshot.app.generation)
    suspended = planned.app.spec.suspend
    image = wanted.image if suspended else history.chosen(snapshot.status.history, wanted)
    is_asked_for = snapshot.status.observed_generation != snapshot.app.generation or snapshot.spin_app is None
    is_running = bool(snapshot.app.rolling_since) or image == snapshot.status.image
    if not is_asked_for and not is_running and rollouts() >= max_rollouts:
        return Choice(waiting=WaitingError("a new version waits until other apps are rolled out", LONG_WAIT))
    return Choice(replace(release, image=parse_reference(image)), wanted)


def rollouts_since(snapshot: Snapshot, deadline_seconds: float) -> str:
    """The earliest start of a rollout that has not missed its deadline, in the status' time format."""
    return timestamp(snapshot.now - timedelta(seconds=deadline_seconds))
