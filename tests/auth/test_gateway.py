"""Attacks on a running gateway over HTTP, each beside a legitimate request."""

import base64
import hmac
import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.auth.live_issuer import KEYS
from tests.auth.serving import free_port, serving

pytestmark = pytest.mark.needs("auth-tool")

POLICY = """package mcp.authorization
import rego.v1
default allow := false
denied if {
    input.mcp.method == "tools/call"
    input.request.component == "files"
    input.mcp.tool in data.dangerous
    not "admin" in input.token.claims.roles
}
allow if not denied
"""
VERSION = {"MCP-Protocol-Version": "2025-11-25"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def seen(self) -> list[list[str]]:
        """The headers that the tool saw."""
        text = self.document["result"]["content"][0]["text"]
        headers: list[list[str]] = json.loads(text)["headers"]
        return headers


@dataclass(frozen=True)
class Gateway:
    port: int
    resource: str

    def send(
        self,
        body: bytes | str | object,
        path: str = "/mcp",
        headers: Sequence[tuple[str, str]] = (),
        method: str = "POST",
    ) -> Answer:
        """One request, its headers exactly these."""
        data = (
            body
            if isinstance(body, bytes)
            else (body if isinstance(body, str) else json.dumps(body)).encode()
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            given = {name.lower() for name, _ in headers}
            for name, value in {
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                **VERSION,
            }.items():
                if name.lower() not in given:
                    connection.putheader(name, value)
            for name, value in headers:
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def call(
        self,
        name: str,
        path: str = "/mcp",
        headers: Sequence[tuple[str, str]] = (),
        token: str | None = None,
        **claims: Any,
    ) -> Answer:
        """A tool call by alice."""
        bearer = ("Authorization", f"Bearer {token or self.token(**claims)}")
        return self.send(message("tools/call", name=name, arguments={}), path, [bearer, *headers])

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        payload = {"aud": self.resource, "sub": "alice", "iat": now, "exp": now + 300, **claims}
        return jwt.encode(
            {name: value for name, value in payload.items() if value is not None}, KEYS["ES256"], "ES256"
        )


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    key = KEYS["ES256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    spec = {
        "access": "custom",
        "auth": {
            "publicKey": key.decode(),
            "audiences": [resource],
            "algorithms": ["ES256"],
            "policy": {"rego": POLICY},
            "policyData": {"json": '{"dangerous": ["delete_all"]}'},
            "policyTests": [
                {
                    "name": "nobody deletes",
                    "input": '{"token": {"claims": {}}, "request": {"component": "files"},'
                    ' "mcp": {"method": "tools/call", "tool": "delete_all"}}',
                    "allow": False,
                }
            ],
        },
    }
    with serving(tmp_path_factory.mktemp("gateway"), spec, port=port):
        yield Gateway(port, resource)


def test_the_legitimate_call(gateway: Gateway) -> None:
    answer = gateway.call("mail__whoami", client_id="desktop", scope="a b", roles=["x"])
    assert answer.status == 200, answer
    seen = dict(answer.seen)
    assert seen["x-auth-subject"] == "alice"
    assert seen["x-auth-client-id"] == "desktop"
    assert seen["x-auth-scopes"] == "a b"
    claims = json.loads(base64.urlsafe_b64decode(seen["x-auth-claims"] + "=="))
    assert claims["roles"] == ["x"]


@pytest.mark.parametrize(
    "forged",
    [
        "X-Auth-Subject",
        "x-auth-subject",
        "X-AUTH-SUBJECT",
        "x_auth_subject",
        "X-Auth-Claims",
        "X-Auth-Scopes",
        "X-Auth-New",
        "Authorization2",
        "Cookie",
    ],
)
def test_identity_headers_cannot_be_forged(gateway: Gateway, forged: str) -> None:
    answer = gateway.call("mail__whoami", headers=[(forged, "admin"), (forged, "root")])
    assert answer.status == 200
    assert not [pair for pair in answer.seen if pair[1] in ("admin", "root")]
    assert [value for name, value in answer.seen if name.lower() == "x-auth-subject"] == ["alice"]
    assert "authorization" not in dict(answer.seen)


def test_a_subject_cannot_break_out_of_its_header(gateway: Gateway) -> None:
    answer = gateway.call("mail__whoami", sub="alice\r\nx-auth-scopes: admin")
    assert answer.status == 200
    assert dict(answer.seen)["x-auth-subject"] == "alice%0D%0Ax-auth-scopes:%20admin"
    assert dict(answer.seen).get("x-auth-scopes", "") == ""


DENIED_PATHS = [
    ("/mcp", "files__delete_all"),
    ("/mcp/", "files__delete_all"),
    ("/mcp?x=1", "files__delete_all"),
    ("/mcp/x/files", "delete_all"),
    ("/mcp/x/files/", "delete_all"),
]


@pytest.mark.parametrize(("path", "name"), DENIED_PATHS)
def test_a_denied_tool_is_denied_on_every_path(gateway: Gateway, path: str, name: str) -> None:
    denied = gateway.call(name, path)
    assert denied.status == 403, denied
    assert 'error="access_denied"' in denied.headers["www-authenticate"]
    assert gateway.call(name, path, roles=["admin"]).status == 200
    assert gateway.call(name.replace("files", "mail"), path.replace("files", "mail")).status == 200


@pytest.mark.parametrize(
    "path",
    ["/mcp/x/%66iles", "/mcp//x/files", "/mcp/x/../x/files", "/MCP", "/mcp/x/Files", "//mcp",
     "/mcp/x/files/x", "/mcp%2Fx%2Ffiles", "/mcp;x", "/__policy"],
)  # fmt: skip
def test_no_other_spelling_of_a_path_is_served(gateway: Gateway, path: str) -> None:
    assert gateway.call("delete_all", path).status == 404


@pytest.mark.parametrize(
    "name",
    [
        "Files__delete_all",
        "files__Delete_all",
        "files__delete_all ",
        "delete_all",
        "files__files__delete_all",
    ],
)
def test_no_other_spelling_of_a_tool_is_called(gateway: Gateway, name: str) -> None:
    answer = gateway.call(name)
    assert "result" not in answer.document or answer.document["result"].get("isError"), answer


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "text/json"]
)
def test_a_body_that_calls_itself_something_else_is_not_served(gateway: Gateway, content_type: str) -> None:
    answer = gateway.call("files__delete_all", headers=[("Content-Type", content_type)])
    assert answer.status in (403, 415)
    assert (
        gateway.call("files__whoami", headers=[("Content-Type", "application/json; charset=utf-8")]).status
        == 200
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "base64"])
def test_an_encoded_body_is_judged_as_it_is_read(gateway: Gateway, encoding: str) -> None:
    assert gateway.call("files__delete_all", headers=[("Content-Encoding", encoding)]).status in (403, 415)


