"""Executors, and the status of SpinApps whose executor makes no Deployment. Pure.

A SpinAppExecutor with `createDeployment: false` leaves its apps to another runtime. Then spin-operator (v0.6)
makes only the Service and writes no status. The runtime may write it, with spin-operator's fields: the
condition `Available`, `readyReplicas`, and `activeScheduler`, the name of the executor that the status is
about.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftl_operator.api.names import SPIN_VERSION_ANNOTATION

Body = Mapping[str, Any]

_VERSION = re.compile(r"v?\d{1,3}\.\d{1,4}(?:\.\d{1,4})?(?:[+-][A-Za-z0-9.+-]{1,64})?")


@dataclass(frozen=True, slots=True)
class SpinAppStatus:
    """The status of a SpinApp.

    Args:
        available: The condition `Available`: True, False or Unknown.
        text: The condition's message; empty if there is none.
        ready: How many replicas are ready; None if the status does not say.
        is_current: Whether the status is about the present SpinApp. True if there is no `observedGeneration`,
            which spin-operator does not write.
    """

    available: str = "Unknown"
    text: str = ""
    ready: int | None = None
    is_current: bool = True

    @property
    def may_serve(self) -> bool:
        """Whether the status does not contradict that the app serves what was applied last."""
        return self.is_current and self.available != "False"

    def __str__(self) -> str:
        if not self.text:
            return "the executor makes no Deployment, and the SpinApp's status says nothing yet"
        return f"the SpinApp's status says: {self.text}"


def report_of(spin_app: Body) -> SpinAppStatus:
    """Read a SpinApp's status. A status that an earlier executor left is ignored."""
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


@dataclass(frozen=True, slots=True)
class Executor:
    """A SpinAppExecutor.

    Args:
        makes_deployment: Whether spin-operator makes a Deployment for its apps.
        spin_version: Its version of Spin, such as `4.1.0`; empty if it is not declared.
    """

    makes_deployment: bool = True
    spin_version: str = ""


def executor_of(body: Body) -> Executor:
    """Read a SpinAppExecutor.

    The version of Spin comes from the annotation `ftl.tools/spin-version`, else from the tag of `spinImage`.
    A tag that is not a version with at least two numbers, such as `latest` or `4`, is ignored.
    """
    spec = body.get("spec") or {}
    image = str((spec.get("deploymentConfig") or {}).get("spinImage") or "")
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    declared = (str(annotations.get(SPIN_VERSION_ANNOTATION) or ""), tag)
    versions = (text.removeprefix("v") for text in declared if _VERSION.fullmatch(text))
    return Executor(bool(spec.get("createDeployment", True)), next(versions, ""))
