"""The inspector with the real sandbox: real tools, cached by digest, and what cannot be asked."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from ftl_operator.component.binary import Kind
from ftl_operator.component.inspector import Inspector
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.host.sandbox.parent import ask_tools
from ftl_operator.oci.descriptor import Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.http import RegistrySettings
from tests.support.registries import WASM_LAYER, digest_of, run_registry

TEXT = Path(__file__).parents[2] / "examples" / "quickstart" / "text.wasm"
WHERE = "tool 'weather' (ghcr.io/acme/weather:1.4)"


class Asked:
    """Counts how often a component was asked, and asks it."""

    def __init__(self, ask=ask_tools) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self.times = 0

    def __call__(self, path: Path) -> bytes:
        with self._lock:
            self.times += 1
        return self._ask(path)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(RegistrySettings(tmp_path / "blobs"))


def local(path: Path) -> LocalArtifact:
    raw = path.read_bytes()
    return LocalArtifact(path, Descriptor("application/wasm", Digest(digest_of(raw)), len(raw)))


def written(path: Path, raw: bytes) -> LocalArtifact:
    path.write_bytes(raw)
    return local(path)


def assemble(text: str) -> bytes:
    return bytes(wat2wasm(text))


def test_a_real_tool_is_asked_once_and_then_known(registry: Registry, tmp_path: Path) -> None:
    asked = Asked()
    component = Inspector(registry, tmp_path, asked).inspect(local(TEXT), WHERE)
    assert component.binary.kind is Kind.WASI_0_2
    assert component.tools
    assert component.digest == digest_of(TEXT.read_bytes())
    assert component.dynamic_reason == ""
    started = time.perf_counter()
    again = Inspector(registry, tmp_path, asked).inspect(local(TEXT), WHERE)
    assert time.perf_counter() - started < 1
    assert again == component
    assert asked.times == 1


def test_many_threads_inspect_a_component_once(registry: Registry, tmp_path: Path) -> None:
    asked = Asked()
    inspector = Inspector(registry, tmp_path, asked)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: inspector.inspect(local(TEXT), WHERE), range(12)))
    assert asked.times == 1
    assert all(component == found[0] for component in found)


def test_a_component_in_a_registry(tmp_path: Path) -> None:
    with run_registry(tmp_path / "registry") as live:
        digest = live.put_artifact("acme/text", "1", [(WASM_LAYER, TEXT.read_bytes(), "")])
        registry = Registry(RegistrySettings(tmp_path / "blobs", plain_http=(live.host,)))
        artifact = registry.artifact(parse_reference(f"{live.host}/acme/text:1").pinned(Digest(digest)))
        inspector = Inspector(registry, tmp_path, ask_tools)
        assert inspector.inspect(artifact, WHERE).tools
        mark = live.mark()
        assert inspector.with_registry(registry).inspect(artifact, WHERE).tools
        assert live.requests_since(mark) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"binary": {"kind": "new"}}', b"\xff"])
def test_a_damaged_cache_is_no_obstacle(registry: Registry, tmp_path: Path, damage: bytes) -> None:
    inspector = Inspector(registry, tmp_path, ask_tools)
    component = inspector.inspect(local(TEXT), WHERE)
    (kept,) = (tmp_path / "inspect").rglob("*.json")
    kept.write_bytes(damage)
    assert inspector.inspect(local(TEXT), WHERE) == component
    assert json.loads(kept.read_bytes())["tools"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(registry, tmp_path: Path, caplog) -> None:
    (tmp_path / "inspect").write_text("a file where the folder should be")
    assert Inspector(registry, tmp_path, ask_tools).inspect(local(TEXT), WHERE).tools
    assert "cannot be written" in caplog.text


def test_wasi_0_3_is_dynamic_and_not_run(registry: Registry, tmp_path: Path) -> None:
    asked = Asked()
    source = written(
        tmp_path / "a.wasm",
        assemble('(component (instance $h) (export "wasi:http/handler@0.3.0-rc-2026-03-15" (instance $h)))'),
    )
    for _ in range(2):
        component = Inspector(registry, tmp_path, asked).inspect(source, WHERE)
        assert (component.binary.kind, component.tools, asked.times) == (Kind.WASI_0_3, None, 0)
        assert "WASI 0.3" in component.dynamic_reason


def test_an_older_interface_is_dynamic_and_not_run(registry: Registry, tmp_path: Path) -> None:
    asked = Asked()
    name = "wasi:http/incoming-handler@0.2.0-rc-2023-11-10"
    source = written(
        tmp_path / "a.wasm", assemble(f'(component (instance $h) (export "{name}" (instance $h)))')
    )
    component = Inspector(registry, tmp_path, asked).inspect(source, WHERE)
    assert (component.tools, asked.times) == (None, 0)
    assert "older interface" in component.dynamic_reason


CORE = """(module (func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32))
  (@custom "component-type:http" "\\00"))"""


def test_a_core_module_is_dynamic_without_a_componentizer(registry: Registry, tmp_path: Path) -> None:
    asked = Asked()
    component = Inspector(registry, tmp_path, asked).inspect(
        written(tmp_path / "a.wasm", assemble(CORE)), WHERE
    )
    assert (component.binary.kind, component.tools, asked.times) == (Kind.CORE_MODULE, None, 0)
    assert "core module" in component.dynamic_reason


def test_a_core_module_is_asked_once_it_is_a_component(registry: Registry, tmp_path: Path) -> None:
    asked, given = Asked(), []
    source = written(tmp_path / "a.wasm", assemble(CORE))
    Inspector(registry, tmp_path, asked).inspect(source, WHERE)

    def componentize(core: bytes) -> bytes:
        given.append(core)
        return TEXT.read_bytes()

    component = Inspector(registry, tmp_path, asked, componentize).inspect(source, WHERE)
    assert component.tools
    assert component.binary.kind is Kind.CORE_MODULE
    assert given == [source.path.read_bytes()]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a WebAssembly binary"),
        (b"<html>", "not a WebAssembly binary"),
        (TEXT.read_bytes()[:100_000], "bytes long and"),
        (assemble("(component)"), "it exports nothing"),
        (
            assemble('(component (instance $r) (export "wasi:cli/run@0.2.0" (instance $r)))'),
            r"does not export wasi:http/incoming-handler; it exports wasi:cli/run@0\.2\.0",
        ),
        (assemble('(module (func (export "_start")))'), "core module without the type of its world"),
    ],
)
def test_what_serves_no_http_is_refused(registry: Registry, tmp_path: Path, raw: bytes, message: str) -> None:
    asked = Asked()
    with pytest.raises(ComponentError, match=message) as caught:
        Inspector(registry, tmp_path, asked).inspect(written(tmp_path / "a.wasm", raw), WHERE)
    assert caught.value.reason is Reason.INVALID_COMPONENT
    assert str(caught.value).startswith(WHERE)
    assert asked.times == 0


def test_a_component_that_does_not_validate_is_refused_by_the_sandbox(registry, tmp_path: Path) -> None:
    # Its sections can be read, and its code cannot be compiled.
    raw = bytearray(TEXT.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = b"\xff" * 64
    with pytest.raises(ComponentError) as caught:
        Inspector(registry, tmp_path, ask_tools).inspect(written(tmp_path / "a.wasm", bytes(raw)), WHERE)
    assert str(caught.value).startswith(WHERE)


def test_bad_metadata_names_the_tool_the_component_and_the_reference(registry, tmp_path: Path) -> None:
    bad = json.dumps([{"name": "forecast", "inputSchema": {"type": "text"}}]).encode()
    inspector = Inspector(registry, tmp_path, lambda path: bad)
    with pytest.raises(ComponentError) as caught:
        inspector.inspect(local(TEXT), WHERE)
    assert caught.value.reason is Reason.INVALID_TOOL
    assert str(caught.value).startswith(f"{WHERE}, tool 'forecast': its inputSchema")
    assert list(tmp_path.rglob("*.json")) == []


def test_a_file_that_is_gone_is_told(registry: Registry, tmp_path: Path) -> None:
    source = written(tmp_path / "a.wasm", b"x")
    source.path.unlink()
    with pytest.raises(ComponentError, match=r"a\.wasm cannot be read: No such file"):
        Inspector(registry, tmp_path, ask_tools).inspect(source, WHERE)
