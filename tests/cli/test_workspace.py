"""An FtlApp's file as it is read: its objects, its variables' values, its YAML."""

import base64
from pathlib import Path

import pytest

from ftl_operator.api.fields import ValueSource
from ftl_operator.cli.workspace import local_files, read_app_file
from ftl_operator.errors import SpecError
from ftl_operator.oci.local import local_artifact

APP = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools}
spec:
  access: public
  tools:
    - {name: a, image: "file:one/a.wasm"}
    - {name: b, image: "file:../b.wasm"}
    - {name: c, image: "ghcr.io/acme/c:1"}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "app.yaml"
    path.write_text(text)
    return str(path)


def source(kind: str, name: str, key: str) -> ValueSource:
    return ValueSource.model_validate({f"{kind}KeyRef": {"name": name, "key": key}})


def test_local_components_are_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    app_file = read_app_file(written(tmp_path, APP))
    assert app_file.directory == tmp_path
    assert local_files(app_file) == {tmp_path / "one" / "a.wasm", tmp_path.parent / "b.wasm"}


def test_values_come_from_the_objects_in_the_file(tmp_path: Path) -> None:
    encoded = base64.b64encode("geheim ä\n".encode()).decode()
    text = f"""{APP}
---
apiVersion: v1
kind: Secret
metadata: {{name: s}}
data: {{plain: {encoded}, wrapped: "{encoded[:8]}\\n  {encoded[8:]}", binary: /w==, both: {encoded}}}
stringData: {{both: the later one, number: 7}}
---
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: c}}
data: {{key: value, number: 1}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: empty}}
"""
    app_file = read_app_file(written(tmp_path, text))
    assert app_file.text(source("secret", "s", "plain")) == "geheim ä\n"
    assert app_file.text(source("secret", "s", "wrapped")) == "geheim ä\n"
    assert app_file.text(source("secret", "s", "both")) == "the later one"
    assert app_file.text(source("secret", "s", "number")) == "7"
    assert app_file.text(source("secret", "s", "binary")) is None
    assert app_file.text(source("secret", "c", "key")) is None
    assert app_file.text(source("configMap", "c", "key")) == "value"
    assert app_file.text(source("configMap", "empty", "key")) is None
    assert app_file.config("c", "number") == "1"
    with pytest.raises(SpecError, match="no ConfigMap 'c' with the key 'none'"):
        app_file.config("c", "none")
    assert "geheim" not in repr(app_file)


def test_anchors_and_merge_keys_are_no_duplicates(tmp_path: Path) -> None:
    text = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools}
spec:
  access: public
  tools:
    - &a {name: a, image: "file:a.wasm", timeoutSeconds: 3}
    - &b {<<: *a, name: b}
    - {<<: *b, name: c, timeoutSeconds: 4}
"""
    tools = read_app_file(written(tmp_path, text)).app.spec.tools
    assert [(tool.name, tool.timeout_seconds) for tool in tools] == [("a", 3), ("b", 3), ("c", 4)]


@pytest.mark.parametrize("at", ["metadata: {name: x, name: y}", "metadata: {name: x}\nkind: FtlApp"])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, at: str) -> None:
    with pytest.raises(SpecError, match="appears twice"):
        read_app_file(written(tmp_path, APP.replace("metadata: {name: tools}", at)))


def test_a_component_is_a_file_of_a_sane_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wasm"
    path.write_bytes(b"abc")
    found = local_artifact(path, "")
    assert (found.path, found.layer.size) == (path, 3)
    monkeypatch.setattr("ftl_operator.oci.local.MAX_COMPONENT_BYTES", 2)
    with pytest.raises(SpecError, match="has 3 bytes, and a component may have 2"):
        local_artifact(path, "spec.tools[0].image")
