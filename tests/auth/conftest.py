from collections.abc import Iterator
from pathlib import Path

import pytest

from ftl_operator.hosts import HostPatterns
from ftl_operator.issuer.fetch import IssuerSettings
from tests.auth.live_issuer import HOST, LiveIssuer, jwk, live_issuer, look_up


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuers of tests are on this machine, whatever proxy the machine has."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LiveIssuer]:
    with live_issuer(tmp_path) as live:
        live.publish(jwk("RS256"))
        yield live


@pytest.fixture
def settings(issuer: LiveIssuer) -> IssuerSettings:
    """Trusts the issuer's authority and names its host, which is therefore allowed to be private."""
    allowed = HostPatterns.parse((HOST,))
    return IssuerSettings(allowed=allowed, ca_file=issuer.ca_file, total=30.0, look_up=look_up())
