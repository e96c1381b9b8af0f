"""The Secrets of gateways: made once, never replaced, and read only for the probe's token."""

import base64
from typing import Any

import pytest

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError
from ftl_operator.controller.gateway_secrets import GatewaySecrets
from ftl_operator.settings import Settings
from tests.support.specs import ftlapp

MAKES = Settings(gateway_secrets=True)


class Cluster:
    """Keeps Secrets by name and what was created."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []

    def create(self, api: kinds.Api, manifest: dict[str, Any]) -> dict[str, Any]:
        assert api == kinds.SECRET
        name = manifest["metadata"]["name"]
        if name in self.secrets:
            raise ConflictError(f"{name} exists")
        data = {key: base64.b64encode(text.encode()).decode() for key, text in manifest["stringData"].items()}
        metadata = {**manifest["metadata"], "uid": "1", "resourceVersion": "1"}
        self.secrets[name] = {**manifest, "metadata": metadata, "data": data}
        self.created.append(name)
        return self.secrets[name]

    def get(self, api: kinds.Api, namespace: str, name: str) -> dict[str, Any] | None:
        assert (api, namespace) == (kinds.SECRET, "agents")
        return self.secrets.get(name)


def app(**gateway: Any) -> FtlApp:
    return FtlApp.parse(ftlapp({"gateway": gateway, "tools": [{"name": "a", "image": "r.io/a:1"}]}))


def test_a_secret_is_made_once_and_goes_with_its_app() -> None:
    cluster, cache = Cluster(), Cache()
    secrets = GatewaySecrets(MAKES, cluster, cache)  # type: ignore[arg-type]
    made_for = app()
    for _ in range(3):
        secrets.ensure(made_for)
    name = f"{made_for.metadata.name}-gateway"
    assert cluster.created == [name]
    assert cache.source("Secret", "agents", name) is not None
    secret = cluster.secrets[name]
    assert set(secret["data"]) == {"sealing-key", "probe-word"}
    assert len(set(secret["data"].values())) == 2
    if made_for.metadata.uid:
        assert secret["metadata"]["ownerReferences"][0]["uid"] == made_for.metadata.uid
    assert secrets.probe_word(made_for) == base64.b64decode(secret["data"]["probe-word"]).decode()


def test_what_is_there_is_never_replaced() -> None:
    cluster = Cluster()
    GatewaySecrets(MAKES, cluster, Cache()).ensure(app())  # type: ignore[arg-type]
    before = dict(cluster.secrets)
    # Another replica that has not seen it yet.
    GatewaySecrets(MAKES, cluster, Cache()).ensure(app())  # type: ignore[arg-type]
    assert cluster.secrets == before


@pytest.mark.parametrize(
    ("settings", "gateway"),
    [(Settings(), {}), (MAKES, {"secretRef": {"name": "own"}}), (Settings(), {"secretRef": {"name": "own"}})],
)
def test_no_secret_is_made_that_is_not_wanted(settings: Settings, gateway: dict[str, Any]) -> None:
    cluster = Cluster()
    secrets = GatewaySecrets(settings, cluster, Cache())  # type: ignore[arg-type]
    secrets.ensure(app(**gateway))
    assert not cluster.created
    assert secrets.probe_word(app(**gateway)) == ""


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"probe-word": base64.b64encode(b"word\n").decode()}, "word"),
        ({"probe-word": "%%"}, ""),
        ({"probe-word": base64.b64encode("wörd".encode()).decode()}, ""),
        ({"other": "eA=="}, ""),
        (None, ""),
    ],
)
def test_a_word_that_cannot_stand_in_a_header_is_none(data: dict[str, str] | None, word: str) -> None:
    cluster = Cluster()
    cluster.secrets["own"] = {"data": data}
    secrets = GatewaySecrets(Settings(), cluster, Cache())  # type: ignore[arg-type]
    assert secrets.probe_word(app(secretRef={"name": "own"})) == word
