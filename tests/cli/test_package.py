"""`package`: a component for WASI 0.3 with its catalog, pushed, and then as known as any other."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from tests.support.command import QUICKSTART, Done, Shell
from tests.support.registries import IMAGE_MANIFEST, LiveRegistry, digest_of, run_registry

NEWEST = bytes(wat2wasm('(component (instance $h) (export "wasi:http/handler@0.3.0" (instance $h)))'))
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}, "at": {"type": "string"}}}
TOOLS = [
    {"name": "forecast", "description": "Tomorrow.", "inputSchema": SCHEMA},
    {"name": "history", "description": "Yesterday.", "inputSchema": SCHEMA},
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegistry]:
    with run_registry(tmp_path_factory.mktemp("registry")) as live:
        yield live


@pytest.fixture
def files(shell: Shell) -> Path:
    (shell.folder / "weather.wasm").write_bytes(NEWEST)
    (shell.folder / "tools.json").write_text(json.dumps(TOOLS, indent=4))
    return shell.folder


def test_a_packaged_component_is_filtered_and_baked_as_any_other(
    shell: Shell, files: Path, registry: LiveRegistry
) -> None:
    here = ("--plain-http", registry.host, "-o", "json")
    reference = f"{registry.host}/acme/weather:1.0"
    done = shell.ok("package", "weather.wasm", "--tools", "tools.json", "--push", reference, *here)
    assert done.document["tools"] == ["forecast", "history"]
    assert done.document["reference"] == f"{reference}@{done.document['digest']}"
    again = shell.ok("package", "weather.wasm", "--tools", "tools.json", "--push", reference, *here)
    assert again.document["digest"] == done.document["digest"]

    found = shell.ok("inspect", reference, *here).document
    assert [tool["name"] for tool in found["tools"]] == ["forecast", "history"]
    assert list(found["tools"][0]["inputSchema"]["properties"]) == ["zone", "at"]
    assert (found["digest"], found["needs"]) == (digest_of(NEWEST), "Spin 4.1")
    assert "packaged with it" in found["catalogNote"]

    done = publish(shell, registry, reference, include=["fore*"])
    assert done.code == 0, done.err
    _, config = published(registry, done)
    assert [tool["name"] for tool in json.loads(config["tools_list"])] == ["weather__forecast"]
    refused = publish(shell, registry, reference, exclude=["forcast"])
    assert (refused.code, "forcast" in refused.error["message"]) == (65, True)


def publish(shell: Shell, registry: LiveRegistry, reference: str, **entry: object) -> Done:
    """Publish an app of one component."""
    app = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "app"},
        "spec": {"access": "public", "tools": [{"name": "weather", "image": reference, **entry}]},
    }
    shell.write("app.yaml", json.dumps(app))
    where = ("--repository", f"{registry.host}/acme/app", "--plain-http", registry.host, "-o", "json")
    return shell.run("publish", "app.yaml", *where)


def published(registry: LiveRegistry, done: Done) -> tuple[list[str], dict[str, str]]:
    """The digests of a published app's components, and its gateway's variables."""
    digest = done.document["reference"].partition("@")[2]
    accepted = {"Accept": IMAGE_MANIFEST}
    manifest = registry.request("GET", "acme/app", f"manifests/{digest}", headers=accepted).json()
    *layers, last = manifest["layers"]
    locked = registry.request("GET", "acme/app", f"blobs/{last['digest']}").json()
    (gateway,) = [item for item in locked["components"] if item["id"] == "gateway"]
    return [layer["digest"] for layer in layers], gateway["config"]


def test_a_catalog_that_moves_under_its_tag_is_served_and_its_component_stays(
    shell: Shell, files: Path, registry: LiveRegistry
) -> None:
    """What is known of a component is kept by its digest and its catalog's: the same bytes, other tools."""
    reference = f"{registry.host}/acme/moves:1.0"

    def versions(tools: list[dict[str, object]]) -> tuple[str, list[str], dict[str, str]]:
        (files / "tools.json").write_text(json.dumps(tools))
        here = ("--plain-http", registry.host, "-o", "json")
        shell.ok("package", "weather.wasm", "--tools", "tools.json", "--push", reference, *here)
        done = publish(shell, registry, reference)
        assert done.code == 0, done.err
        return done.document["reference"], *published(registry, done)

    first, layers, before = versions(TOOLS)
    narrower = {"type": "object", "properties": {"zone": {"type": "integer"}}, "required": ["zone"]}
    second, same, after = versions([{**TOOLS[0], "inputSchema": narrower}, TOOLS[1]])
    assert second != first
    assert digest_of(NEWEST) in same
    assert same == layers
    forecast, history = (f"tool_{f'weather__{name}'.encode().hex()}" for name in ("forecast", "history"))
    assert '"integer"' in after[forecast], "its arguments are validated by the new schema"
    assert '"integer"' in after["tools_list"]
    assert '"integer"' not in before[forecast] + before["tools_list"]
    assert after[history] == before[history]
    assert versions(TOOLS)[0] == first, "the old catalog again is the old app again"


