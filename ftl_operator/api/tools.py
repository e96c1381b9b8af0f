"""`spec.tools`: the components, what they may do, and which of their tools clients see."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from ftl_operator.api.fields import (
    IN_WORDS,
    SNAKE,
    Kebab,
    Keyed,
    Label,
    LongText,
    Part,
    Pattern,
    Scope,
    Text,
    Value,
)
from ftl_operator.oci.reference import MAX_REFERENCE_LENGTH

GATEWAY = "gateway"
"""The gateway's component id, which no tool may have."""
MAX_TOOL_NAME = 64
"""The longest name of an MCP tool that every client accepts, in characters."""

OUTBOUND_HOST = (
    r"^(\*|[a-z]+)://"
    r"(\*|self|(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+/[0-9]{1,3})"
    r"(:(\*|[0-9]{1,5}(\.\.[0-9]{1,5})?))?$"
)
IN_WORDS[OUTBOUND_HOST] = "scheme://host[:port] without a path, for example https://api.acme.dev"
_WILDCARDS_OF_TOOLS = ("*.spin.internal", "*.internal")
NAME_OTHER_TOOLS = "other tools are named one by one and in lower case, as in http://NAME.spin.internal"
ANY_HTTP_HOST = re.compile(r"^(\*|https?)://\*(:|$)")
"""Hosts that match everything. In Spin (3.6 and 4, factor-outbound-networking) `*` also matches
`NAME.spin.internal`, at any port."""
_KNOWN_PORTS = ("http", "https", "postgres", "mysql", "redis", "mqtt")

Timeout = Annotated[int, Field(ge=1, le=600)]
OutboundHost = Annotated[str, Field(min_length=1, max_length=300, pattern=OUTBOUND_HOST)]
Image = Annotated[str, Field(min_length=1, max_length=MAX_REFERENCE_LENGTH)]


class Variable(Value):
    """A variable that the tool reads through Spin's variables or `wasi:config`."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=SNAKE)]
    """Its name: lower-case letters and digits, words joined by one underscore."""


class EnvironmentVariable(Part):
    """An environment variable of the component."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Its name."""
    value: Annotated[LongText, Field(repr=False)]
    """Its value. The published artifact contains it; put secrets into `variables`."""


class Rename(Part):
    """Another name or description for one of the component's tools."""

    from_: Annotated[str, Field(min_length=1, max_length=128, alias="from")]
    """The tool's name in the component."""
    to: Annotated[str | None, Field(min_length=1, max_length=MAX_TOOL_NAME, pattern=r"^[A-Za-z0-9_.-]+$")] = (
        None
    )
    """The name that clients see; default: unchanged."""
    description: Text | None = None
    """The description that clients see; default: unchanged."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.to is None and self.description is None:
            raise ValueError("set to, description, or both")
        return self


class ToolScopes(Part):
    """Scopes that a token must have to call some of the component's tools."""

    tools: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=32)]
    """Which tools: names as clients see them, without the component's prefix; `*` and `?` match as in file
    names."""
    require: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=16)]
    """All the scopes they need, besides `auth.requiredScopes`."""


class ToolSpec(Part):
    """A component with tools. Clients see each tool as `NAME__TOOL`, unless it has another `prefix`."""

    name: Kebab
    """The component's name: lower-case words joined by hyphens, each starting with a letter."""
    image: Image
    """An OCI reference with a tag or digest, to a raw Wasm artifact, one of wkg's, or a Spin application.
    `file:PATH` works in `up` and `render` only."""
    component: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    """Which component of the artifact, if it has several: a Spin component's id, or a layer's title or
    digest."""
    allowed_outbound_hosts: Annotated[tuple[OutboundHost, ...], Field(max_length=32)] = ()
    """Where the tools may connect to: `scheme://host[:port]`, with Spin's wildcards. Empty means nowhere."""
    variables: Annotated[tuple[Variable, ...], Field(max_length=64), Keyed()] = ()
    """Variables that the tools read."""
    environment: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=32), Keyed()] = ()
    """Environment variables of the component."""
    key_value_stores: Annotated[tuple[Label, ...], Field(max_length=16)] = ()
    """Key-value stores that the tools may open, for example `default`."""
    sqlite_databases: Annotated[tuple[Label, ...], Field(max_length=16)] = ()
    """SQLite databases that the tools may open."""
    ai_models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=16)
    ] = ()
    """AI models that the tools may run."""
    include: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    """Which of the component's tools are exposed, by their names in the component; `*` and `?` match as in
    file names, and `#2` is the second one of its list. Empty means all."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    """Which of them are not exposed; takes precedence over `include`. Hidden tools are not checked."""
    rename: Annotated[tuple[Rename, ...], Field(max_length=64), Keyed("from", "from_")] = ()
    """Other names or descriptions for some of them."""
    prefix: Annotated[str | None, Field(max_length=32, pattern=r"^[A-Za-z0-9_.-]*$")] = None
    """The prefix of each tool's name where clients see all of the app's tools; default: `NAME__`. An empty
    prefix leaves the names unchanged, for clients that know them. Two tools must not get the same name."""
    scopes: Annotated[tuple[ToolScopes, ...], Field(max_length=32)] = ()
    """Scopes that a token must have to call some of them. A tool that several entries match needs all their
    scopes."""
    timeout_seconds: Timeout | None = None
    """How long a call may take, in seconds; default: `gateway.timeoutSeconds`."""

    @property
    def source(self) -> str:
        """The key for lookups: the image, and after `#` the component in it."""
        return self.image if self.component is None else f"{self.image}#{self.component}"

    @field_validator("name")
    @classmethod
    def _is_not_the_gateway(cls, value: str) -> str:
        if value == GATEWAY:
            raise ValueError(f"{GATEWAY!r} is the gateway's own name")
        return value

    @field_validator("allowed_outbound_hosts")
    @classmethod
    def _have_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            scheme, _, rest = host.partition("://")
            if not _has_port(rest) and scheme not in _KNOWN_PORTS:
                raise ValueError(
                    f"{host!r}: an outbound host needs a port unless its scheme implies one, "
                    "for example *://*:*"
                )
            name = rest.partition(":")[0].lower()
            if name == f"{GATEWAY}.spin.internal":
                raise ValueError("a tool must not call the gateway: its calls would come back to it")
            if name in _WILDCARDS_OF_TOOLS or (
                name.endswith(".spin.internal") and name != rest.partition(":")[0]
            ):
                raise ValueError(f"{host!r}: {NAME_OTHER_TOOLS}")
        return value

    @property
    def reaches_other_tools(self) -> bool:
        """Whether an entry has the host `*` in a scheme that also reaches other components."""
        return any(ANY_HTTP_HOST.match(host) for host in self.allowed_outbound_hosts)


def _has_port(rest: str) -> bool:
    """Whether the part after `://` ends in a port; the colons of an IPv6 address do not count."""
    bracketed = rest.rpartition("]")[2]
    return ":" in (bracketed if rest.startswith("[") else rest.rpartition("/")[2] if "/" in rest else rest)
