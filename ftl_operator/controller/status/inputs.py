"""The inputs of the next status: the old status, the reconcile's results, and the observed state. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ftl_operator.api.conditions import ConditionState, ConditionType
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.cluster.executor import SpinAppStatus
from ftl_operator.errors import FtlError


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInput:
    """The inputs of the next status.

    Args:
        old: The present status; conditions that do not change keep their time.
        generation: The generation of the spec that was read.
        now: The time of changes.
        stages: The conditions of the stages that ran; the other conditions stay as they are.
        error: The error that ended the reconcile, if any.
        facts: The fields that this reconcile determines: image, url, components, tools and so on.
        waiting: What the app waits for, such as a running inspection.
        suspended: Whether the spec asks for no pods.
        rolls: Whether the SpinApp was changed, so that the app has to be probed again.
        notes: Remarks for the message of `Ready`, such as an optional object that was not applied.
        rollout: The state of the Deployment, if there is one.
        is_current: Whether that state belongs to what was applied last.
        cause: Why pods do not become ready, as the cluster words it.
        report: The SpinApp's own status, if its executor makes no Deployment.
        probe: The result of the probe, if the app was probed now.
        rolled_back: The image that missed its deadline, if the last good one runs in its place.
        failure: Why that image missed it, as the history has it: its pods are gone.
        is_late: Whether the running version missed its deadline and there is none to roll back to.
        deadline_seconds: How many seconds a rollout may take.
    """

    old: FtlAppStatus
    generation: int
    now: datetime
    stages: Mapping[ConditionType, ConditionState] = field(default_factory=dict)
    error: FtlError | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    waiting: str = ""
    suspended: bool = False
    rolls: bool = False
    notes: Sequence[str] = ()
    rollout: Rollout | None = None
    is_current: bool = True
    cause: str = ""
    report: SpinAppStatus | None = None
    probe: ConditionState | None = None
    rolled_back: str = ""
    failure: str = ""
    is_late: bool = False
    deadline_seconds: float = 600

    @property
    def is_out(self) -> bool:
        """Whether every existing pod runs what was applied last."""
        if self.report is not None:
            return self.report.is_current
        return self.rollout is not None and self.rollout.is_out and self.is_current

    @property
    def may_serve(self) -> bool:
        """Whether only the SpinApp's status could say that the app does not serve, and it does not say so."""
        return self.report is not None and self.report.may_serve
