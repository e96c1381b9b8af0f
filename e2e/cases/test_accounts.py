"""ServiceAccounts of the cluster as callers, judged by keys that the operator read for the gateway."""

from collections.abc import Callable

import pytest

from e2e.cluster.control_plane import Cluster
from e2e.support.apps import App, Mcp, McpError, tool

AUDIENCE = "https://tools.e2e.test/mcp"

pytestmark = pytest.mark.usefixtures("operator")


def token_of(cluster: Cluster, namespace: str, name: str, audience: str) -> str:
    """A projected token, as a pod would mount it."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    cluster.api.apply(account)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600},
    }
    path = cluster.api.path("v1", "ServiceAccount", name, namespace) + "/token"
    token: str = cluster.api.request("POST", path, request)["status"]["token"]
    return token


def status_of(app: App, token: str) -> int:
    try:
        Mcp(app.url, token).tools()
    except McpError as error:
        return error.status
    return 200


def test_a_service_account_calls(cluster: Cluster, namespace: str, push: Callable[..., str]) -> None:
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        access="private",
        auth={
            "issuer": "https://kubernetes.default.svc",
            "audiences": [AUDIENCE],
            "allowedSubjects": [f"system:serviceaccount:{namespace}:bot"],
        },
    )
    app.apply().wait()
    bot = token_of(cluster, namespace, "bot", AUDIENCE)
    assert status_of(app, bot) == 200
    assert Mcp(app.url, bot).call("weather__forecast")
    assert status_of(app, token_of(cluster, namespace, "other", AUDIENCE)) == 403
    assert status_of(app, token_of(cluster, namespace, "bot", "https://other.example")) == 401
    assert status_of(app, token_of(cluster, namespace, "bot", "https://kubernetes.default.svc")) == 401