def test_a_batch_with_one_denied_call_calls_nothing(gateway: Gateway) -> None:
    def call(number: int, name: str) -> dict[str, Any]:
        return {**message("tools/call", name=name, arguments={}), "id": number}

    headers = [("Authorization", f"Bearer {gateway.token()}"), ("MCP-Protocol-Version", "2025-03-26")]
    denied = gateway.send([call(1, "mail__whoami"), call(2, "files__delete_all")], headers=headers)
    assert denied.status == 403, denied
    allowed = gateway.send([call(1, "mail__whoami"), call(2, "mail__delete_all")], headers=headers)
    assert allowed.status == 200, allowed
    assert len(allowed.document) == 2


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"files__delete_all"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"mail__whoami","name":"files__delete_all"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__delete_all","n\\u0061me":"mail__whoami"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"mail__whoami","arguments":{"a":1,"a":2}}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools\\u002fcall","params":{"name":"files__delete\\u005fall"}}',
    ],
)  # fmt: skip
def test_a_body_with_two_readings_is_not_called(gateway: Gateway, body: str) -> None:
    answer = gateway.send(body, headers=[("Authorization", f"Bearer {gateway.token()}")])
    assert answer.status in (400, 403) or "error" in answer.document, answer


def test_a_list_hides_what_the_caller_may_not_call(gateway: Gateway) -> None:
    def names(path: str, **claims: Any) -> list[str]:
        bearer = [("Authorization", f"Bearer {gateway.token(**claims)}")]
        answer = gateway.send(message("tools/list"), path, bearer)
        return [tool["name"] for tool in answer.document["result"]["tools"]]

    assert "files__delete_all" not in names("/mcp")
    assert "mail__delete_all" in names("/mcp")
    assert names("/mcp/x/files") == ["whoami", "send"]
    assert names("/mcp/x/files", roles=["admin"]) == ["whoami", "send", "delete_all"]


