"""The types of an FtlApp's fields: bounded texts, names, references to other objects.

Everything has a bound, because the API server estimates the cost of every CEL rule from the bounds and
refuses a schema whose estimate is too high.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema


class Part(BaseModel):
    """The base of all parts of an FtlApp: frozen, camelCase in YAML, no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class Keyed:
    """Marks a list as a map: one field is the key, and no two items may have the same.

    Args:
        key: The field's name in YAML.
        attribute: Its name in Python, if it differs.
    """

    key: str = "name"
    attribute: str = ""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return {**handler(schema), **kind}

    def _check(self, items: Sequence[Part]) -> Sequence[Part]:
        seen = set()
        for item in items:
            key = getattr(item, self.attribute or self.key)
            if key in seen:
                raise ValueError(f"{key!r} appears twice")
            seen.add(key)
        return items


def _quantity(value: object) -> object:
    """Convert a number to its text, as the API server does with quantities."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_QUANTITY = r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+|[numkKMGTPE]i?)?$"
SNAKE = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
KEBAB = r"^[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*$"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
# The last label begins with a letter: an address is no host name (RFC 1123 §2.1), and a name has a domain.
PUBLIC_NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z]([-a-z0-9]*[a-z0-9])?$"
# No segment is `.`, `..` (RFC 3986 §3.3) or empty, and nothing is percent-encoded: a proxy may normalize
# these, and then two apps with different paths would get the same one.
ROUTE_PATH = r"^/(\.{0,2}[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/\.{0,2}[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)?$"
ORIGIN = r"^[a-z][a-z0-9+.-]*://(\*\.)?[^\s/?#@*]+$"
# Plain HTTP is for a development issuer on this machine; the operator's settings must allow it.
# ASCII only, because libraries map other letters in host names differently.
ISSUER_URL = (
    r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?)(:[0-9]{1,5})?"
    r"(/[!-\"$->@-\[\]-~]*)?$"
)
HOST_PORT = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9*]([A-Za-z0-9.*-]*[A-Za-z0-9])?)(:[0-9]{1,5})?$"

IN_WORDS = {
    _QUANTITY: "an amount such as 500m, 128Mi or 2",
    SNAKE: "lower-case letters and digits, words joined by one underscore, the first letter no digit",
    KEBAB: "lower-case words joined by hyphens, each starting with a letter",
    DNS_LABEL: "lower-case letters, digits and inner hyphens",
    DNS_NAME: "lower-case letters, digits, inner hyphens and dots, as in a host's name",
    PUBLIC_NAME: "a host's full name such as tools.acme.dev, in lower case",
    ROUTE_PATH: "a path such as /assistant: segments of letters, digits and - . _ ~, none of them . or ..",
    ORIGIN: "an origin such as https://app.acme.dev or https://*.acme.dev",
    ISSUER_URL: "an ASCII URL with https:// and no query (a name of other letters in its xn-- form)",
    HOST_PORT: "a host with an optional port",
    r"^[-._a-zA-Z0-9]+$": "letters, digits, '-', '_' and '.'",
    r"^[A-Za-z0-9_.-]+$": "letters, digits, '-', '_' and '.'",
    r"^[A-Za-z0-9_.-]*$": "letters, digits, '-', '_' and '.', or nothing",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and '_', the first no digit",
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and inner hyphens, the first a letter",
    r"^[a-z0-9-]+$": "lower-case letters, digits and hyphens",
    r"^[^\s]+$": "something without spaces",
    r"^[!#-\[\]-~]+$": "a scope: printable ASCII without spaces, quotes and backslashes",
    r"^/[^:]+$": "a path that begins with '/' and has no ':'",
    r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$": "a range of addresses such as 10.0.0.0/8",
    r"^(https|data):\S+$": "a URL that begins with https: or data:",
    r"^([0-9]+x[0-9]+|any)$": "a size such as 48x48, or any",
    "^(light|dark)$": "light or dark",
    "^(Memory)?$": "Memory, or nothing",
}
"""Descriptions of patterns, for messages."""

Text = Annotated[str, Field(max_length=1024)]
LongText = Annotated[str, Field(max_length=8192)]
Snake = Annotated[str, Field(min_length=1, max_length=63, pattern=SNAKE)]
Kebab = Annotated[str, Field(min_length=1, max_length=40, pattern=KEBAB)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Label = Annotated[str, Field(min_length=1, max_length=63)]
Pattern = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\s]+$")]
Scope = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!#-\[\]-~]+$")]
IssuerUrl = Annotated[str, Field(max_length=512, pattern=ISSUER_URL)]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    Field(max_length=32, pattern=_QUANTITY),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
"""An amount of a resource, as Kubernetes writes it: `500m`, `128Mi`, `2`."""

_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0} | {
    prefix + suffix: float(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kMGTPE", 1)
}


def quantity_value(quantity: str) -> float:
    """The number of a quantity: `500m` is 0.5, `1Ki` is 1024."""
    number = quantity.rstrip("numkKMGTPEi")
    suffix = quantity[len(number) :]
    return float(number) * _FACTORS["k" + suffix[1:] if suffix.startswith("K") else suffix]


Labels = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=317)],
        Annotated[str, Field(max_length=63)],
    ],
    Field(max_length=32),
]
Annotations = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=317)],
        Annotated[str, Field(max_length=4096)],
    ],
    Field(max_length=32),
]


RESERVED_DOMAINS = ("core.spinkube.dev", "ftl.tools")
RESERVED_KEYS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
)
"""Labels by which spin-operator and this operator recognise their objects; no spec may set them."""
RESERVED_MESSAGE = (
    "labels and annotations of core.spinkube.dev and ftl.tools, and app.kubernetes.io/name, instance, "
    "component, part-of and managed-by, are the operators' own"
)


def _not_reserved(values: dict[str, str]) -> dict[str, str]:
    for key in values:
        domain = key.rpartition("/")[0].lower()
        if key.lower() in RESERVED_KEYS or f".{domain}".endswith(
            tuple(f".{own}" for own in RESERVED_DOMAINS)
        ):
            raise ValueError(RESERVED_MESSAGE)
    return values


OwnLabels = Annotated[Labels, AfterValidator(_not_reserved)]
"""Labels of the app's author."""
OwnAnnotations = Annotated[Annotations, AfterValidator(_not_reserved)]
"""Annotations of the app's author."""


