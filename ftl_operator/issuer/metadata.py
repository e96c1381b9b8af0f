"""Finds a token issuer's metadata and keys, and checks them against the spec.

Sources: OpenID Connect Discovery 1.0 §4, RFC 8414 §3 and §5 (metadata, their URLs, and the check of
`issuer`). `keys` tells which algorithms a key can verify.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftl_operator.errors import IssuerError, Reason
from ftl_operator.exchange import Deadline
from ftl_operator.hosts import HttpUrl
from ftl_operator.issuer.fetch import IssuerClient, NoDocumentError
from ftl_operator.issuer.keys import check_keys, key_algorithms, members, public_members

ENDPOINTS = ("jwks_uri", "authorization_endpoint", "token_endpoint", "registration_endpoint")
"""Members of the metadata with URLs that clients and the gateway use."""

ClusterDocument = Callable[[str], Mapping[str, Any]]
"""GETs a path of the cluster's API server; raises ClusterError."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A checked issuer.

    Args:
        jwks_uri: The URL of the keys for the gateway; None if `jwks` are baked in.
        jwks: Keys to bake into the gateway, for an issuer that the gateway cannot reach.
        metadata: The URL of the issuer's metadata, if they were needed.
        warnings: Problems that may arise later.
    """

    jwks_uri: str | None
    jwks: Mapping[str, Any] | None = None
    metadata: str | None = None
    warnings: tuple[str, ...] = ()


def find_issuer(
    issuer: str | None, jwks_uri: str | None, algorithms: Sequence[str], client: IssuerClient
) -> Issuer:
    """Fetch an issuer's metadata (unless `jwks_uri` is given) and its keys, and check them.

    Raises:
        IssuerError: The issuer is not allowed, does not answer in time, or its documents or keys do not fit.
    """
    deadline = Deadline.after(client.settings.total)
    named = None if issuer is None else client.allowed_url(issuer, "spec.auth.issuer")
    metadata = None
    if jwks_uri is not None:
        field = "spec.auth.jwksUri"
        keys = client.allowed_url(jwks_uri, field)
    else:
        field = "spec.auth.issuer"
        if issuer is None or named is None:
            raise IssuerError("there is no issuer to ask", reason=Reason.ISSUER_INVALID, field=field)
        advice = "; write spec.auth.jwksUri if it has none"
        found = find_metadata(issuer, named, client, deadline, field, advice)
        metadata, keys = str(found.url), found.urls["jwks_uri"]
    document = client.get_object(keys, deadline, field)
    # The gateway gets the parsed URL that was fetched here, not the original text.
    return Issuer(str(keys), None, metadata, check_keys(document, algorithms, str(keys)))


def find_cluster_issuer(issuer: str, algorithms: Sequence[str], get: ClusterDocument) -> Issuer | None:
    """The cluster's issuer of ServiceAccount tokens with its keys, if `issuer` is that one; else None.

    Spin does not trust its certificate, so pods cannot fetch its keys. They are baked into the gateway.

    Raises:
        ClusterError: The API server does not show its documents.
        IssuerError: Its keys do not fit the algorithms.
    """
    if get("/.well-known/openid-configuration").get("issuer") != issuer:
        return None
    document = get("/openid/v1/jwks")
    warnings = check_keys(document, algorithms, "the cluster's key set")
    keys = [public_members(key) for key in members(document) if set(key_algorithms(key)) & set(algorithms)]
    return Issuer(None, {"keys": sorted(keys, key=lambda key: str(key.get("kid", "")))}, None, warnings)


def metadata_urls(issuer: HttpUrl) -> tuple[HttpUrl, ...]:
    """The possible URLs of an issuer's metadata, in the order in which they are tried.

    OpenID Connect appends its well-known path to the issuer's path; RFC 8414 inserts its own before it. Some
    servers combine the place of one with the name of the other.
    """
    path = issuer.target.rstrip("/")
    openid, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
    targets = (f"{path}{openid}", f"{oauth}{path}", f"{openid}{path}", f"{path}{oauth}")
    return tuple(issuer.with_target(target) for target in dict.fromkeys(targets))


@dataclass(frozen=True, slots=True)
class Metadata:
    """An issuer's metadata.

    Args:
        url: Where they were found.
        document: The metadata.
        urls: The URLs in it, by the members of `ENDPOINTS`; `jwks_uri` is always there.
    """

    url: HttpUrl
    document: Mapping[str, Any]
    urls: Mapping[str, HttpUrl]


def find_metadata(
    issuer: str, named: HttpUrl, client: IssuerClient, deadline: Deadline, field: str, advice: str = ""
) -> Metadata:
    """Fetch the first metadata that name this issuer.

    Args:
        issuer: The issuer, as they must name it.
        named: The same, parsed and allowed.
        client: Fetches.
        deadline: The deadline.
        field: The field of the spec that names the issuer.
        advice: What else helps if there are none, for the message.

    Raises:
        IssuerError: There are none, or a URL in them is not usable.
    """
    answers: list[str] = []
    may_pass = False
    for url in metadata_urls(named):
        try:
            document = client.get_object(url, deadline, field)
        except NoDocumentError as error:
            # Servers may answer here as for any unknown path: with 400, a login page, or a redirect.
            answers.append(error.message)
            may_pass = may_pass or error.may_pass
            continue
        if document.get("issuer") != issuer:
            claimed = repr(document.get("issuer"))[:200]
            answers.append(f"{url} is of the issuer {claimed}, and {field} must be exactly that")
        elif not isinstance(document.get("jwks_uri"), str):
            answers.append(f"{url} names no jwks_uri")
        else:
            urls = {name: client.url(str(document[name]), field) for name in ENDPOINTS if name in document}
            return Metadata(url, document, urls)
    raise IssuerError(
        f"{issuer} has no usable metadata{advice}: {'; '.join(answers)}",
        reason=Reason.ISSUER_UNAVAILABLE if may_pass else Reason.ISSUER_INVALID,
        field=field,
    )
