"""What the next status is made from: the old one, what a reconcile did, and what the cluster runs. Pure."""

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
    """Everything that decides the next status.

    Args:
        old: The status as it is; conditions that do not change keep their time.
        generation: The generation of the spec that was read.
        now: The time of changes.
        stages: What the stages that ran found; the others keep what they had.
        error: What stopped the reconcile, if anything did.
        facts: Fields of the status that are known now: image, url, components, tools and so on.
        waiting: What the app waits for, such as a running inspection.
        suspended: Whether the spec asks for no pods.
        rolls: Whether the SpinApp was changed, so that what runs has to be asked again.
        notes: What a reader of `Ready` should know besides, such as an optional object that was not applied.
        rollout: The numbers of the Deployment, if there is one.
        is_current: Whether they are about what was applied last.
        cause: Why pods do not become ready, in their own words.
        report: What the SpinApp says, if its executor makes no Deployment.
        probe: What the running app said when it was asked, if it was asked now.
        rolled_back: The image that missed its deadline, if the last good one runs in its place.
        is_late: Whether what runs missed its deadline and there is nothing to go back to.
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
    is_late: bool = False
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
