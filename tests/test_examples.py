"""The examples do what they show: each app answers, and a tool of each language is built and called."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from builds import built_wasm
from ftl_operator.api.app import FtlApp
from tests.support.command import QUICKSTART, ROOT, Shell, call_tool, list_tools
from tests.support.registries import LiveRegistry, run_registry

EXAMPLES = ROOT / "examples"
FILES = sorted([*EXAMPLES.glob("*.yaml"), QUICKSTART / "ftlapp.yaml", EXAMPLES / "login" / "ftlapp.yaml"])
REGISTRY = "registry.example.com"
"""What the examples call the registry; in these tests a real one on this machine stands for it."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegistry]:
    with run_registry(tmp_path_factory.mktemp("registry")) as live:
        for name in ("text", "units"):
            raw = (QUICKSTART / f"{name}.wasm").read_bytes()
            live.put_artifact(f"tools/{name}", "1.0", [("application/wasm", raw, f"{name}.wasm")])
        yield live


def localized(shell: Shell, name: str, registry: LiveRegistry) -> str:
    shell.write(name, (EXAMPLES / name).read_text().replace(REGISTRY, registry.host))
    return name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_each_example_is_an_ftlapp_that_the_definition_admits(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    (app,) = [document for document in documents if document["kind"] == "FtlApp"]
    FtlApp.parse(app)
    named = {
        document["metadata"].get("namespace") for document in documents if document["kind"] != "Namespace"
    }
    assert len(named) == 1


def test_the_cluster_example_serves_what_it_says(shell: Shell, registry: LiveRegistry) -> None:
    name = localized(shell, "assistant-tools.yaml", registry)
    with shell.up(name, "--dev-issuer", "--plain-http", registry.host) as served:
        headers = served.announcement["client"]["mcpServers"]["assistant-tools"]["headers"]
        tools = ["text__count", "text__slugify", "units__convert", "units__list"]
        assert list_tools(served.url, headers) == tools
        result = call_tool(served.url, "units__convert", {"value": 1, "from": "mi"}, headers)
        # The Secret in the same file says that it is metric.
        assert result["content"][0]["text"] == "1609.344 m"


def test_the_policy_example_lets_each_see_only_what_they_may_call(
    shell: Shell, registry: LiveRegistry
) -> None:
    name = localized(shell, "private.yaml", registry)
    with shell.up(name, "--dev-issuer", "--plain-http", registry.host) as served:
        seen = {}
        for who in ("alice", "bob"):
            token = shell.ok("token", name, "--subject", f"{who}@example.com").out.strip()
            seen[who] = list_tools(served.url, {"Authorization": f"Bearer {token}"})
    assert seen["bob"] == ["text__count", "text__slugify", "text__sort_lines"]
    assert seen["alice"] == [*seen["bob"], "units__convert", "units__list_units"]


def test_the_login_example_opens_a_login_on_this_machine(shell: Shell, registry: LiveRegistry) -> None:
    shell.write(
        "people.yaml", (EXAMPLES / "login" / "ftlapp.yaml").read_text().replace(REGISTRY, registry.host)
    )
    with shell.up("people.yaml", "--plain-http", registry.host) as served:
        made = served.announcement["login"]
        assert (made["user"], bool(made["password"])) == ("developer", True)
        base = served.url.removesuffix("/mcp")
        with urllib.request.urlopen(f"{base}/.well-known/oauth-authorization-server") as answer:
            metadata = json.load(answer)
    assert metadata["issuer"] == base
    assert metadata["scopes_supported"] == ["text:sort"]
    # Without users and keys in the file there is nothing to render: in a cluster nobody makes them up.
    target = f"{registry.host}/agents/people"
    done = shell.run(
        "render", "people.yaml", "--repository", target, "--plain-http", registry.host, "-o", "json"
    )
    assert done.error["field"] == "spec.auth.login.secretRef"
    shell.ok("login", "secret", "people-login", "--file", "people.yaml")
    done = shell.ok(
        "render", "people.yaml", "--repository", target, "--plain-http", registry.host, "-o", "json"
    )
    (spin_app,) = [item for item in done.document if item["kind"] == "SpinApp"]
    assert {item["name"] for item in spin_app["spec"]["variables"]} == {
        "gateway_login_keys",
        "gateway_login_users",
    }


def test_the_autoscaling_example_renders_its_scaler(shell: Shell, registry: LiveRegistry) -> None:
    name = localized(shell, "autoscaling.yaml", registry)
    target = f"{registry.host}/agents/autoscaling"
    done = shell.ok("render", name, "--repository", target, "--plain-http", registry.host, "-o", "json")
    (scaler,) = [item for item in done.document if item["kind"] == "HorizontalPodAutoscaler"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 10)


CALLS = {
    "text": ("count", {"text": "one two"}, "2"),
    "units": ("convert", {"value": 2, "from": "km", "to": "m"}, "2000"),
    "dates": ("weekday", {"day": "2026-11-24"}, "Tuesday"),
    "words": ("anagram", {"first": "Dormitory", "second": "Dirty room"}, "yes"),
    "addresses": ("contains", {"prefix": "2001:db8::/32", "address": "2001:db8::7"}, "yes"),
}
"""A call for each component of `examples/tools` (Rust, Rust, Python, TypeScript, Go), and its answer."""


@pytest.mark.needs("rust-tools", "python-tool", "typescript-tool", "go-tool")
def test_a_tool_of_each_language_is_called(shell: Shell) -> None:
    tools = [{"name": name, "image": f"file:{built_wasm(name)}"} for name in CALLS]
    app = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "languages"},
        "spec": {"access": "public", "tools": tools},
    }
    shell.write("app.yaml", yaml.safe_dump(app))
    with shell.up("app.yaml") as served:
        assert served.announcement["dynamic"] == []
        for component, (tool, arguments, expected) in CALLS.items():
            result = call_tool(served.url, f"{component}__{tool}", arguments)
            assert not result.get("isError"), result
            assert expected in json.dumps(result["content"]), result
        # An argument that does not fit is refused by the gateway, whatever the language.
        refused = call_tool(served.url, "dates__weekday", {"day": 7})
        assert refused["isError"]
        assert "/day" in json.dumps(refused)
