"""Conditions of an FtlApp and the state of each."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from ftl_operator.errors import Reason


class Result(StrEnum):
    """What became of a published version."""

    ROLLING_OUT = "RollingOut"
    """Its pods are starting."""
    SERVING = "Serving"
    """It serves."""
    SUPERSEDED = "Superseded"
    """It served until a later one replaced it."""
    ROLLED_BACK = "RolledBack"
    """It did not become ready, and another one runs."""


class ConditionType(StrEnum):
    """The types of an FtlApp's conditions, in the order of the pipeline."""

    RESOLVED = "Resolved"
    """Every tool's reference was pinned to a digest."""
    INSPECTED = "Inspected"
    """Every component is usable, and its tools are known or read at run time."""
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
    """Only while true: nothing happens until somebody changes something."""


PIPELINE = (
    ConditionType.RESOLVED,
    ConditionType.INSPECTED,
    ConditionType.AUTH_READY,
    ConditionType.COMPOSED,
    ConditionType.PUBLISHED,
)
"""The conditions of the stages before the cluster, in order."""


@dataclass(frozen=True, slots=True)
class ConditionState:
    """The status, reason and message of one condition."""

    status: str
    reason: Reason
    message: str


def true(message: str, reason: Reason = Reason.SUCCEEDED) -> ConditionState:
    """Make a condition that is true."""
    return ConditionState("True", reason, message)


def false(message: str, reason: Reason) -> ConditionState:
    """Make a condition that is false."""
    return ConditionState("False", reason, message)


def unknown(message: str, reason: Reason = Reason.PROGRESSING) -> ConditionState:
    """Make a condition whose state is unknown."""
    return ConditionState("Unknown", reason, message)


def timestamp(moment: datetime) -> str:
    """Format a time as Kubernetes does, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
