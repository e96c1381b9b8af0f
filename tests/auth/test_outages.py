"""A running gateway whose issuer fails: no call is allowed until the issuer is back."""

import time
from pathlib import Path

import pytest

from tests.auth.live_issuer import KEYS, Answer, jwk, live_issuer
from tests.auth.serving import free_port, serving
from tests.auth.test_gateway import Gateway

pytestmark = pytest.mark.needs("auth-tool")

RECOVERY_SECONDS = 60
"""The gateway asks again after ten; a busy machine is slower."""


class IssuedGateway(Gateway):
    """A gateway that reads its keys from an issuer."""

    def token(self, **claims: object) -> str:
        import jwt

        now = int(time.time())
        payload = {"aud": self.resource, "sub": "alice", "exp": now + 300, **claims}
        return jwt.encode(payload, KEYS["ES256"], "ES256", {"kid": "es256"})


BREAKS = {
    "down": Answer(b"", 500),
    "empty": Answer(b""),
    "html": Answer(b"<!doctype html><title>Sign in</title>"),
    "redirect": Answer(b"", 302, {"Location": "/good-keys"}),
    "huge": Answer(b'{"keys": [' + b" " * 400_000 + b"]}"),
    "slow": Answer(b'{"keys": []}' + b" " * 200, drip_seconds=0.2),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_gateway_whose_issuer_breaks(tmp_path: Path, what: str) -> None:
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    with live_issuer(tmp_path, tls=False) as issuer:
        issuer.publish(jwk("ES256"))
        issuer.document("/good-keys", {"keys": [jwk("ES256")]})
        auth = {
            "issuer": issuer.url,
            "audiences": [resource],
            "algorithms": ["ES256"],
            "allowedSubjects": ["alice"],
        }
        with serving(tmp_path, {"access": "private", "auth": auth}, port=port):
            gateway = IssuedGateway(port, resource)
            issuer.answers["/keys"] = BREAKS[what]
            started = time.monotonic()
            refused = gateway.call("mail__whoami", iss=issuer.url)
            assert refused.status == 503, refused
            assert "retry-after" in refused.headers
            assert time.monotonic() - started < 20, "a slow issuer is not waited for"
            assert gateway.call("mail__whoami", token="a.b.c").status == 401
            assert "/good-keys" not in issuer.asked, "no redirect is followed"
            issuer.publish(jwk("ES256"))
            deadline = time.monotonic() + RECOVERY_SECONDS
            while gateway.call("mail__whoami", iss=issuer.url).status != 200:
                assert time.monotonic() < deadline, "it does not recover"
                time.sleep(0.5)
