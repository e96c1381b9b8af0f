"""A token issuer as it presents itself: its metadata and its keys, checked against what a spec accepts.

Sources: OpenID Connect Discovery 1.0 §4, RFC 8414 §3 and §5 (metadata, where they are, and that their
    `issuer` is the one asked for). What a key is good for is in `keys`.
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
"""Members of metadata that clients and the gateway go to."""

ClusterDocument = Callable[[str], Mapping[str, Any]]
"""GETs a path of the cluster's API server; raises ClusterError."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """What was found.

    Args:
        jwks_uri: Where the gateway fetches keys; None if `jwks` are to be fixed.
        jwks: Keys for the gateway to take as they are: those of an issuer that it cannot reach.
        metadata: URL of the issuer's metadata, if they were needed.
        warnings: What works now and may stop working.
    """

    jwks_uri: str | None
    jwks: Mapping[str, Any] | None = None
    metadata: str | None = None
    warnings: tuple[str, ...] = ()


def find_issuer(
    issuer: str | None, jwks_uri: str | None, algorithms: Sequence[str], client: IssuerClient
) -> Issuer:
    """Ask an issuer for its metadata (unless `jwks_uri` is given) and its keys.

    Raises:
        IssuerError: It may not be asked, does not answer in time, or its documents or keys do not fit.
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
        metadata, keys = _find_metadata(issuer, named, client, deadline)
    document = client.get_object(keys, deadline, field)
    # What was asked is what the gateway will ask, not the text that was parsed.
    return Issuer(str(keys), None, metadata, check_keys(document, algorithms, str(keys)))


def find_cluster_issuer(issuer: str, algorithms: Sequence[str], get: ClusterDocument) -> Issuer | None:
    """The cluster's own issuer of ServiceAccount tokens with its keys, if `issuer` is that; else None.

    Pods cannot reach it with a trust that Spin has, so the gateway gets the keys themselves.

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
    """Where an issuer's metadata may be, in the order in which they are asked for.

    OpenID Connect appends its well-known path to the issuer's, RFC 8414 inserts its own before it. Servers
    exist that do either with the other's name.
    """
    path = issuer.target.rstrip("/")
    openid, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
    targets = (f"{path}{openid}", f"{oauth}{path}", f"{openid}{path}", f"{path}{oauth}")
    return tuple(issuer.with_target(target) for target in dict.fromkeys(targets))


def _find_metadata(
    issuer: str, named: HttpUrl, client: IssuerClient, deadline: Deadline
) -> tuple[str, HttpUrl]:
    """The URL of the first metadata that are the issuer's, and the URL of the keys that they name."""
    field = "spec.auth.issuer"
    answers: list[str] = []
    may_pass = False
    for url in metadata_urls(named):
        try:
            document = client.get_object(url, deadline, field)
        except NoDocumentError as error:
            # Servers answer here what they answer to any unknown path: 400, a login page, a redirect.
            answers.append(error.message)
            may_pass = may_pass or error.may_pass
            continue
        if document.get("issuer") != issuer:
            claimed = repr(document.get("issuer"))[:200]
            answers.append(f"{url} is of the issuer {claimed}, and spec.auth.issuer must be exactly that")
        elif not isinstance(document.get("jwks_uri"), str):
            answers.append(f"{url} names no jwks_uri")
        else:
            urls = {name: client.url(str(document[name]), field) for name in ENDPOINTS if name in document}
            return str(url), urls["jwks_uri"]
    raise IssuerError(
        f"{issuer} has no usable metadata; write spec.auth.jwksUri if it has none: {'; '.join(answers)}",
        reason=Reason.ISSUER_UNAVAILABLE if may_pass else Reason.ISSUER_INVALID,
        field=field,
    )
