"""Kubernetes events about changes of an app's conditions, each posted once. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.conditions import ConditionType, Result
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.errors import Reason

NOTE_LENGTH = 1000
"""The longest note of an event (events.k8s.io/v1)."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that is worth an event."""

    kind: str
    reason: str
    action: str
    note: str


def events_between(old: FtlAppStatus, new: FtlAppStatus) -> Iterator[Transition]:
    """The changes between two statuses. A different message for the same state is no change."""
    if old.image != new.image and new.image:
        yield Transition("Normal", "Published", "Publish", f"runs {new.image}")
    before = {(entry.image, entry.generation): entry.result for entry in old.history}
    for entry in new.history:
        was_rolling = before.get((entry.image, entry.generation)) == Result.ROLLING_OUT
        if entry.result == Result.ROLLED_BACK and was_rolling and entry.message:
            yield Transition("Warning", "RolledBack", "Rollback", f"{entry.image}: {entry.message}")
    for kind, action in ((ConditionType.VERIFIED, "Verify"), (ConditionType.READY, "Reconcile")):
        was, now = old.condition(kind), new.condition(kind)
        if now is None or now.status == "Unknown":
            continue
        changed = was is None or was.status != now.status
        # A new reason for a False condition is a change, except during a rollout.
        changed |= now.status == "False" and was is not None and was.reason != now.reason
        is_news = now.status == "True" or now.reason not in (Reason.PROGRESSING, Reason.ROLLING_OUT)
        if changed and is_news:
            severity = "Normal" if now.status == "True" else "Warning"
            yield Transition(severity, now.reason.value, action, f"{kind}: {now.message}")


def event(
    transition: Transition, metadata: Mapping[str, Any], *, identity: str, serial: str, now: datetime
) -> dict[str, Any]:
    """Make the Event object to create.

    Args:
        transition: The change.
        metadata: The FtlApp's metadata.
        identity: This replica of the operator.
        serial: Makes the event's name unique.
        now: The time of the change.
    """
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{serial}", "namespace": metadata["namespace"]},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "ftl.tools/ftl-operator",
        "reportingInstance": identity[:128],
        "type": transition.kind,
        "reason": transition.reason,
        "action": transition.action,
        "note": transition.note[:NOTE_LENGTH],
        "regarding": {
            "apiVersion": kinds.FTL_APP.api_version,
            "kind": kinds.FTL_APP.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