def exactly_one(values: dict[str, Any]) -> None:
    """Check that exactly one of the named values is set. Raises ValueError with all names."""
    if sum(value is not None for value in values.values()) != 1:
        raise ValueError(f"set exactly one of {', '.join(values)}")


class ObjectReference(Part):
    """Another object in the app's namespace."""

    name: ObjectName
    """Its name."""


class KeyReference(Part):
    """One key of a Secret or ConfigMap in the app's namespace."""

    name: ObjectName
    """The name of the Secret or ConfigMap."""
    key: Key
    """The key in its data."""


class ValueSource(Part):
    """The source of a value that is not in the FtlApp itself."""

    secret_key_ref: KeyReference | None = None
    """A key of a Secret. Its value never enters the artifact, the status, an event or a log."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one({"secretKeyRef": self.secret_key_ref, "configMapKeyRef": self.config_map_key_ref})
        return self


class Value(Part):
    """A named value, written here or taken from a Secret or ConfigMap."""

    name: Label
    """Its name."""
    # Nobody should write a secret here; if somebody does, `repr` does not show it.
    value: Annotated[LongText | None, Field(repr=False)] = None
    """The value itself. Anyone who may read the FtlApp or the published artifact can read it."""
    value_from: ValueSource | None = None
    """Where the value comes from."""

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        exactly_one({"value": self.value, "valueFrom": self.value_from})
        return self
