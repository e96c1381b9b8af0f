"""Events: what happened to an app that a person would want to read, said once. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.conditions import ConditionType, Result, finding

NOTE_LENGTH = 1000
"""The longest note of an event (events.k8s.io/v1)."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Something worth an event."""

    kind: str
    reason: str
    action: str
    note: str


def events_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """What changed between two statuses. A status that only says the same in other words changes nothing."""
    if old.get("image") != new.get("image") and new.get("image"):
        yield Transition("Normal", "Published", "Publish", f"runs {new['image']}")
    before = {(entry["image"], entry["generation"]): entry["result"] for entry in old.get("history") or ()}
    for entry in new.get("history") or ():
        was = before.get((entry["image"], entry["generation"]))
        if entry["result"] == Result.ROLLED_BACK and was == Result.ROLLING_OUT and entry.get("message"):
            yield Transition("Warning", "RolledBack", "Rollback", f"{entry['image']}: {entry['message']}")
    for condition, good in ((ConditionType.VERIFIED, "Verify"), (ConditionType.READY, "Reconcile")):
        was_finding, is_finding = finding(old, condition), finding(new, condition)
        if is_finding is None or is_finding.status == "Unknown":
            continue
        changed = was_finding is None or was_finding.status != is_finding.status
        # Other reasons for the same answer are news when it is a bad one, except that a rollout is under way.
        changed |= (
            is_finding.status == "False"
            and was_finding is not None
            and was_finding.reason != is_finding.reason
        )
        is_news = is_finding.status == "True" or is_finding.reason not in ("Progressing", "RollingOut")
        if changed and is_news:
            kind = "Normal" if is_finding.status == "True" else "Warning"
            yield Transition(kind, is_finding.reason.value, good, f"{condition}: {is_finding.message}")


def event(
    transition: Transition, metadata: Mapping[str, Any], *, identity: str, serial: str, now: datetime
) -> dict[str, Any]:
    """The event to create.

    Args:
        transition: What happened.
        metadata: The FtlApp's.
        identity: This replica of the operator.
        serial: Makes the event's name unique.
        now: When it happened.
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
