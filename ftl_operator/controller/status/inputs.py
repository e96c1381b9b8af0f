"""The words of an FtlApp's status: its conditions, and what a reconcile and a look at the cluster found.

Pure. What the conditions are, given all that, is in `verdict.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftl_operator.api.conditions import ConditionState, ConditionType
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.cluster.executor import SpinAppStatus
from ftl_operator.errors import FtlError


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
    stages: Mapping[ConditionType, ConditionState] = field(default_factory=dict)
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
    report: SpinAppStatus | None = None
    probe: ConditionState | None = None
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
