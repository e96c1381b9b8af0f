"""What the stages say in the status once they are through. Pure."""

from collections.abc import Mapping
from typing import Any

from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.conditions import ConditionState, true
from ftl_operator.api.status import ComponentStatus, ToolStatus
from ftl_operator.component.capabilities import Severity, audit
from ftl_operator.component.tool import Component
from ftl_operator.errors import Reason
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.reference import Digest, Reference
from ftl_operator.pipeline.compose import LockedApp
from ftl_operator.pipeline.gateway.catalog import served_tools
from ftl_operator.pipeline.resolve import ResolvedApp

MAX_SHOWN = 5
"""Warnings about schemas that a condition's message repeats."""


def resolved_finding(components: int) -> ConditionState:
    """`Resolved` of an app with so many components, all pinned."""
    return true(f"{_count(components, 'component')} pinned to digests")


def published_finding(image: Reference) -> ConditionState:
    """`Published` of an image that is in its repository."""
    return true(f"published as {image}")


def inspected_finding(resolved: ResolvedApp, components: Mapping[Digest, Component]) -> ConditionState:
    """`Inspected` of an app whose components are all usable, with what is worth knowing about them."""
    notes: list[str] = []
    warned: list[str] = []
    dynamic = False
    known = 0
    for index, tool in enumerate(resolved.tools):
        component = components[tool.digest]
        known += len(component.tools or ())
        if component.tools is None:
            dynamic = True
            notes.append(f"{tool.spec.name} is asked at run time: {component.dynamic_reason}")
        notes += [
            f"spec.tools[{index}].{finding.field}: {finding.message}"
            for finding in audit(tool.spec, component)
            if finding.severity is Severity.WARNING
        ]
        if component.needs:
            notes.append(f"{tool.spec.name} needs {component.needs}: no other Spin has all of its imports")
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


def auth_finding(auth: GatewayAuth | None) -> ConditionState:
    """`AuthReady` of an app that can judge tokens, or need not."""
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
                size=components[tool.digest].size,
                kind=str(components[tool.digest].binary.kind),
                dynamic_reason=components[tool.digest].dynamic_reason,
            )
        )
        for tool in resolved.tools
    )
    return {"components": listed, "tools": tools, "tool_count": len(tools)}


def _filled(**item: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a model, of any type
    return {name: value for name, value in item.items() if value != ""}
