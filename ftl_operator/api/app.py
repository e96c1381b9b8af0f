"""The model of the FtlApp. All defaults are here.

The custom resource definition, the JSON Schema for editors and the reference page are generated from these
classes and their docstrings (`crd.py`, `scripts/generate.py`). The CRD repeats in CEL the rules that the API
server can check; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from ftl_operator.api.auth import Access, AuthSpec
from ftl_operator.api.fields import HOST_PORT, IN_WORDS, ORIGIN, Keyed, LongText, ObjectReference, Part, Text
from ftl_operator.api.login import LOGIN, LOGIN_NAME_MESSAGE
from ftl_operator.api.network import NetworkSpec, RouteSpec, TelemetrySpec
from ftl_operator.api.runtime import RuntimeSpec
from ftl_operator.api.tools import (
    GATEWAY,
    MAX_TOOL_NAME,
    EnvironmentVariable,
    Image,
    Rename,
    Timeout,
    ToolScopes,
    ToolSpec,
    Variable,
)
from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.reference import MAX_REFERENCE_LENGTH

__all__ = [
    "API_VERSION",
    "GATEWAY",
    "MAX_TOOL_NAME",
    "Access",
    "AuthSpec",
    "EnvironmentVariable",
    "FtlApp",
    "FtlAppSpec",
    "GatewaySpec",
    "Metadata",
    "NetworkSpec",
    "ObjectReference",
    "PublishSpec",
    "Rename",
    "RouteSpec",
    "RuntimeSpec",
    "TelemetrySpec",
    "ToolScopes",
    "ToolSpec",
    "UpdatePolicy",
    "Variable",
]

GROUP = "ftl.tools"
VERSION = "v1alpha1"
KIND = "FtlApp"
API_VERSION = f"{GROUP}/{VERSION}"
MAX_APP_NAME = 52
"""The longest name; the names of owned objects and pods append a suffix to it."""


class Icon(Part):
    """An icon that clients may show."""

    src: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^(https|data):\S+$")]
    """Its URL, `https:` or `data:`."""
    mime_type: Annotated[str | None, Field(max_length=64)] = None
    """Its media type, for example `image/png`."""
    sizes: Annotated[
        tuple[Annotated[str, Field(max_length=16, pattern=r"^([0-9]+x[0-9]+|any)$")], ...],
        Field(max_length=8),
    ] = ()
    """Its sizes, for example `48x48`, or `any`."""
    theme: Annotated[str | None, Field(max_length=5, pattern="^(light|dark)$")] = None
    """The theme it is made for: `light` or `dark`."""


class GatewaySpec(Part):
    """How the gateway presents the app and guards its tools."""

    validate_arguments: bool = True
    """Whether arguments are checked against a tool's schema before the tool is called."""
    title: Annotated[str | None, Field(max_length=128)] = None
    """The server's name for people; default: its `metadata.name`."""
    version: Annotated[str, Field(min_length=1, max_length=64)] = "0.1.0"
    """The version that clients see."""
    instructions: LongText | None = None
    """How a model should use the tools."""
    icons: Annotated[tuple[Icon, ...], Field(max_length=8)] = ()
    """Icons of the server."""
    allowed_origins: Annotated[
        tuple[Annotated[str, Field(max_length=256, pattern=ORIGIN)], ...], Field(max_length=32)
    ] = ()
    """Origins of web pages whose scripts may call, as `https://host[:port]`, besides those of this machine.
    `https://*.acme.dev` is every host exactly one label below `acme.dev`."""
    allowed_hosts: Annotated[
        tuple[Annotated[str, Field(max_length=260, pattern=HOST_PORT)], ...], Field(max_length=32)
    ] = ()
    """Values of the `Host` header that are accepted, besides the route's host and the name of the app's
    Service, `NAME.NAMESPACE.svc`. Empty means every one."""
    max_response_bytes: Annotated[int, Field(ge=1024, le=104857600)] = 10485760
    """The largest answer of a tool that is passed on, in bytes."""
    list_ttl_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """How long clients may keep the list of tools, in seconds."""
    timeout_seconds: Timeout = 30
    """How long a call may take unless its tool says otherwise, in seconds."""
    image: Image | None = None
    """Another gateway than the operator's own: an OCI reference to its component."""
    secret_ref: ObjectReference | None = None
    """A Secret of this app alone with two random texts, under the keys `sealing-key` and `probe-word`. The
    gateway seals the entries of its key-value store with the first; the operator sends the second to make the
    gateway check every tool. Default: the Secret that the operator creates, if the chart lets it create
    some."""


