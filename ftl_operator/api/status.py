"""`status` of an FtlApp: the observed state. Only the operator writes it; unknown fields are ignored."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError

from ftl_operator.api.conditions import ConditionState, ConditionType
from ftl_operator.api.fields import Keyed, Part
from ftl_operator.errors import Reason

Short = Annotated[str, Field(max_length=253)]
Reference = Annotated[str, Field(max_length=1024)]
Time = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]


class Observed(Part):
    """A part of the status. It ignores the fields of other versions of the operator."""

    model_config = ConfigDict(extra="ignore")


class Condition(Observed):
    """One aspect of the app's state."""

    type: Annotated[str, Field(min_length=1, max_length=63)]
    """What it is about."""
    status: Annotated[str, Field(max_length=7, pattern="^(True|False|Unknown)$")]
    """`True`, `False` or `Unknown`."""
    reason: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, as a documented word."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Why, for people: who must act, and the path of the field."""
    last_transition_time: Time
    """When `status` changed last."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The generation of the spec that it is about."""


class ComponentStatus(Observed):
    """A component as it was resolved and inspected."""

    name: Short
    """The tool entry's name in the spec."""
    image: Reference
    """Its reference by digest."""
    digest: Annotated[str, Field(max_length=71)]
    """The digest of the component itself."""
    size: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
    """Its size in bytes."""
    kind: Short = ""
    """What the binary is: a component for WASI 0.2 or 0.3, or a core module."""
    dynamic_reason: Annotated[str, Field(max_length=1024)] = ""
    """Why its tools are read only at run time; empty if they are known."""


class ToolStatus(Observed):
    """A tool that clients see."""

    name: Short
    """Its full name."""
    title: Annotated[str, Field(max_length=256)] = ""
    """Its title."""
    component: Short
    """The component it comes from."""
    schema_digest: Annotated[str, Field(max_length=71)]
    """The digest of its name, description and schemas: it changes when the tool's contract does."""


class HistoryEntry(Observed):
    """A published version."""

    image: Reference
    """The application by digest."""
    generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
    """The generation of the spec that it came from."""
    time: Time
    """When it was applied."""
    result: Short
    """Its result."""
    inputs: Annotated[str, Field(max_length=71)] = ""
    """The digest of everything that it was made from."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, for one that was rolled back."""


class FtlAppStatus(Observed):
    """The observed state."""

    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The generation of the spec that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), Keyed("type")] = ()
    """The conditions of the app."""
    image: Reference = ""
    """The published application by digest."""
    url: Reference = ""
    """The URL of the MCP endpoint."""
    spin_app: Short = ""
    """The SpinApp's name."""
    replicas: Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})] = 0
    """The number of pods."""
    ready_replicas: Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})] = 0
    """The number of pods that serve."""
    tool_count: Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})] = 0
    """The number of tools known before run time."""
    components: Annotated[tuple[ComponentStatus, ...], Field(max_length=64), Keyed()] = ()
    """The components, in the spec's order."""
    tools: Annotated[tuple[ToolStatus, ...], Field(max_length=1024), Keyed()] = ()
    """The tools, in the order in which clients see them."""
    last_handled_reconcile_at: Short = ""
    """The value of the annotation `ftl.tools/reconcile` that was handled last."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=20)] = ()
    """The last published versions, newest first."""

    @classmethod
    def parse(cls, document: Mapping[str, Any] | None) -> Self:
        """Read a status. An unreadable one counts as empty, because it will be replaced."""
        try:
            return cls.model_validate(document or {})
        except ValidationError:
            return cls()

    def document(self) -> dict[str, Any]:
        """The status for the API server, without unset and empty fields."""
        written = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return {name: value for name, value in written.items() if value not in (None, "", [], {})}

    def condition(self, kind: ConditionType) -> ConditionState | None:
        """The state of a condition; None if it is absent or has a reason of another version."""
        for item in self.conditions:
            if item.type == kind:
                with suppress(ValueError):
                    return ConditionState(item.status, Reason(item.reason), item.message)
        return None