def test_without_token_there_is_a_challenge_on_every_method(gateway: Gateway) -> None:
    for method in ("POST", "GET", "DELETE", "PUT"):
        answer = gateway.send(message("ping"), method=method)
        assert answer.status == 401, method
        metadata = f"http://127.0.0.1:{gateway.port}/.well-known/oauth-protected-resource/mcp"
        assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{metadata}"'
    assert gateway.send("", "/healthz", method="GET").status == 200


def test_a_token_in_the_query_is_none(gateway: Gateway) -> None:
    assert gateway.send(message("ping"), f"/mcp?access_token={gateway.token()}").status == 401


def test_metadata_is_never_of_a_foreign_host(gateway: Gateway) -> None:
    path = "/.well-known/oauth-protected-resource/mcp/x/mail"
    own = gateway.send("", path, method="GET")
    assert own.document["resource"] == f"http://127.0.0.1:{gateway.port}/mcp/x/mail"
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.request("GET", path, headers={"Host": "evil.example"})
    response = connection.getresponse()
    assert response.status >= 400
    assert b"evil" not in response.read()
    connection.close()


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"},
        {"aud": None},
        {"sub": None},
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"nbf": 99_999_999_999},
        {"iat": 99_999_999_999},
    ],
    ids=str,
)
def test_claims_that_do_not_hold(gateway: Gateway, claims: dict[str, Any]) -> None:
    payload = {"aud": gateway.resource, "sub": "alice", "exp": int(time.time()) + 300, **claims}
    token = jwt.api_jws.encode(
        json.dumps({name: value for name, value in payload.items() if value is not None}).encode(),
        KEYS["ES256"],
        "ES256",
        {"typ": "JWT"},
    )
    answer = gateway.call("mail__whoami", token=token)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def hmac_signed(payload: dict[str, Any], secret: bytes) -> str:
    """HS256 over any secret; PyJWT itself refuses a public key for that."""

    def encode(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    header = encode(b'{"alg":"HS256"}')
    signed = f"{header}.{encode(json.dumps(payload).encode())}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


def test_algorithms_that_are_not_the_keys(gateway: Gateway) -> None:
    payload = {"aud": gateway.resource, "sub": "alice", "exp": int(time.time()) + 300}
    pem = KEYS["ES256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for token in (
        hmac_signed(payload, pem),
        jwt.encode(payload, None, "none"),
        jwt.encode(payload, KEYS["RS256"], "RS256"),
        jwt.encode(payload, KEYS["ES384"], "ES384"),
    ):
        assert gateway.call("mail__whoami", token=token).status == 401
    assert gateway.call("mail__whoami", token=jwt.encode(payload, KEYS["ES256"], "ES256")).status == 200


def test_a_remembered_token_is_still_judged(gateway: Gateway, tmp_path: Path) -> None:
    token = gateway.token(exp=int(time.time()) - 58)
    deadline = time.monotonic() + 10
    assert gateway.call("mail__whoami", token=token).status == 200
    while gateway.call("mail__whoami", token=token).status == 200:
        assert time.monotonic() < deadline, "it never expires"
    assert gateway.call("mail__whoami", token=token).status == 401
