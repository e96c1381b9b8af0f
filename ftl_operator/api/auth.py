"""`spec.auth`: who may call an app. Specs that would allow nobody or everybody by accident are refused."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from ftl_operator.api.fields import IssuerUrl, Keyed, KeyReference, Label, LongText, Part, Scope, exactly_one

Subject = Annotated[str, Field(min_length=1, max_length=256)]
Audience = Annotated[str, Field(min_length=1, max_length=512)]
TokenType = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9.+/-]+$")]


class Access(StrEnum):
    """Who may call the app's tools, in FTL's terms."""

    PUBLIC = "public"
    """Everyone; tokens are ignored."""
    PRIVATE = "private"
    """The subjects in `auth.allowedSubjects`."""
    ORG = "org"
    """The members of `auth.organization`."""
    CUSTOM = "custom"
    """The callers that `auth.policy` allows."""


class Algorithm(StrEnum):
    """Signature algorithms of tokens (RFC 7518 §3.1, RFC 8037 §3.1). None of them uses a shared secret."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"


class Organization(Part):
    """The organization whose members may call. Their tokens have the organization in a claim."""

    claim: Annotated[str, Field(min_length=1, max_length=128)] = "org_id"
    """The claim that names the organization."""
    value: Annotated[str, Field(min_length=1, max_length=256)]
    """The organization's value in that claim."""
    members: Annotated[tuple[Subject, ...], Field(max_length=256)] = ()
    """Subjects that may call. Empty means every subject whose token has the claim. For FTL's `org`, list the
    people; machines may call if their token has the claim."""


class Policy(Part):
    """A Rego policy that decides by `data.mcp.authorization.allow`, as FTL's policies do."""

    rego: Annotated[str | None, Field(min_length=1, max_length=32768)] = None
    """The policy's text."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap with the policy's text."""

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        exactly_one({"rego": self.rego, "configMapKeyRef": self.config_map_key_ref})
        return self


class PolicyData(Part):
    """The policy's `data`, a JSON object."""

    json_text: Annotated[str | None, Field(max_length=32768, alias="json", repr=False)] = None
    """The object as JSON text."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap with the JSON text."""

    @field_validator("json_text")
    @classmethod
    def _is_an_object(cls, value: str | None) -> str | None:
        return value if value is None else _json_object(value)

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        exactly_one({"json": self.json_text, "configMapKeyRef": self.config_map_key_ref})
        return self


class PolicyTest(Part):
    """A test case of the policy. If the policy decides otherwise, nothing is deployed."""

    name: Label
    """What the case shows."""
    input: LongText
    """The policy's `input` as the text of a JSON object, for example `{"token": {"sub": "ann"}, "request":
    {"component": "weather"}, "mcp": {"method": "tools/call", "tool": "forecast", "arguments": {}}}`."""
    allow: bool
    """The expected decision."""

    @field_validator("input")
    @classmethod
    def _is_an_object(cls, value: str) -> str:
        return _json_object(value)


class ApiKeys(Part):
    """API keys that are accepted, as bearer token or in the header `X-API-Key`."""

    secret_ref: KeyReference
    """A key of a Secret with one API key a line: `NAME SHA256 [scopes=a,b] [expires=2027-01-31T00:00:00Z]`.
    `ftl-operator key create` makes them. A caller's subject is the name."""


