"""Attacks by apps that name an issuer, and by issuers: where requests go, and what documents contain."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.exchange import Deadline
from ftl_operator.hosts import HostPatterns
from ftl_operator.issuer.fetch import IssuerClient, IssuerSettings
from ftl_operator.issuer.metadata import Issuer, find_issuer
from tests.attacks.table import Attack, check_refused, check_twin
from tests.auth.live_issuer import jwk
from tests.support.raw_server import PAUSE, Script, run_raw_server, saying
from tests.support.specs import ftlapp

SHORT, LONG = 2.0, 60.0
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
KEYS = json.dumps({"keys": [jwk("RS256")]}).encode()


def whole(body: bytes) -> Script:
    return saying(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)


@dataclass(frozen=True)
class Keys:
    """A server of keys, and how long asking it may take."""

    script: Script
    seconds: float = LONG


def keys_of(case: Keys) -> Issuer:
    with run_raw_server(case.script) as port:
        client = IssuerClient(IssuerSettings(developing=True, silence=LONG, total=case.seconds))
        return find_issuer(None, f"http://127.0.0.1:{port}/keys", ("RS256",), client)


def metadata_of(pages: dict[str, Any]) -> Issuer:
    """Metadata by their place; the keys are good."""

    def script(client: Any) -> None:
        path = client.recv(65536).split(b" ")[1].decode()
        body = KEYS if path == "/keys" else json.dumps(pages.get(path, [])).replace("ISSUER", issuer).encode()
        client.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with run_raw_server(script) as port:
        issuer = f"http://127.0.0.1:{port}"
        return find_issuer(issuer, None, ("RS256",), IssuerClient(IssuerSettings(developing=True)))


def in_a_spec(url: str) -> FtlApp:
    auth = {"issuer": url, "audiences": ["a"], "allowedSubjects": ["ann"]}
    return FtlApp.parse(ftlapp({"access": "private", "auth": auth}))


def by_settings(url: str) -> str:
    """Where the operator would connect to, with a list of one allowed host."""
    settings = IssuerSettings(allowed=HostPatterns.parse(("strasse.test", "*.acme.dev", "192.0.2.1")))
    allowed = IssuerClient(settings).allowed_url(url, "spec.auth.issuer")
    return f"{allowed.host}:{allowed.port}"


def at_address(address: str) -> Issuer:
    """An issuer with this address, in a cluster that allows every issuer."""
    client = IssuerClient(IssuerSettings(look_up=lambda host, port: [address], total=SHORT))
    try:
        client.get_object(client.allowed_url("https://login.acme.dev:9/", "f"), Deadline.after(SHORT), "f")
    except Exception as error:
        if "private address" in str(error):
            raise
    return Issuer(None)


M4 = [
    ("sharp s", "https://straße.test/"),
    ("full-width dot", "https://strasse。test/"),
    ("soft hyphen", "https://stras\u00adse.test/"),
    ("Kelvin sign", "https://\u212aeys.acme.dev/"),
    ("userinfo", "https://strasse.test@evil.test/"),
    ("backslash", "https://strasse.test\\@evil.test/"),
    ("line break", "https://strasse.test\r\n.evil.test/"),
    ("tab", "https://stra\tsse.test/"),
    ("percent", "https://strasse%2etest/"),
    ("number", "https://3221225985/"),
    ("octal", "https://0300.0.2.1/"),
    ("fragment", "https://strasse.test#@evil.test/"),
]

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "100.64.0.1", "0.0.0.0", "::1"]
PRIVATE += ["::ffff:10.0.0.1", "64:ff9b::a00:1", "fec0::1"]

ROWS = [
    *(
        Attack(f"M4 {name} in a spec", in_a_spec, url, "issuer", "https://xn--strae-oqa.test/realms/a")
        for name, url in M4
        if name not in ("number", "octal")
    ),
    *(
        Attack(
            f"M4 {name} at the stage",
            by_settings,
            url,
            "not a usable URL|do not allow",
            "https://STRASSE.test./x",
            lambda found: found == "strasse.test:443",
        )
        for name, url in M4
    ),
    *(
        Attack(f"M2 an issuer at {address}", at_address, address, "private address; ", "1.1.1.1")
        for address in PRIVATE
    ),
    Attack(
        "H4 a head that drips",
        keys_of,
        Keys(saying(b"HTTP/1.1 200 OK\r\n", then=itertools.repeat(b"X: 1\r\n"), pause=PAUSE), SHORT),
        "in time",
        Keys(whole(KEYS)),
    ),
    Attack(
        "H4 a body that drips",
        keys_of,
        Keys(saying(OK + b"\r\n", then=itertools.repeat(b" "), pause=PAUSE), SHORT),
        "in time",
        Keys(saying(OK + b"\r\n", then=[KEYS[:10], KEYS[10:]], pause=PAUSE)),
    ),
    Attack(
        "H5 an endless body",
        keys_of,
        Keys(saying(OK + b"\r\n", then=itertools.repeat(b" " * 65536))),
        "too large",
        Keys(whole(KEYS + b" " * 200_000)),
    ),
    Attack(
        "H5 gzip that nobody asked for",
        keys_of,
        Keys(saying(OK + b"Content-Encoding: gzip, gzip\r\n\r\n" + b"\x1f\x8b")),
        "encodes",
        Keys(saying(OK + b"Content-Encoding: identity\r\nContent-Length: %d\r\n\r\n" % len(KEYS) + KEYS)),
    ),
    Attack("deep JSON", keys_of, Keys(whole(b"[" * 100_000)), "no JSON object", Keys(whole(KEYS))),
    Attack(
        "a member twice",
        keys_of,
        Keys(whole(b'{"keys": [], ' + KEYS[1:])),
        "no JSON object",
        Keys(whole(b'{"more": [], ' + KEYS[1:])),
    ),
    Attack(
        "M2 a redirect to where the operator could go",
        keys_of,
        Keys(saying(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")),
        "no redirect is followed",
        Keys(whole(KEYS)),
    ),
    Attack(
        "metadata of another issuer",
        metadata_of,
        {"/.well-known/openid-configuration": {"issuer": "https://victim.test", "jwks_uri": "ISSUER/keys"}},
        "https://victim.test",
        {"/.well-known/openid-configuration": {"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"}},
        lambda found: found.jwks_uri.endswith("/keys"),
    ),
    Attack(
        "metadata that lead to plain HTTP elsewhere",
        metadata_of,
        {"/.well-known/openid-configuration": {"issuer": "ISSUER", "jwks_uri": "http://victim.test/keys"}},
        "not HTTPS",
        {"/.well-known/oauth-authorization-server": {"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"}},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    check_twin(row)
