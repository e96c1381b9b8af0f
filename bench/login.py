"""An app with a login of its own, and the request for its first page."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from bench.hosts import Ask
from ftl_operator.api.auth import Access, GatewayAuth
from ftl_operator.api.login import CheckedLogin
from ftl_operator.host import Request
from ftl_operator.manifests.login_secret import jwks_text, keys_text, new_keys

URL = "https://bench.example"
REDIRECT = "http://127.0.0.1:1/callback"


def auth() -> tuple[Mapping[str, Any], GatewayAuth, Mapping[str, str]]:
    """`spec.auth` with a login, what the operator would have found of it, and the values of its variables."""
    keys = new_keys()
    spec = {"login": {"url": URL, "users": {"secretRef": {"name": "users", "key": "users"}}}}
    checked = GatewayAuth(
        access=Access.PRIVATE,
        issuer=URL,
        audiences=(f"{URL}/mcp",),
        algorithms=("ES256",),
        jwks=json.loads(jwks_text(keys)),
        authorization_servers=(URL,),
        login=CheckedLogin(URL, ()),
    )
    return spec, checked, {"gateway_login_keys": keys_text(keys), "gateway_login_users": ""}


def sign_in_page(ask: Ask) -> Request:
    """The request that a browser begins with, for a client that has just registered."""
    metadata = json.dumps({"client_name": "bench", "redirect_uris": [REDIRECT]}).encode()
    headers = (("host", b"bench.example"), ("content-type", b"application/json"))
    registered = json.loads(ask(Request("POST", "/login/register", headers, metadata)).body)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"verifier").digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": registered["client_id"],
        "redirect_uri": REDIRECT,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return Request("GET", f"/login/authorize?{urlencode(query)}", (("host", b"bench.example"),), b"")