class AuthSpec(Part):
    """How callers authenticate and which of them may call."""

    issuer: IssuerUrl | None = None
    """The token issuer's URL, exactly as in the `iss` claim. It may be omitted only if `jwksUri` or
    `publicKey` gives the keys, and then `iss` is ignored; or with `apiKeys`, and then no token is
    accepted."""
    audiences: Annotated[tuple[Audience, ...], Field(max_length=16)] = ()
    """Accepted values of the `aud` claim; a token must have one. Usually the URL of the MCP endpoint.
    Required wherever tokens are accepted."""
    api_keys: ApiKeys | None = None
    """API keys, alone or beside an issuer. If `allowedSubjects` is empty, `access: private` accepts every API
    key."""
    jwks_uri: IssuerUrl | None = None
    """The URL of the issuer's keys. Default: the one in the issuer's metadata."""
    public_key: Annotated[str | None, Field(max_length=4096)] = None
    """A public key in PEM, instead of keys read from the issuer."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1, max_length=9)] = (Algorithm.RS256,)
    """Accepted signature algorithms."""
    required_scopes: Annotated[tuple[Scope, ...], Field(max_length=32)] = ()
    """Scopes that every token must have, whatever it calls."""
    allowed_subjects: Annotated[tuple[Subject, ...], Field(max_length=256)] = ()
    """Subjects (`sub` claims) that may call; for `access: private`."""
    organization: Organization | None = None
    """Whose members may call; for `access: org`."""
    policy: Policy | None = None
    """The policy that decides, for `access: custom`. With other kinds of access it must allow too."""
    policy_data: PolicyData | None = None
    """The policy's `data`."""
    policy_tests: Annotated[tuple[PolicyTest, ...], Field(max_length=64), Keyed()] = ()
    """Cases that must hold before anything is deployed."""
    advertised_scopes: Annotated[tuple[Scope, ...], Field(max_length=64)] = ()
    """The scopes that clients should request, if the issuer names them differently from the token. A scope
    that ends in `/` and a checked scope stands for that one (`api://3fa8/mcp.read` for `mcp.read`); any other
    is always requested. Default: the checked scopes."""
    token_types: Annotated[tuple[TokenType, ...], Field(max_length=8)] = ()
    """Accepted values of a token's header `typ`, such as `at+jwt` alone (RFC 9068). Default: `at+jwt`, `JWT`,
    or none. A token that a claim marks as an ID token or another kind is always refused."""
    leeway_seconds: Annotated[int, Field(ge=0, le=300)] = 60
    """By how much clocks may differ when `exp`, `nbf` and `iat` are checked, in seconds."""

    @field_validator("public_key")
    @classmethod
    def _is_pem(cls, value: str | None) -> str | None:
        if value is not None and "PRIVATE KEY" in value:
            raise ValueError("this is a private key; write the public one, and replace the private one")
        if value is not None and not value.lstrip().startswith("-----BEGIN PUBLIC KEY-----"):
            raise ValueError("write it in PEM, starting with -----BEGIN PUBLIC KEY-----")
        return value

    @property
    def accepts_tokens(self) -> bool:
        """Whether tokens of an issuer are accepted."""
        return self.issuer is not None or self.jwks_uri is not None or self.public_key is not None

    @property
    def names_callers(self) -> bool:
        """Whether `access: private` has callers: subjects, whom the policy allows, or API keys alone."""
        keys_alone = self.api_keys is not None and not self.accepts_tokens
        return bool(self.allowed_subjects) or self.policy is not None or keys_alone

    @model_validator(mode="after")
    def _keys_have_one_source(self) -> Self:
        if self.jwks_uri is not None and self.public_key is not None:
            raise ValueError("set at most one of jwksUri, publicKey")
        if not self.accepts_tokens and self.api_keys is None:
            raise ValueError(
                "set issuer, or say by jwksUri or publicKey how signatures are checked, or apiKeys"
            )
        if self.accepts_tokens and not self.audiences:
            raise ValueError("set audiences: a token must be meant for this app")
        if self.policy is None and (self.policy_data is not None or self.policy_tests):
            raise ValueError("policyData and policyTests need a policy")
        return self


def _json_object(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("this is not a JSON object")  # noqa: TRY004 - pydantic reports a ValueError
    return text


@dataclass(frozen=True, slots=True)
class GatewayAuth:
    """What the gateway needs to verify tokens. It was checked: keys fit, the policy compiles, its tests pass.

    Args:
        access: Who may call; never public.
        issuer: The value of `iss`; None if it is ignored.
        audiences: Accepted audiences.
        jwks_uri: The URL of the keys; or
        public_key: one key in PEM; or
        jwks: a fixed key set. Exactly one of the three, or none if only API keys are accepted.
        algorithms: Accepted signature algorithms.
        required_scopes: Scopes that every token must have.
        allowed_subjects: Subjects that may call.
        organization: `{claim, value, members}`, or None.
        policy: The Rego text, or empty.
        policy_data: The policy's data as JSON text, or empty.
        leeway_seconds: By how much clocks may differ.
        authorization_servers: The authorization servers for clients.
        server_metadata: URL of the issuer's RFC 8414 metadata, for clients of 2025-03-26.
        api_keys: Whether API keys are accepted; the gateway gets them at run time.
        advertised_scopes: The scopes that clients should request; empty for the checked scopes.
        token_types: Accepted header types of tokens; empty for the usual ones.
        warnings: Problems that may arise later; for the status, not for the gateway.
    """

    access: Access
    issuer: str | None
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks_uri: str | None = None
    public_key: str | None = None
    jwks: Mapping[str, Any] | None = None
    required_scopes: tuple[str, ...] = ()
    allowed_subjects: tuple[str, ...] = ()
    organization: Mapping[str, Any] | None = None
    policy: str = field(default="", repr=False)
    policy_data: str = field(default="", repr=False)
    leeway_seconds: int = 60
    authorization_servers: tuple[str, ...] = ()
    server_metadata: str | None = None
    api_keys: bool = False
    advertised_scopes: tuple[str, ...] = ()
    token_types: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def document(self, scopes: Sequence[str]) -> dict[str, Any]:
        """The object `auth` of `gateway_config`.

        Args:
            scopes: Scopes that some tool needs.
        """
        return {
            "access": self.access.value,
            "issuer": self.issuer,
            "audiences": list(self.audiences),
            "jwksUri": self.jwks_uri,
            "publicKey": self.public_key,
            "jwks": None if self.jwks is None else dict(self.jwks),
            "algorithms": list(self.algorithms),
            "requiredScopes": list(self.required_scopes),
            "allowedSubjects": list(self.allowed_subjects),
            "organization": None if self.organization is None else dict(self.organization),
            "hasPolicy": bool(self.policy),
            "leewaySeconds": self.leeway_seconds,
            "authorizationServers": list(self.authorization_servers),
            "authorizationServerMetadata": self.server_metadata,
            "scopesSupported": [
                *self.required_scopes,
                *(scope for scope in scopes if scope not in self.required_scopes),
            ],
            "apiKeys": self.api_keys,
            "advertisedScopes": list(self.advertised_scopes),
            "tokenTypes": list(self.token_types),
        }
