"""`spec.auth`: who may call an app. Specs that would allow nobody or everybody by accident are refused."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from ftl_operator.api.fields import IssuerUrl, Keyed, KeyReference, Label, LongText, Part, Scope, exactly_one
from ftl_operator.api.login import LOGIN, CheckedLogin, Login
from ftl_operator.api.names import (
    API_KEYS,
    LOGIN_KEYS,
    LOGIN_KEYS_KEY,
    LOGIN_UPSTREAM_SECRET,
    LOGIN_USERS,
)
from ftl_operator.api.tools import GATEWAY

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


LOGIN_ALONE_MESSAGE = (
    "login issues the tokens itself: remove issuer, jwksUri, publicKey, algorithms, advertisedScopes and "
    "tokenTypes"
)


class ApiKeys(Part):
    """API keys that are accepted, as bearer token or in the header `X-API-Key`."""

    secret_ref: KeyReference
    """A key of a Secret with one API key a line: `NAME SHA256 [scopes=a,b] [expires=2027-01-31T00:00:00Z]`.
    `ftl-operator key create` makes them. A caller's subject is the name."""


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """A variable of the gateway or the login whose value is in a Secret.

    Args:
        name: The application variable.
        component: The component that reads it.
        variable: The component's own name of it.
        key: The key of the Secret.
        field: The field of the spec that names the Secret.
    """

    name: str
    component: str
    variable: str
    key: KeyReference
    field: str


class AuthSpec(Part):
    """How callers authenticate and which of them may call."""

    issuer: IssuerUrl | None = None
    """The token issuer's URL, exactly as in the `iss` claim. It may be omitted only if `jwksUri` or
    `publicKey` gives the keys, and then `iss` is ignored; or with `apiKeys`, and then no token is
    accepted; or with `login`, which is the issuer."""
    audiences: Annotated[tuple[Audience, ...], Field(max_length=16)] = ()
    """Accepted values of the `aud` claim; a token must have one. Usually the URL of the MCP endpoint.
    Required wherever tokens are accepted, except with `login`, which always accepts that URL."""
    login: Login | None = None
    """The app's own login, in place of an issuer elsewhere."""
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
    """Subjects (`sub` claims) that may call; for `access: private`. Empty with `login.users` means every
    user."""
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
        """Whether tokens of an issuer elsewhere are accepted."""
        return self.issuer is not None or self.jwks_uri is not None or self.public_key is not None

    @property
    def names_callers(self) -> bool:
        """Whether `access: private` has callers: subjects, those of a policy, users, or API keys alone."""
        has_users = self.login is not None and self.login.users is not None
        keys_alone = self.api_keys is not None and not self.accepts_tokens and self.login is None
        return bool(self.allowed_subjects) or self.policy is not None or has_users or keys_alone

    def secret_variables(self, app: str) -> Iterator[SecretVariable]:
        """The variables with values in Secrets, of the app with this name."""
        if self.api_keys is not None:
            field = "spec.auth.apiKeys.secretRef"
            yield SecretVariable(API_KEYS, GATEWAY, "api_keys", self.api_keys.secret_ref, field)
        if self.login is None:
            return
        keys = KeyReference(name=self.login.secret_of(app), key=LOGIN_KEYS_KEY)
        yield SecretVariable(LOGIN_KEYS, LOGIN, "login_keys", keys, "spec.auth.login.secretRef")
        if self.login.users is not None:
            field = "spec.auth.login.users.secretRef"
            yield SecretVariable(LOGIN_USERS, LOGIN, "login_users", self.login.users.secret_ref, field)
        if self.login.upstream is not None and self.login.upstream.secret_ref is not None:
            field = "spec.auth.login.upstream.secretRef"
            secret = self.login.upstream.secret_ref
            yield SecretVariable(LOGIN_UPSTREAM_SECRET, LOGIN, "login_upstream_secret", secret, field)

    @model_validator(mode="after")
    def _keys_have_one_source(self) -> Self:
        if self.jwks_uri is not None and self.public_key is not None:
            raise ValueError("set at most one of jwksUri, publicKey")
        if self.login is not None and (
            self.accepts_tokens
            or self.advertised_scopes
            or not self.model_fields_set.isdisjoint({"algorithms", "token_types"})
        ):
            raise ValueError(LOGIN_ALONE_MESSAGE)
        if not self.accepts_tokens and self.api_keys is None and self.login is None:
            raise ValueError(
                "set issuer, or say by jwksUri or publicKey how signatures are checked, or apiKeys, or login"
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
        login: The app's own login, which is then the issuer; None if it has none.
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
    login: CheckedLogin | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def outbound_urls(self) -> tuple[str, ...]:
        """URLs that the gateway and the login connect to."""
        keys = (self.jwks_uri,) if self.jwks_uri else ()
        return (*keys, *(self.login.outbound_urls if self.login is not None else ()))

    @property
    def _accepts_every_subject(self) -> bool:
        has_users = self.login is not None and self.login.upstream is None
        is_private = self.access is Access.PRIVATE
        return is_private and has_users and not self.allowed_subjects and not self.policy

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
            # Only where it is true, so that other apps are composed as before.
            **({"everySubject": True} if self._accepts_every_subject else {}),
        }
