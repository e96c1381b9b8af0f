"""Executors, and what is known of an app whose executor makes no Deployment. Pure.

A SpinAppExecutor with `createDeployment: false` leaves its apps to another runtime. Then spin-operator
(v0.6) makes the Service and nothing else, and writes no status: that is the runtime's to write, in
spin-operator's own words, which are the condition `Available`, `readyReplicas`, and `activeScheduler`, the
executor that the rest is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpinAppStatus:
    """What a SpinApp's own status says.

    Args:
        available: The condition `Available`: True, False or Unknown.
        text: Why, in the words of whoever wrote it; empty if nobody did.
        ready: How many replicas are ready; None if the status does not say.
        is_current: Whether it is about the SpinApp as it is now. Without an `observedGeneration`, which
            spin-operator does not write, that is believed.
    """

    available: str = "Unknown"
    text: str = ""
    ready: int | None = None
    is_current: bool = True

    @property
    def may_serve(self) -> bool:
        """Whether nothing says that the app does not serve as it was applied last."""
        return self.is_current and self.available != "False"

    def __str__(self) -> str:
        if not self.text:
            return "the executor makes no Deployment, and the SpinApp's status says nothing yet"
        return f"the SpinApp's status says: {self.text}"


def report_of(spin_app: Body) -> SpinAppStatus:
    """Read a SpinApp's status. What an earlier executor left in it says nothing."""
    spec, status = spin_app.get("spec") or {}, spin_app.get("status") or {}
    if status.get("activeScheduler") not in (None, "", spec.get("executor")):
        return SpinAppStatus()
    conditions = {item.get("type"): item for item in status.get("conditions") or ()}
    found = conditions.get("Available")
    if found is None:
        return SpinAppStatus()
    seen = found.get("observedGeneration")
    words = (str(found.get(name) or "") for name in ("reason", "message"))
    return SpinAppStatus(
        available=str(found.get("status", "Unknown")),
        text=": ".join(word for word in words if word)[:500] or "Available",
        ready=status.get("readyReplicas"),
        is_current=seen is None or seen >= spin_app["metadata"].get("generation", 0),
    )


def makes_deployment(executor: Body) -> bool:
    """Whether spin-operator makes a Deployment for apps of this SpinAppExecutor."""
    return bool((executor.get("spec") or {}).get("createDeployment", True))
