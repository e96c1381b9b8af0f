"""`render` and `publish`, with a real registry: the same digest everywhere, and nothing sent twice."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftl_operator.cli.tokens import authorize
from ftl_operator.cli.workspace import local_inputs, read_app_file
from ftl_operator.manifests.all import manifests
from ftl_operator.manifests.deployment import pod_fields
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import Reference, parse_repository
from ftl_operator.pipeline.plan import Stages, plan
from ftl_operator.registry.client import Registry
from ftl_operator.registry.http import RegistrySettings
from ftl_operator.settings import Settings
from tests.support.command import QUICKSTART, Shell
from tests.support.registries import (
    IMAGE_MANIFEST,
    PASSWORD,
    USER,
    WASM_LAYER,
    LiveRegistry,
    digest_of,
    run_basic_registry,
    run_tls_registry,
)

APP = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools, namespace: agents, uid: 11111111-2222-3333-4444-555555555555}
spec:
  access: public
  tools:
    - {name: text, image: "file:text.wasm"}
    - {name: units, image: "file:units.wasm"}
  runtime:
    autoscaling: {minReplicas: 2, maxReplicas: 10, cpu: 70}
    resources: {requests: {cpu: 100m, memory: 128Mi}}
  route: {host: tools.example.com, gatewayRef: {name: public, namespace: infra}}
"""
TARGET = "registry.example.com/ftl/tools"


@pytest.fixture
def tools(shell: Shell) -> Shell:
    for path in QUICKSTART.glob("*.wasm"):
        (shell.folder / path.name).write_bytes(path.read_bytes())
    shell.write("app.yaml", APP)
    return shell


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegistry]:
    with run_basic_registry(tmp_path_factory.mktemp("registry")) as live:
        yield live


def log_in(shell: Shell, host: str) -> None:
    folder = Path(shell.environment["DOCKER_CONFIG"])
    folder.mkdir(exist_ok=True)
    word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": word}}}))


def image_of(objects: list[dict[str, Any]]) -> str:
    (found,) = [item["spec"]["image"] for item in objects if item["kind"] == "SpinApp"]
    return str(found)


def test_render_is_what_the_controller_applies_and_stable(tools: Shell, caches: Path) -> None:
    first = tools.ok("render", "app.yaml", "--repository", TARGET)
    assert tools.ok("render", "app.yaml", "--repository", TARGET).out == first.out
    objects = list(yaml.safe_load_all(first.out))
    assert tools.ok("render", "app.yaml", "--repository", TARGET, "-o", "json").document == objects
    app_file = read_app_file(str(tools.folder / "app.yaml"))
    inputs = local_inputs(app_file, Registry(RegistrySettings(caches / "none")), authorize(), lambda _: None)
    planned = plan(app_file.app, inputs, Stages(), app_file.directory)
    release = Release(Reference(parse_repository(TARGET), digest=planned.image.digest))
    expected = json.loads(json.dumps(manifests(app_file.app, release, Settings()).objects))
    for item in expected:
        assert item["metadata"].pop("ownerReferences")
    assert objects == expected
    assert {"SpinApp", "HorizontalPodAutoscaler", "HTTPRoute"} <= {item["kind"] for item in objects}
    assert {item["metadata"]["namespace"] for item in objects} == {"agents"}


