"""The words of an FtlApp's status: its conditions, and what a reconcile and a look at the cluster found.

Pure. What the conditions are, given all that, is in `verdict.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ftl_operator.errors import FtlError, Reason
from ftl_operator.executors import Report
from ftl_operator.rollout import Rollout


class Condition(StrEnum):
    """The types of an FtlApp's conditions, in the order of the pipeline."""

    RESOLVED = "Resolved"
    """Every tool's reference was pinned to a digest."""
    INSPECTED = "Inspected"
    """Every component is usable and its tools are known, or it is asked at run time."""
    AUTH_READY = "AuthReady"
    """The issuer's keys and the policy are usable, or access is public."""
    COMPOSED = "Composed"
    """Gateway, authorizer and tools form one Spin application."""
    PUBLISHED = "Published"
    """That application is in the registry."""
    AVAILABLE = "Available"
    """Enough pods are ready to serve."""
    VERIFIED = "Verified"
    """The running app answers for every tool."""
    READY = "Ready"
    """The cluster is as the spec wants it."""
    RECONCILING = "Reconciling"
    """Only while true: something is under way."""
    STALLED = "Stalled"
    """Only while true: nothing goes on until somebody changes something."""


PIPELINE = (
    Condition.RESOLVED,
    Condition.INSPECTED,
    Condition.AUTH_READY,
    Condition.COMPOSED,
    Condition.PUBLISHED,
)
"""The conditions of the stages before the cluster, in order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The status, reason and message of one condition."""

    status: str
    reason: Reason
    message: str


def true(message: str, reason: Reason = Reason.SUCCEEDED) -> Finding:
    """A condition that holds."""
    return Finding("True", reason, message)


def false(message: str, reason: Reason) -> Finding:
    """A condition that does not hold."""
    return Finding("False", reason, message)


def unknown(message: str, reason: Reason = Reason.PROGRESSING) -> Finding:
    """A condition about which nothing can be said."""
    return Finding("Unknown", reason, message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reconcile did.

    Args:
        generation: The generation of the spec it read.
        stages: The findings of the stages that were run; the others keep what they had.
        error: What stopped it, if anything did.
        facts: Fields of the status that are known now: image, url, components, tools and so on.
        waiting: What it waits for, such as a running inspection.
        suspended: Whether the spec asks for no pods.
        rolls: Whether the SpinApp was changed, so that what runs must be asked again.
        notes: What a reader of `Ready` should know besides, such as an optional object that was not applied.
    """

    generation: int
    stages: Mapping[Condition, Finding] = field(default_factory=dict)
    error: FtlError | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    waiting: str = ""
    suspended: bool = False
    rolls: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the cluster runs.

    Args:
        rollout: The Deployment's numbers, if there is one.
        is_current: Whether they are about what was applied last.
        cause: Why pods do not become ready, in their own words.
        report: What the SpinApp says, if its executor makes no Deployment.
        probe: What the running app said when it was asked, if it was asked now.
        rolled_back: The image that missed its deadline, if the last good one runs in its place.
        deadline_seconds: How long a rollout may take.
    """

    rollout: Rollout | None = None
    is_current: bool = True
    cause: str = ""
    report: Report | None = None
    probe: Finding | None = None
    rolled_back: str = ""
    deadline_seconds: float = 600

    @property
    def is_out(self) -> bool:
        """Whether everything there is runs what was applied last."""
        if self.report is not None:
            return self.report.is_current
        return self.rollout is not None and self.rollout.is_out and self.is_current

    @property
    def may_serve(self) -> bool:
        """Whether nobody but the SpinApp could say that the app does not serve, and it does not say so."""
        return self.report is not None and self.report.may_serve


def finding(status: Mapping[str, Any], condition: Condition) -> Finding | None:
    """What a status says about a condition."""
    for item in status.get("conditions") or ():
        if item["type"] == condition:
            return Finding(item["status"], Reason(item["reason"]), item.get("message", ""))
    return None


def timestamp(moment: datetime) -> str:
    """A time as Kubernetes writes it, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
