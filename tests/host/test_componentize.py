"""Core modules, as FTL's Rust toolchain emits them, are asked for their tools and served like components."""

import json
import shutil
from pathlib import Path

import pytest

from builds import built_wasm
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.host import HostApp, Request
from ftl_operator.host.sandbox.componentize import componentize, is_core_module
from ftl_operator.host.sandbox.parent import ask_tools
from ftl_operator.oci.digest import sha256


@pytest.fixture(scope="session")
def core_module() -> Path:
    """The example tool `text`, built with FTL's Rust SDK for the target that FTL's own command builds for."""
    return built_wasm("text-core")


def test_a_core_module_of_the_sdk_lists_its_tools_once_it_is_a_component(
    core_module: Path, tmp_path: Path
) -> None:
    core = core_module.read_bytes()
    assert is_core_module(core)
    component = tmp_path / "text.wasm"
    component.write_bytes(componentize(core))
    assert not is_core_module(component.read_bytes())
    assert [tool["name"] for tool in json.loads(ask_tools(component))] == ["count", "slugify", "sort_lines"]


def test_the_same_module_gives_the_same_component(core_module: Path) -> None:
    core = core_module.read_bytes()
    assert componentize(core) == componentize(core)


def test_the_host_serves_a_core_module(core_module: Path, tmp_path: Path) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    file = Path(shutil.copy(core_module, folder))
    document = {
        "spin_lock_version": 0,
        "metadata": {"name": "core"},
        "triggers": [
            {"id": "t", "trigger_type": "http", "trigger_config": {"component": "text", "route": "/..."}}
        ],
        "components": [{"id": "text", "source": {"digest": sha256(file.read_bytes())}}],
    }
    app = HostApp(document, lambda _: file, cache=tmp_path / "cache")
    response = app.handle(Request("POST", "/slugify", (), b'{"title":"Core, modules!"}'))
    assert response.status == 200
    assert json.loads(b"".join(response.body))["content"][0]["text"] == "core-modules"
    app.close()


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (b"\0asm\x01\0\0\0\x01\xff\xff", "cannot become a component"),
        (b"not wasm at all", "cannot become a component"),
        (b"", "cannot become a component"),
    ],
    ids=["truncated", "text", "empty"],
)
def test_what_is_no_module_is_refused(core: bytes, message: str) -> None:
    with pytest.raises(ComponentError, match=message) as caught:
        componentize(core)
    assert caught.value.reason is Reason.COMPONENT_FAILED
