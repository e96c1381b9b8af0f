"""The Secrets of logins: made once, never replaced; and their changes reach the app."""

import json

import pytest

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import Cache
from ftl_operator.controller.login_secrets import LoginSecrets
from ftl_operator.settings import Settings
from tests.controller.test_gateway_secrets import Cluster
from tests.support.specs import ftlapp

MAKES = Settings(login_secrets=True)
USERS = {"users": {"secretRef": {"name": "people", "key": "users"}}}


def app(**login: object) -> FtlApp:
    return FtlApp.parse(ftlapp({"auth": {"login": {**USERS, **login}}}))


def test_a_secret_is_made_once() -> None:
    cluster, cache = Cluster(), Cache()
    secrets = LoginSecrets(MAKES, cluster, cache)  # type: ignore[arg-type]
    for _ in range(3):
        secrets.ensure(app())
    assert cluster.created == ["case-login"]
    made = cluster.secrets["case-login"]["stringData"]
    assert set(made) == {"keys", "jwks"}
    assert all("d" not in key for key in json.loads(made["jwks"])["keys"])
    assert cache.source("Secret", "agents", "case-login") is not None
    before = dict(cluster.secrets)
    # Another replica that has not seen it yet.
    LoginSecrets(MAKES, cluster, Cache()).ensure(app())  # type: ignore[arg-type]
    assert cluster.secrets == before


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (Settings(), app()),
        (Settings(gateway_secrets=True), app()),
        (MAKES, app(secretRef={"name": "own"})),
        (MAKES, FtlApp.parse(ftlapp())),
    ],
)
def test_no_secret_is_made_that_is_not_wanted(settings: Settings, wanted: FtlApp) -> None:
    cluster = Cluster()
    LoginSecrets(settings, cluster, Cache()).ensure(wanted)  # type: ignore[arg-type]
    assert not cluster.created


@pytest.mark.parametrize(("name", "wakes"), [("case-login", True), ("other-login", False), ("people", True)])
def test_a_change_of_a_logins_secret_wakes_its_app(name: str, wakes: bool) -> None:  # noqa: FBT001
    cache = Cache()
    document = ftlapp({"auth": {"login": USERS}}, {"uid": "u", "generation": 1})
    cache.observe_event(kinds.FTL_APP, document)
    secret = {"metadata": {"name": name, "namespace": "agents", "uid": "s"}, "data": {"keys": "eA=="}}
    woken = cache.observe_event(kinds.SECRET, secret)
    assert woken == ([NamespacedName("agents", "case")] if wakes else [])
