"""The conditions that successful stages set. Pure."""

from collections.abc import Mapping
from typing import Any

from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.conditions import ConditionState, true
from ftl_operator.api.names import SPIN_VERSION_ANNOTATION
from ftl_operator.api.status import ComponentStatus, ToolStatus
from ftl_operator.component.capabilities import Severity, audit
from ftl_operator.component.spin_interfaces import NEWEST_SHIM, runs
from ftl_operator.component.tool import Component
from ftl_operator.errors import Reason
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.reference import Digest, Reference
from ftl_operator.pipeline.compose import LockedApp
from ftl_operator.pipeline.gateway.catalog import served_tools
from ftl_operator.pipeline.resolve import ResolvedApp

MAX_SHOWN = 5
"""How many warnings about schemas a condition's message shows."""


def resolved_finding(components: int) -> ConditionState:
    """`Resolved` of an app with so many components, all pinned."""
    return true(f"{_count(components, 'component')} pinned to digests")


def published_finding(image: Reference) -> ConditionState:
    """`Published` of an image that is in its repository."""
    return true(f"published as {image}")


def inspected_finding(
    resolved: ResolvedApp, components: Mapping[Digest, Component], spin_version: str | None = None
) -> ConditionState:
    """`Inspected` of an app whose components are all usable, with notes about them.

    Args:
        resolved: The app.
        components: What was found in its components.
        spin_version: The Spin that its executor declares; empty if it declares none, None without a cluster.
    """
    notes: list[str] = []
    warned: list[str] = []
    dynamic = False
    known = 0
    for index, tool in enumerate(resolved.tools):
        component = components[tool.identity]
        known += len(component.tools or ())
        if component.tools is None:
            dynamic = True
            notes.append(f"{tool.spec.name} is asked at run time: {component.dynamic_reason}")
        if component.catalog_note:
            notes.append(f"{tool.spec.name}: {component.catalog_note}")
        notes += [
            f"spec.tools[{index}].{finding.field}: {finding.message}"
            for finding in audit(tool.spec, component)
            if finding.severity is Severity.WARNING
        ]
        if component.needs:
            executor = resolved.app.spec.runtime.executor
            notes.append(f"{tool.spec.name} {_spin_note(component, executor, spin_version)}")
        if component.tools:
            warned += [
                f"tool {served.name!r} of {tool.spec.name!r}: {warning}"
                for served in served_tools(tool.spec, f"spec.tools[{index}]", component)
                for warning in served.warnings
            ]
    notes += warned[:MAX_SHOWN]
    if len(warned) > MAX_SHOWN:
        notes.append(f"and {len(warned) - MAX_SHOWN} more warnings, which `ftl-operator inspect` shows")
    message = "; ".join([f"{_count(known, 'tool')} in {_count(len(resolved.tools), 'component')}", *notes])
    return true(message, Reason.DYNAMIC_TOOLS if dynamic else Reason.SUCCEEDED)


def _spin_note(component: Component, executor: str, version: str | None) -> str:
    """Which Spin a component needs, whether the executor has it, and what to do if not."""
    needs = f"needs {component.spin_needed}"
    if runs(component.needs, version or NEWEST_SHIM):
        whose = f"the executor {executor!r}" if version else "the newest shim of SpinKube"
        return f"{needs}, and {whose} has Spin {version or NEWEST_SHIM}"
    if version:
        found = f"the executor {executor!r} has Spin {version}, which does not run it"
    elif version is None:
        found = f"the newest shim of SpinKube has Spin {NEWEST_SHIM}"
    else:
        found = (
            f"the executor {executor!r} does not say which Spin it has (its annotation "
            f"{SPIN_VERSION_ANNOTATION}, or its spinImage's tag), and the newest shim of SpinKube has Spin "
            f"{NEWEST_SHIM}"
        )
    return f"{needs}; {found}: {component.spin_advice}"


def auth_finding(auth: GatewayAuth | None) -> ConditionState:
    """`AuthReady` of an app that can verify tokens or is public."""
    if auth is None:
        return true("everyone may call", Reason.PUBLIC_ACCESS)
    checked = f"tokens of {auth.issuer or 'any issuer whose key fits'} are checked"
    return true("; ".join((checked, *auth.warnings)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def facts_of(
    resolved: ResolvedApp, components: Mapping[Digest, Component], locked: LockedApp
) -> dict[str, Any]:
    """The fields of `FtlAppStatus` about components and tools."""
    tools = tuple(
        ToolStatus(
            **_filled(
                name=tool.full_name,
                title=str(tool.definition.get("title", "")),
                component=tool.component,
                schema_digest=sha256(canonical(dict(tool.definition)).encode()),
            )
        )
        for tool in locked.tools
    )
    listed = tuple(
        ComponentStatus(
            **_filled(
                name=tool.spec.name,
                image=tool.pinned,
                digest=tool.digest,
                size=components[tool.identity].size,
                kind=str(components[tool.identity].binary.kind),
                dynamic_reason=components[tool.identity].dynamic_reason,
            )
        )
        for tool in resolved.tools
    )
    return {"components": listed, "tools": tools, "tool_count": len(tools)}


def _filled(**item: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a model, of any type
    return {name: value for name, value in item.items() if value != ""}