class PublishSpec(Part):
    """Where the composed application is pushed."""

    repository: Annotated[str | None, Field(min_length=1, max_length=MAX_REFERENCE_LENGTH)] = None
    """The repository, for example `ghcr.io/acme/assistant-tools`. Default: the operator's repository, then
    the namespace and the name."""
    secret_ref: ObjectReference | None = None
    """A Secret of type `kubernetes.io/dockerconfigjson` with the credentials to push."""


class UpdatePolicy(StrEnum):
    """When tags are resolved again."""

    FOLLOW = "follow"
    """At every reconcile: a moved tag is rolled out."""
    HOLD = "hold"
    """When the spec changes or a reconcile is requested: a moved tag alone changes nothing."""


class FtlAppSpec(Part):
    """The desired state."""

    description: Text = ""
    """What the app is for. Clients see it."""
    suspend: bool = False
    """Whether to stop reconciling and run no pods."""
    tools: Annotated[tuple[ToolSpec, ...], Field(min_length=1, max_length=64), Keyed()]
    """The components with the tools."""
    access: Access
    """Who may call the tools."""
    auth: AuthSpec | None = None
    """How tokens are checked and whom they let in. Required unless `access` is `public`."""
    gateway: GatewaySpec = GatewaySpec()
    """How the gateway presents the app and guards its tools."""
    publish: PublishSpec = PublishSpec()
    """Where the composed application is pushed."""
    image_pull_secrets: Annotated[tuple[ObjectReference, ...], Field(max_length=16), Keyed()] = ()
    """Secrets with the credentials to pull the tools, and for the nodes to pull the composed application."""
    runtime: RuntimeSpec = RuntimeSpec()
    """How the app's pods run."""
    network: NetworkSpec = NetworkSpec()
    """Who may connect to the pods, and where they may connect to."""
    route: RouteSpec | None = None
    """The address at which clients reach the app."""
    telemetry: TelemetrySpec = TelemetrySpec()
    """Metrics and audit log of the app."""
    update_policy: UpdatePolicy = UpdatePolicy.FOLLOW
    """When tags are resolved again."""
    interval_seconds: Annotated[int | None, Field(ge=30, le=86400)] = None
    """Seconds between two reconciles without any change; default: the operator's setting."""

    def call_seconds(self, tool: ToolSpec) -> int:
        """How long a call of one of an entry's tools may take."""
        return self.gateway.timeout_seconds if tool.timeout_seconds is None else tool.timeout_seconds

    @property
    def longest_call_seconds(self) -> int:
        """How long a call of any tool may take."""
        return max(map(self.call_seconds, self.tools))

    @model_validator(mode="after")
    def _someone_may_call(self) -> Self:
        if self.access is Access.PUBLIC:
            if self.auth is not None:
                raise ValueError("access: public checks no token; remove auth, or choose another access")
            if any(tool.scopes for tool in self.tools):
                raise ValueError("access: public checks no token, so tools cannot ask for scopes")
        elif self.auth is None:
            raise _NoUsableRuleError("access other than public needs auth")
        elif self.access is Access.PRIVATE and not self.auth.names_callers:
            raise _NoUsableRuleError("access: private needs auth.allowedSubjects: nobody could call")
        elif self.access is Access.ORG and self.auth.organization is None:
            raise _NoUsableRuleError("access: org needs auth.organization: nobody could call")
        elif self.access is Access.CUSTOM and self.auth.policy is None:
            raise _NoUsableRuleError("access: custom needs auth.policy: nobody could call")
        return self

    @property
    def public_url(self) -> str | None:
        """The app's public URL without a slash at its end; None if the spec does not say it."""
        login = self.auth.login if self.auth is not None else None
        if login is not None and login.url is not None:
            return login.url
        return self.route.url.rstrip("/") if self.route is not None else None

    @model_validator(mode="after")
    def _no_tool_is_the_login(self) -> Self:
        has_login = self.auth is not None and self.auth.login is not None
        if has_login and any(tool.name == LOGIN for tool in self.tools):
            raise ValueError(LOGIN_NAME_MESSAGE)
        return self

    @model_validator(mode="after")
    def _no_tool_passes_the_gateway(self) -> Self:
        """Refuse a tool that can call the others directly: it could send them any identity headers."""
        if self.access is Access.PUBLIC or len(self.tools) == 1:
            return self
        if any(tool.reaches_other_tools for tool in self.tools):
            raise ValueError(
                "an outbound host '*' also reaches the app's other tools, past the gateway and with any "
                "identity; write the hosts, or put the tool into an app of its own"
            )
        return self


