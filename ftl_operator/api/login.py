"""`spec.auth.login`: the app's own login, an OAuth 2.1 authorization server in the app itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ftl_operator.api.fields import (
    IN_WORDS,
    PUBLIC_NAME,
    IssuerUrl,
    KeyReference,
    ObjectReference,
    Part,
    Scope,
    exactly_one,
)

LOGIN_SECRET_SUFFIX = "-login"  # noqa: S105 - a name
"""The suffix of the Secret with the keys of an app's login, unless the app names another."""
LOGIN = "login"
"""The login's component id, which no tool of an app with a login may have."""
LOGIN_NAME_MESSAGE = "'login' is the login's own name, so no tool of an app with auth.login can have it"

# No query, fragment or user; no slash at the end, because an issuer is compared as a text.
PUBLIC_URL = (
    r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?"
    r"(/\.{0,2}[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$"
)
IN_WORDS[PUBLIC_URL] = "https://HOST[:PORT][/PATH] without a slash at its end"
PLAIN_URL_MESSAGE = "write https://; http:// works for this machine only (127.0.0.1, localhost or [::1])"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

CLIENT_HOSTS = (
    "chatgpt.com",
    "claude.ai",
    "goose-docs.ai",
    "insiders.vscode.dev",
    "vscode.dev",
    "zed.dev",
)
"""Hosts of clients that publish a Client ID Metadata Document: ChatGPT and Codex, Claude and Claude Code,
Goose, Visual Studio Code, Zed."""


class LoginSubject(StrEnum):
    """What of the provider's account becomes the subject of a token."""

    EMAIL = "email"
    """The e-mail address, if the provider says that it is verified."""
    SUB = "sub"
    """The provider's own identifier, which never changes."""


class LoginUsers(Part):
    """People who sign in with a name and a password."""

    secret_ref: KeyReference
    """A key of a Secret with one user a line: `NAME $argon2id$… [scopes=a,b] [email=…]`. `ftl-operator user
    add` makes them. A caller's subject is the name."""


class LoginUpstream(Part):
    """An OpenID Connect provider where people sign in. It needs no dynamic registration of clients."""

    issuer: IssuerUrl
    """The provider's issuer, exactly as in its metadata."""
    client_id: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")]
    """The id of the client that you registered there, with the redirect URI `URL/login/callback`."""
    secret_ref: KeyReference | None = None
    """A key of a Secret with that client's secret. Omit it for a public client."""
    subject: LoginSubject = LoginSubject.EMAIL
    """What becomes the caller's subject."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=16)] = ("openid", "email")
    """The scopes to ask the provider for; `openid` must be one of them."""
    name: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    """The provider's name for people. Default: the host of its issuer."""

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError(OPENID_MESSAGE)
        return value


OPENID_MESSAGE = "openid must be one of the scopes: without it the provider does not say who signs in"


class Login(Part):
    """The app's own login: people sign in at the app itself, and its tokens let them call."""

    users: LoginUsers | None = None
    """The app's own users. Set this or `upstream`."""
    upstream: LoginUpstream | None = None
    """The provider where people sign in. Its whole world may have accounts there, so say who may call:
    `allowedSubjects`, `organization` or a policy."""
    secret_ref: ObjectReference | None = None
    """A Secret of this app alone with the login's keys, which `ftl-operator login secret` makes. Default: the
    name of the app and `-login`."""
    url: Annotated[str | None, Field(max_length=512, pattern=PUBLIC_URL)] = None
    """The app's public URL, which becomes the issuer of its tokens. Default: the one that `route` says. Set
    it if something else routes requests to the app; that takes the URL's path off them."""
    registration: bool = True
    """Whether clients may register themselves (RFC 7591)."""
    client_hosts: Annotated[
        tuple[Annotated[str, Field(max_length=253, pattern=PUBLIC_NAME)], ...], Field(max_length=64)
    ] = CLIENT_HOSTS
    """Hosts from which documents about clients are fetched (Client ID Metadata Documents), over HTTPS at port
    443. Default: those of the clients that are known to publish one."""
    access_token_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    """How long a token is valid. After that the client gets another one without its user."""
    refresh_token_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long a client gets new tokens without its person, in days after the consent. Then people sign in
    again, however often the client was used."""

    def secret_of(self, app: str) -> str:
        """The name of the Secret with the keys of the login of the app with this name."""
        return self.secret_ref.name if self.secret_ref is not None else f"{app}{LOGIN_SECRET_SUFFIX}"

    @field_validator("url")
    @classmethod
    def _is_encrypted(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise ValueError(PLAIN_URL_MESSAGE)
        return value

    @model_validator(mode="after")
    def _one_place_to_sign_in(self) -> Self:
        exactly_one({"users": self.users, "upstream": self.upstream})
        return self


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider that was checked.

    Args:
        issuer: Its issuer.
        client_id: The client's id there.
        scopes: The scopes to ask for.
        subject: The claim that becomes the subject.
        name: Its name for people.
        authorization_endpoint: Where people are sent.
        token_endpoint: Where codes are redeemed.
        jwks_uri: Where its keys are.
        algorithms: The algorithms of its ID tokens that are accepted.
    """

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    subject: str
    name: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    algorithms: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The object `upstream` of `login_config`."""
        return {
            "issuer": self.issuer,
            "clientId": self.client_id,
            "scopes": list(self.scopes),
            "subjectClaim": self.subject,
            "authorizationEndpoint": self.authorization_endpoint,
            "tokenEndpoint": self.token_endpoint,
            "jwksUri": self.jwks_uri,
            "algorithms": list(self.algorithms),
            "name": self.name,
        }


@dataclass(frozen=True, slots=True)
class CheckedLogin:
    """An app's login whose keys and provider were checked.

    Args:
        issuer: The app's public URL without a slash at its end, which is the issuer.
        client_hosts: Hosts of documents about clients.
        upstream: The provider; None if the app has users of its own.
    """

    issuer: str
    client_hosts: tuple[str, ...]
    upstream: Upstream | None = None

    @property
    def base_path(self) -> str:
        """The path of the app's URL, which is taken off before the app gets a request; empty for the root."""
        return urlsplit(self.issuer).path

    @property
    def outbound_urls(self) -> tuple[str, ...]:
        """URLs that the login connects to."""
        clients = tuple(f"https://{host}" for host in self.client_hosts)
        if self.upstream is None:
            return clients
        return (*clients, self.upstream.token_endpoint, self.upstream.jwks_uri)

    def document(self) -> Mapping[str, Any]:
        """What was found outside the spec, for the digest of an image's inputs."""
        return {
            "issuer": self.issuer,
            "upstream": None if self.upstream is None else self.upstream.document(),
        }