def test_the_archive_is_an_image_layout_with_the_same_digest(shell: Shell, files: Path) -> None:
    done = shell.ok(
        "package", "weather.wasm", "--tools", "tools.json", "--archive", "weather.tar", "-o", "json"
    )
    with tarfile.open(files / "weather.tar") as archive:
        names = archive.getnames()
        (entry,) = json.load(archive.extractfile("index.json"))["manifests"]
        raw = archive.extractfile(f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}").read()
    assert "oci-layout" in names
    assert entry["digest"] == done.document["digest"] == digest_of(raw)
    (layer,) = json.loads(raw)["layers"]
    assert layer["digest"] == digest_of(NEWEST)
    assert json.loads(layer["annotations"]["tools.ftl.catalog"]) == TOOLS


@pytest.mark.parametrize(
    ("tools", "reason", "said"),
    [
        ("nothing", "InvalidTool", "is not JSON"),
        ("{}", "InvalidTool", "is not a JSON array of tools"),
        ("[" * 100_000, "InvalidTool", "is not JSON"),
        ('[{"name": "a", "inputSchema": {"type": "text"}}]', "InvalidTool", "'a': its inputSchema must"),
        (json.dumps([{"name": "a" * 2_000_000}]), "TooLarge", "more than the 1048576 that are packaged"),
        (" " * 5_000_000, "TooLarge", "more than 4194304 bytes"),
    ],
    ids=["text", "object", "deep", "fault", "long", "file"],
)
def test_a_catalog_that_an_app_could_not_serve_is_not_packaged(
    shell: Shell, files: Path, tools: str, reason: str, said: str
) -> None:
    (files / "tools.json").write_text(tools)
    done = shell.run("package", "weather.wasm", "--tools", "tools.json", "--archive", "a.tar", "-o", "json")
    assert (done.code, done.error["reason"]) == (65, reason)
    assert said in done.error["message"]
    assert not (files / "a.tar").exists()


def test_a_component_that_says_something_else_is_not_packaged(shell: Shell, files: Path) -> None:
    text = str(QUICKSTART / "text.wasm")
    done = shell.run("package", text, "--tools", "tools.json", "--archive", "a.tar", "-o", "json")
    assert (done.code, done.error["reason"]) == (65, "InvalidTool")
    assert "only one of the two has" in done.error["message"]
    own = shell.ok("inspect", f"file:{text}", "-o", "json").document["tools"]
    (files / "tools.json").write_text(json.dumps(own))
    shell.ok("package", text, "--tools", "tools.json", "--archive", "a.tar")


def test_it_must_go_somewhere(shell: Shell, files: Path) -> None:
    assert shell.run("package", "weather.wasm", "--tools", "tools.json").code == 2
    pinned = f"r.io/weather:1@{digest_of(NEWEST)}"
    assert shell.run("package", "weather.wasm", "--tools", "tools.json", "--push", pinned).code == 2
