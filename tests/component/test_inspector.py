"""The inspector with the real sandbox: real tools, caching by digest, and components that cannot be asked."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from ftl_operator.cli.environment import GATEWAY_WASM
from ftl_operator.component.binary import Kind
from ftl_operator.component.inspector import SLOW_SECONDS, Inspector
from ftl_operator.errors import ComponentError, InspectionError, Reason, SlowComponentError
from ftl_operator.host.limits import SandboxLimits
from ftl_operator.host.sandbox.parent import inspect_component
from ftl_operator.oci.descriptor import Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.http import RegistrySettings
from tests.support.hostile import HOSTILE, answering
from tests.support.registries import WASM_LAYER, digest_of, run_registry

TEXT = Path(__file__).parents[2] / "examples" / "quickstart" / "text.wasm"
WHERE = "tool 'weather' (ghcr.io/acme/weather:1.4)"


class Asked:
    """Counts how often a component was examined, and examines it."""

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self.times = 0

    def __call__(self, path: Path, catalog: bytes) -> bytes:
        with self._lock:
            self.times += 1
        return inspect_component(path, GATEWAY_WASM, self._limits, catalog=catalog)


def inspector(folder: Path, examine=None) -> Inspector:
    return Inspector(folder, examine or Asked(), "1")


def unreachable(*_: object) -> Path:
    raise AssertionError("nothing is to be fetched")


def local(path: Path) -> LocalArtifact:
    raw = path.read_bytes()
    return LocalArtifact(path, Descriptor("application/wasm", Digest(digest_of(raw)), len(raw)))


def written(path: Path, raw: bytes, catalog: str = "") -> LocalArtifact:
    path.write_bytes(raw)
    return replace(local(path), catalog=catalog)


def assemble(text: str) -> bytes:
    return bytes(wat2wasm(text))


def newest(handler: str = "wasi:http/handler@0.3.0") -> bytes:
    """A component as the newest SDKs build it, as far as its interfaces tell."""
    return assemble(f'(component (instance $h) (export "{handler}" (instance $h)))')


def test_a_real_tool_is_asked_once_and_then_known(tmp_path: Path) -> None:
    asked = Asked()
    component = inspector(tmp_path, asked).inspect(local(TEXT), WHERE, unreachable)
    assert component.binary.kind is Kind.WASI_0_2
    assert component.tools
    assert component.digest == digest_of(TEXT.read_bytes())
    assert (component.dynamic_reason, component.needs) == ("", "")
    again = inspector(tmp_path, asked)
    assert again.inspect(local(TEXT), WHERE, unreachable) == component
    assert again.known(local(TEXT), WHERE) == component
    assert asked.times == 1


def test_many_threads_inspect_a_component_once(tmp_path: Path) -> None:
    asked = Asked()
    one = inspector(tmp_path, asked)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: one.inspect(local(TEXT), WHERE, unreachable), range(12)))
    assert asked.times == 1
    assert all(component == found[0] for component in found)


def test_a_component_in_a_registry(tmp_path: Path) -> None:
    with run_registry(tmp_path / "registry") as live:
        digest = live.put_artifact("acme/text", "1", [(WASM_LAYER, TEXT.read_bytes(), "")])
        registry = Registry(RegistrySettings(tmp_path / "blobs", plain_http=(live.host,)))
        artifact = registry.artifact(parse_reference(f"{live.host}/acme/text:1").pinned(Digest(digest)))
        one = inspector(tmp_path)
        assert one.inspect(artifact, WHERE, registry.blob).tools
        assert one.inspect(artifact, WHERE, unreachable).tools


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"kind": "new"}', b"\xff", b'{"failure": 1}'])
def test_a_damaged_cache_is_no_obstacle(tmp_path: Path, damage: bytes) -> None:
    one = inspector(tmp_path)
    component = one.inspect(local(TEXT), WHERE, unreachable)
    (kept,) = (tmp_path / "inspect").rglob("*.json")
    kept.write_bytes(damage)
    assert one.inspect(local(TEXT), WHERE, unreachable) == component
    assert json.loads(kept.read_bytes())["tools"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path, caplog) -> None:
    (tmp_path / "inspect").write_text("a file where the folder should be")
    asked = Asked()
    one = inspector(tmp_path, asked)
    for _ in range(2):
        assert one.inspect(local(TEXT), WHERE, unreachable).tools
    assert "cannot be written" in caplog.text
    assert asked.times == 1


def test_another_gateway_or_limit_inspects_anew(tmp_path: Path) -> None:
    asked = Asked()
    for version in ("1", "2"):
        Inspector(tmp_path, asked, version).inspect(local(TEXT), WHERE, unreachable)
    assert asked.times == 2


def test_what_was_used_least_recently_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftl_operator.component.inspector.MAX_CACHE_BYTES", 2500)
    result = {"kind": "wasi-0.2", "imports": ["x" * 900], "exports": [], "needs": "", "tools": [],
              "dynamicReason": "", "catalogNote": "", "packaged": False}  # fmt: skip
    one = inspector(tmp_path, lambda *_: json.dumps(result).encode())
    for name in ("a", "b", "c"):
        one.inspect(written(tmp_path / name, name.encode()), WHERE, unreachable)
    kept = {path.stem for path in (tmp_path / "inspect").rglob("*.json")}
    assert len(kept) == 2
    assert digest_of(b"c").removeprefix("sha256:") in kept


@pytest.mark.parametrize(
    ("version", "needs"),
    [("0.3.0-rc-2026-01-06", "Spin 3.6"), ("0.3.0-rc-2026-03-15", "Spin 4"), ("0.3.0", "Spin 4.1")],
)
def test_wasi_0_3_is_dynamic_and_not_run(tmp_path: Path, version: str, needs: str) -> None:
    raw = newest(f"wasi:http/handler@{version}")
    component = inspector(tmp_path).inspect(written(tmp_path / "a.wasm", raw), WHERE, unreachable)
    assert (component.binary.kind, component.tools) == (Kind.WASI_0_3, None)
    assert "WASI 0.3" in component.dynamic_reason
    assert component.needs == needs


CATALOG = json.dumps([{"name": "forecast", "inputSchema": {"type": "object"}, "description": "Tomorrow."}])


def test_the_packaged_catalog_tells_the_tools_of_what_cannot_be_asked(tmp_path: Path) -> None:
    one = inspector(tmp_path)
    source = written(tmp_path / "a.wasm", newest(), CATALOG)
    found = one.inspect(source, WHERE, unreachable)
    assert [(tool.name, tool.description) for tool in found.tools or ()] == [("forecast", "Tomorrow.")]
    assert (found.packaged, found.dynamic_reason, found.needs) == (True, "", "Spin 4.1")
    assert "packaged with it: it is built for WASI 0.3" in found.catalog_note
    # The same component without the catalog, or with another one, is another thing to know.
    assert one.known(source, WHERE) == found
    assert one.known(replace(source, catalog=""), WHERE) is None
    bare = one.inspect(replace(source, catalog=""), WHERE, unreachable)
    assert (bare.tools, bare.packaged, bare.catalog_note) == (None, False, "")


def test_the_gateway_s_engine_judges_a_packaged_catalog_too(tmp_path: Path) -> None:
    bad = {"name": "bad", "inputSchema": {"type": "object", "properties": {"a": {"pattern": "(a"}}}}
    tools = json.dumps([*json.loads(CATALOG), bad, {"name": "worse", "inputSchema": 7}])
    found = inspector(tmp_path).inspect(written(tmp_path / "a.wasm", newest(), tools), WHERE, unreachable)
    assert [bool(tool.fault) for tool in found.tools or ()] == [False, True, True]


@pytest.mark.parametrize("catalog", ["{}", "no JSON", "[" * 50_000, "\ud800"])
def test_a_packaged_catalog_that_is_none_is_refused_where_it_is_needed(tmp_path: Path, catalog: str) -> None:
    source = written(tmp_path / "a.wasm", newest(), catalog)
    with pytest.raises(
        ComponentError, match="catalog that is packaged with it is not a JSON array"
    ) as caught:
        inspector(tmp_path).inspect(source, WHERE, unreachable)
    assert caught.value.reason is Reason.INVALID_TOOL
    # What can be asked does not need it.
    asked = inspector(tmp_path).inspect(replace(local(TEXT), catalog=catalog), WHERE, unreachable)
    assert asked.tools
    assert "is not a JSON array" in asked.catalog_note


def test_what_a_component_says_when_it_is_asked_is_stronger_than_its_catalog(tmp_path: Path) -> None:
    asked = inspector(tmp_path).inspect(local(TEXT), WHERE, unreachable)
    documents = [tool.document() for tool in asked.tools or ()]

    def note(catalog: list[dict[str, object]]) -> str:
        source = replace(local(TEXT), catalog=json.dumps(catalog))
        found = inspector(tmp_path).inspect(source, WHERE, unreachable)
        assert (found.tools, found.packaged) == (asked.tools, False)
        return found.catalog_note

    assert note(documents) == ""
    assert "only one of the two has 'forecast'" in note([*documents, *json.loads(CATALOG)])
    name = documents[0]["name"]
    assert f"they describe '{name}' differently" in note([{**documents[0], "title": "Other"}, *documents[1:]])


def test_a_component_of_a_wasi_that_no_spin_has_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "a.wasm", newest("wasi:http/handler@0.3.0-rc-2025-09-16"))
    with pytest.raises(ComponentError, match=r"which neither Spin 3\.6 nor Spin 4 calls") as caught:
        inspector(tmp_path).inspect(source, WHERE, unreachable)
    assert caught.value.reason is Reason.UNSUPPORTED_IMPORT


def test_an_older_interface_is_dynamic_and_not_run(tmp_path: Path) -> None:
    name = "wasi:http/incoming-handler@0.2.0-rc-2023-11-10"
    raw = assemble(f'(component (instance $h) (export "{name}" (instance $h)))')
    component = inspector(tmp_path).inspect(written(tmp_path / "a.wasm", raw), WHERE, unreachable)
    assert component.tools is None
    assert "older interface" in component.dynamic_reason


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
def test_what_serves_no_http_is_refused_and_stays_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    asked = Asked()
    source = written(tmp_path / "a.wasm", raw)
    for _ in range(2):
        with pytest.raises(ComponentError, match=message) as caught:
            inspector(tmp_path, asked).inspect(source, WHERE, unreachable)
        assert caught.value.reason is Reason.INVALID_COMPONENT
        assert str(caught.value).startswith(WHERE)
    with pytest.raises(ComponentError, match=message):
        inspector(tmp_path).known(source, WHERE)
    assert asked.times == 1


def test_a_component_that_does_not_validate_is_refused(tmp_path: Path) -> None:
    # Its sections can be read, and its code cannot be compiled.
    raw = bytearray(TEXT.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = b"\xff" * 64
    with pytest.raises(ComponentError) as caught:
        inspector(tmp_path).inspect(written(tmp_path / "a.wasm", bytes(raw)), WHERE, unreachable)
    assert str(caught.value).startswith(WHERE)


def test_bad_metadata_is_a_fault_of_its_tool(tmp_path: Path) -> None:
    good = {"name": "now", "inputSchema": {"type": "object"}}
    raw = answering(json.dumps([{"name": "forecast", "inputSchema": {"type": "text"}}, good]).encode())
    component = inspector(tmp_path).inspect(written(tmp_path / "a.wasm", raw), WHERE, unreachable)
    bad, fine = component.tools or ()
    assert (bad.name, bad.input_schema, bad.fault) == (
        "forecast",
        {},
        'its inputSchema must have "type": "object"',
    )
    assert (fine.name, fine.fault) == ("now", "")


def test_a_component_that_was_slow_is_tried_again_later(tmp_path: Path) -> None:
    now, times = [0.0], [0]

    def examine(*_: object) -> bytes:
        times[0] += 1
        raise SlowComponentError("it passed its time limit")

    one = Inspector(tmp_path, examine, "1", clock=lambda: now[0])
    source = written(tmp_path / "a.wasm", HOSTILE["loop"])
    for seconds, asked in ((0, 1), (SLOW_SECONDS - 1, 1), (SLOW_SECONDS, 2)):
        now[0] = seconds
        with pytest.raises(ComponentError, match="passed its time limit"):
            one.inspect(source, WHERE, unreachable)
        assert times[0] == asked
    assert list((tmp_path / "inspect").rglob("*.json")) == []


def test_a_machine_without_memory_is_no_verdict(tmp_path: Path) -> None:
    failures = [InspectionError("no memory"), SlowComponentError("slow")]

    def examine(path: Path, _: bytes) -> bytes:
        if failures:
            raise failures.pop(0)
        return inspect_component(path, GATEWAY_WASM)

    one = inspector(tmp_path, examine)
    with pytest.raises(InspectionError, match="no memory"):
        one.inspect(local(TEXT), WHERE, unreachable)
    with pytest.raises(ComponentError, match="slow"):
        one.inspect(local(TEXT), WHERE, unreachable)
    assert list((tmp_path / "inspect").rglob("*.json")) == []


def test_a_result_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="the sandbox gave no result"):
        inspector(tmp_path, lambda *_: b"[]").inspect(local(TEXT), WHERE, unreachable)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    source = written(tmp_path / "a.wasm", b"x")
    source.path.unlink()
    with pytest.raises(InspectionError, match=r"No such file.*a\.wasm"):
        inspector(tmp_path).inspect(source, WHERE, unreachable)