_APP_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"


class Metadata(BaseModel):
    """The part of an object's metadata that the operator reads."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True
    )

    name: Annotated[str, Field(max_length=MAX_APP_NAME, pattern=_APP_NAME)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: Annotated[dict[str, str], Field(repr=False)] = {}


class FtlApp(BaseModel):
    """An FtlApp without its status: the observed state must not influence what is composed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    metadata: Metadata
    spec: FtlAppSpec

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Parse and check an FtlApp from the API server or a YAML file.

        Args:
            document: The object. Its `status` is ignored.

        Raises:
            SpecError: Fields are invalid. `field` is the first path; the message has up to five.
        """
        if not isinstance(document, Mapping):
            raise SpecError("this is not an object; an FtlApp has apiVersion, kind, metadata and spec")
        if document.get("apiVersion") != API_VERSION or document.get("kind") != KIND:
            raise SpecError(f"this is not an FtlApp: write apiVersion: {API_VERSION} and kind: {KIND}")
        known = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "status")}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            raise _spec_error(error) from None


class _NoUsableRuleError(ValueError):
    """The app is not public and nothing says who may call it."""


def _spec_error(error: ValidationError) -> SpecError:
    problems = error.errors(include_url=False, include_input=False)
    # pydantic does not count an invalid item, so it also reports that the list is too short.
    problems = [item for item in problems if item["type"] != "too_short" or not _has_inner(item, problems)]
    causes = [item.get("ctx", {}).get("error") for item in problems]
    reason = Reason.NO_USABLE_RULE if isinstance(causes[0], _NoUsableRuleError) else Reason.INVALID_SPEC
    shown = [(_path(item["loc"]), _words(item)) for item in problems[:5]]
    (field, message), *others = shown
    message += "".join(f"; {path}: {words}" for path, words in others)
    if len(problems) > len(shown):
        message += f"; and {len(problems) - len(shown)} more"
    return SpecError(message, reason=reason, field=field)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        # pydantic adds this part when the error is about a mapping's key.
        if part != "[key]":
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _has_inner(problem: ErrorDetails, problems: list[ErrorDetails]) -> bool:
    at = problem["loc"]
    return any(len(item["loc"]) > len(at) and item["loc"][: len(at)] == at for item in problems)


def _words(problem: ErrorDetails) -> str:
    match problem["type"]:
        case "missing":
            return "this is required"
        case "extra_forbidden":
            return "there is no such field" + _suggestion(problem["loc"])
        case "string_pattern_mismatch":
            pattern = problem["ctx"]["pattern"]
            return f"write {IN_WORDS[pattern]}" if pattern in IN_WORDS else f"this does not match {pattern}"
        case "enum" | "literal_error":
            return f"write {problem['ctx']['expected']}"
    words = problem["msg"].removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
    return words.replace("Input should be", "this must be").replace("Input should", "this must")


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Suggest a similar field, as the end of a message; empty if there is none."""
    *outer, name = location
    found = get_close_matches(str(name), _names_at(FtlApp, outer), 1, 0.7)
    return f"; did you mean {found[0]}?" if found else ""


def _names_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The names of the fields of the object at a path, as in YAML."""
    for part in path:
        if isinstance(part, int):
            continue
        inner = [field for name, field in model.model_fields.items() if part in (name, field.alias)]
        models = _models_in(inner[0].annotation) if inner else []
        if len(models) != 1:
            return []
        model = models[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
