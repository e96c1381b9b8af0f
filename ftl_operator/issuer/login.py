"""Checks what an app's own login needs: its public URL, its public keys, and the provider behind it.

Sources: OpenID Connect Discovery 1.0 §3 (a provider's metadata), RFC 9068 §2.1 (the type of access tokens).
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Algorithm
from ftl_operator.api.login import LOOPBACK, LoginUpstream, Upstream
from ftl_operator.errors import IssuerError, Reason, SpecError
from ftl_operator.exchange import Deadline
from ftl_operator.issuer.fetch import IssuerClient
from ftl_operator.issuer.keys import check_keys, key_algorithms, members, public_members
from ftl_operator.issuer.metadata import find_metadata

ALGORITHM = Algorithm.ES256.value
"""The signature algorithm of the login's tokens."""
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
"""The header type of its tokens."""
MAX_JWKS_BYTES = 16 * 1024
"""The largest set of public keys that is read; three keys take less than a kilobyte."""

STORE = "default"
"""The key-value store of the gateway and the login."""

_FIELD = "spec.auth.login"


def login_url(app: FtlApp) -> str:
    """The public URL of an app with a login, which is the issuer of its tokens.

    Raises:
        SpecError: The spec does not say it, or it is not encrypted.
    """
    url = app.spec.public_url
    if url is None:
        raise SpecError(
            "people must reach the login by a URL: write route, or auth.login.url if something else routes",
            field=f"{_FIELD}.url",
        )
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise SpecError(
            f"{url} is not encrypted, and people send their passwords there; use HTTPS, or write the public "
            "URL into auth.login.url if something in front of the route encrypts",
            field=f"{_FIELD}.url",
        )
    return url


def public_keys(text: str) -> Mapping[str, Any]:
    """Read the public keys of a login, for the gateway. The result has public members only.

    Raises:
        SpecError: The text is no key set, has a private key, or has a key that the gateway cannot use. The
            message has no part of it.
    """
    field = f"{_FIELD}.secretRef"
    try:
        document = json.loads(text) if len(text) <= MAX_JWKS_BYTES else None
    except (ValueError, RecursionError):
        document = None
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = list(members(document)) if isinstance(document, dict) else []
    if not isinstance(listed, list) or not keys or len(keys) != len(listed):
        raise SpecError(f"the key 'jwks' of the Secret is no set of public keys; {_REMEDY}", field=field)
    for key in keys:
        if "d" in key:
            raise SpecError(
                f"the key 'jwks' of the Secret has a private key, and it is published; {_REMEDY}", field=field
            )
        if key_algorithms(key) != (ALGORITHM,) or not key.get("kid"):
            raise SpecError(
                f"the key 'jwks' of the Secret has a key that is not for ES256; {_REMEDY}", field=field
            )
    return {"keys": sorted(map(public_members, keys), key=lambda key: str(key["kid"]))}


def login_warnings(app: FtlApp) -> tuple[str, ...]:
    """What of a login does not hold because of how the app runs. Pure."""
    runtime = app.spec.runtime
    config = runtime.runtime_config
    warnings = []
    most = runtime.autoscaling.max_replicas if runtime.autoscaling is not None else runtime.replicas or 1
    # Spin's own kind is a file in the pod.
    is_shared = config.load_from_secret is not None or any(
        store.name == STORE and store.type != "spin" for store in config.key_value_stores
    )
    if most > 1 and not is_shared:
        warnings.append(
            f"up to {most} pods run and have no key-value store {STORE!r} in common "
            "(spec.runtime.runtimeConfig.keyValueStores), so each pod alone remembers which codes and "
            "refresh tokens are used up and who gave a wrong password"
        )
    writers = [tool.name for tool in app.spec.tools if STORE in tool.key_value_stores]
    if writers:
        warnings.append(
            f"{', '.join(writers)} may write into the key-value store {STORE!r}, and so make the login "
            "forget which codes and refresh tokens are used up and who gave a wrong password"
        )
    return tuple(warnings)


_REMEDY = "make the Secret with 'ftl-operator login secret'"


def find_upstream(spec: LoginUpstream, client: IssuerClient) -> Upstream:
    """Fetch a provider's metadata and keys, and check that people can sign in there.

    Raises:
        IssuerError: The provider is not allowed, does not answer in time, or its documents or keys do not
            fit.
    """
    field = f"{_FIELD}.upstream.issuer"
    deadline = Deadline.after(client.settings.total)
    named = client.allowed_url(spec.issuer, field)
    found = find_metadata(spec.issuer, named, client, deadline, field)
    document = found.document
    missing = [name for name in ("authorization_endpoint", "token_endpoint") if name not in found.urls]
    if missing:
        raise IssuerError(
            f"{found.url} names no {missing[0]}, so nobody can sign in there",
            reason=Reason.ISSUER_INVALID,
            field=field,
        )
    # RS256 is what every provider has (OpenID Connect Discovery 1.0 §3).
    offered = document.get("id_token_signing_alg_values_supported")
    names = [name.value for name in Algorithm]
    algorithms = [name for name in names if name in (offered if isinstance(offered, list) else ["RS256"])]
    keys = client.get_object(found.urls["jwks_uri"], deadline, field)
    try:
        check_keys(keys, algorithms, str(found.urls["jwks_uri"]))
    except IssuerError as error:
        error.field = field
        raise
    usable = {name for key in members(keys) for name in key_algorithms(key)}
    return Upstream(
        issuer=spec.issuer,
        client_id=spec.client_id,
        scopes=spec.scopes,
        subject=spec.subject.value,
        name=spec.name or named.host,
        authorization_endpoint=str(found.urls["authorization_endpoint"]),
        token_endpoint=str(found.urls["token_endpoint"]),
        jwks_uri=str(found.urls["jwks_uri"]),
        algorithms=tuple(name for name in algorithms if name in usable),
    )
