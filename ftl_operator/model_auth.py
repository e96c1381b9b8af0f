"""`spec.auth`: who may call an app. What would say nobody or everybody by accident is refused."""

import json
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from ftl_operator.model_fields import (
    IssuerUrl,
    Keyed,
    KeyReference,
    Label,
    LongText,
    Part,
    Scope,
    exactly_one,
)

Subject = Annotated[str, Field(min_length=1, max_length=256)]
Audience = Annotated[str, Field(min_length=1, max_length=512)]


class Access(StrEnum):
    """Who may call the app's tools. The words are FTL's."""

    PUBLIC = "public"
    """Everyone; no token is looked at."""
    PRIVATE = "private"
    """The subjects in `auth.allowedSubjects`."""
    ORG = "org"
    """The members of `auth.organization`."""
    CUSTOM = "custom"
    """Whom `auth.policy` allows."""


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
    """Whose members may call: people and machines whose tokens carry the organization in a claim."""

    claim: Annotated[str, Field(min_length=1, max_length=128)] = "org_id"
    """The claim that names the organization."""
    value: Annotated[str, Field(min_length=1, max_length=256)]
    """The organization's value in that claim."""
    members: Annotated[tuple[Subject, ...], Field(max_length=256)] = ()
    """Subjects that may call. Empty means every subject whose token has the claim. FTL's `org`: list the
    people; a machine is let in by its claim."""


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
    """A case that the policy must decide as written, or nothing is deployed."""

    name: Label
    """What the case shows."""
    input: LongText
    """The policy's `input` as the text of a JSON object, for example `{"token": {"sub": "ann"}, "request":
    {"component": "weather"}, "mcp": {"method": "tools/call", "tool": "forecast", "arguments": {}}}`."""
    allow: bool
    """The decision it must give."""

    @field_validator("input")
    @classmethod
    def _is_an_object(cls, value: str) -> str:
        return _json_object(value)


class AuthSpec(Part):
    """How tokens are checked and whom they let in."""

    issuer: IssuerUrl | None = None
    """The token issuer's URL, exactly as the `iss` claim has it. May be left out only if `jwksUri` or
    `publicKey` says how to check signatures; then `iss` is not looked at."""
    audiences: Annotated[tuple[Audience, ...], Field(min_length=1, max_length=16)]
    """Accepted values of the `aud` claim; a token must have one. Usually the URL of the MCP endpoint."""
    jwks_uri: IssuerUrl | None = None
    """Where the issuer's keys are. Default: read from the issuer's metadata."""
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

    @model_validator(mode="after")
    def _keys_have_one_source(self) -> Self:
        if self.jwks_uri is not None and self.public_key is not None:
            raise ValueError("set at most one of jwksUri, publicKey")
        if self.issuer is None and self.jwks_uri is None and self.public_key is None:
            raise ValueError("set issuer, or say by jwksUri or publicKey how signatures are checked")
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