def test_the_part_of_the_deployment_is_shown_to_who_asks(tools: Shell) -> None:
    tools.write("app.yaml", APP.replace("runtime:", "runtime:\n    nodeSelector: {disk: ssd}"))
    plain = tools.ok("render", "app.yaml", "--repository", TARGET, "-o", "json").document
    *same, part = tools.ok(
        "render", "app.yaml", "--deployment", "--repository", TARGET, "-o", "json"
    ).document
    assert same == plain
    assert (part["kind"], part["metadata"]["name"]) == ("Deployment", "tools")
    assert "uid" not in part["metadata"]
    pod = part["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 35}}}
    assert "image" not in pod["containers"][0], "that is spin-operator's part"
    read = read_app_file(str(tools.folder / "app.yaml"))
    size = sum((QUICKSTART / f"{name}.wasm").stat().st_size for name in ("text", "units"))
    expected = pod_fields(read.app, "", size)
    assert part["spec"] == json.loads(json.dumps(expected["spec"])), "as the controller applies it"


def test_the_folder_and_the_form_of_the_file_do_not_matter(tools: Shell, tmp_path: Path) -> None:
    elsewhere = Shell(tmp_path / "elsewhere", tools.environment)
    elsewhere.folder.mkdir()
    for path in tools.folder.glob("*.wasm"):
        (elsewhere.folder / path.name).write_bytes(path.read_bytes())
    as_json = json.dumps(yaml.safe_load(APP))
    elsewhere.write("other.yaml", as_json)
    one = tools.invoke("render", "app.yaml", "--repository", TARGET).out
    assert elsewhere.invoke("render", "other.yaml", "--repository", TARGET).out == one
    assert elsewhere.invoke("render", "-", "--repository", TARGET, stdin=as_json.encode()).out == one


def test_where_it_is_published_must_be_known_before_any_work(tools: Shell) -> None:
    for command in ("render", "publish"):
        done = tools.invoke(command, "app.yaml", "-o", "json")
        assert (done.code, done.error["field"]) == (65, "spec.publish.repository")
        assert "pass --repository" in done.error["message"]
        done = tools.invoke(command, "app.yaml", "--repository", "ftl/tools", "-o", "json")
        assert (done.code, done.error["field"]) == (65, "--repository")


def test_publishing_twice_uploads_nothing_the_second_time(tools: Shell, registry: LiveRegistry) -> None:
    log_in(tools, registry.host)
    arguments = ("publish", "app.yaml", "--repository", f"{registry.host}/acme/tools")
    arguments = (*arguments, "--plain-http", registry.host, "-o", "json")
    first = tools.ok(*arguments).document
    assert first["pushed"]
    assert first["uploaded_bytes"] > 500_000
    mark = registry.mark()
    done = tools.ok(*arguments)
    assert done.document == {"reference": first["reference"], "pushed": False, "uploaded_bytes": 0}
    methods = {method for method, _, _ in registry.requests_since(mark)}
    assert methods <= {"GET", "HEAD"}
    assert json.loads(done.err)["note"] == "the registry had it already; nothing was sent"
    # It is the very digest that render announces, and the tools are there byte for byte.
    digest = first["reference"].partition("@")[2]
    rendered = tools.ok("render", "app.yaml", "--repository", f"{registry.host}/acme/tools", "-o", "json")
    assert image_of(rendered.document).endswith(f"@{digest}")
    accept = {"Accept": IMAGE_MANIFEST}
    found = registry.request("GET", "acme/tools", f"manifests/{digest}", headers=accept)
    layers = {layer["digest"] for layer in found.json()["layers"]}
    assert digest_of(found.content) == digest
    assert {digest_of((QUICKSTART / f"{name}.wasm").read_bytes()) for name in ("text", "units")} <= layers


def test_what_is_published_can_be_inspected_and_served(tools: Shell, registry: LiveRegistry) -> None:
    """A published app is a Spin application whose components are tools of another app."""
    log_in(tools, registry.host)
    here = ("--plain-http", registry.host)
    reference = tools.ok(
        "publish", "app.yaml", "--repository", f"{registry.host}/acme/again", *here
    ).out.strip()
    inspected = tools.ok("inspect", reference, "--component", "units", *here, "-o", "json").document
    assert inspected["digest"] == digest_of((QUICKSTART / "units.wasm").read_bytes())
    spec = {
        "access": "public",
        "tools": [{"name": "units", "image": reference, "component": "units"}],
        "publish": {"repository": f"{registry.host}/acme/other"},
    }
    document = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "other"},
        "spec": spec,
    }
    other = json.dumps(document).encode()
    done = tools.ok("publish", "-", *here, "-o", "json", stdin=other).document
    # Both the gateway and the tool are mounted from the repository that has them or known to be there.
    assert done["pushed"]
    assert done["reference"].startswith(f"{registry.host}/acme/other")


def test_a_refused_login_is_told(tools: Shell, registry: LiveRegistry) -> None:
    done = tools.run(
        "publish",
        "app.yaml",
        "--repository",
        f"{registry.host}/acme/x",
        "--plain-http",
        registry.host,
        "-o",
        "json",
    )
    assert (done.code, done.error["reason"]) == (69, "RegistryUnauthorized")
    log_in(tools, registry.host)
    config = Path(tools.environment["DOCKER_CONFIG"]) / "config.json"
    wrong = base64.b64encode(f"{USER}:hush-hush".encode()).decode()
    config.write_text(json.dumps({"auths": {registry.host: {"auth": wrong}}}))
    done = tools.run(
        "publish", "app.yaml", "--repository", f"{registry.host}/acme/x", "--plain-http", registry.host
    )
    assert done.code == 69
    assert registry.host in done.err
    assert "hush-hush" not in done.err
    assert wrong not in done.err


def test_a_registry_with_an_authority_of_its_own(tools: Shell, tmp_path: Path) -> None:
    with run_tls_registry(tmp_path / "tls") as (registry, ca_file):
        registry.put_artifact("acme/text", "1", [(WASM_LAYER, (QUICKSTART / "text.wasm").read_bytes(), "")])
        target = f"{registry.host}/acme/tools"
        done = tools.run("publish", "app.yaml", "--repository", target, "-o", "json")
        assert done.code == 69
        assert "certificate" in done.error["message"]
        done = tools.ok("publish", "app.yaml", "--repository", target, "--ca-file", ca_file, "-o", "json")
        assert done.document["pushed"]
        found = tools.ok("inspect", f"{registry.host}/acme/text:1", "--ca-file", ca_file, "-o", "json")
        assert found.document["tools"]
