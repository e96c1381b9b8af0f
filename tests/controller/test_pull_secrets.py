"""The operator's own logins, rotated while a registry requires them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.cache import Cache
from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component, Tool
from ftl_operator.controller.circuit_breaker import CircuitBreakers
from ftl_operator.controller.inspection_pool import InspectionPool
from ftl_operator.controller.pull_secrets import OperatorCredentials
from ftl_operator.controller.releaser import Dependencies, ReleasePlanner
from ftl_operator.errors import Reason, RegistryError
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.reference import parse_repository
from ftl_operator.pipeline.plan import Stages
from ftl_operator.registry.client import Registry
from ftl_operator.registry.http import RegistrySettings
from ftl_operator.settings import Settings
from tests.support.registries import LiveRegistry, need, run_basic_registry, run_registry

WASM = b"\0asm a tool"
HERE = parse_repository("r.dev/ftl/ns/tools")


def config(path: Path, registry: str, password: str) -> None:
    """Put another file in the place of the old one, as the kubelet does with a changed Secret."""
    entry = {"username": "operator", "password": password}
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"auths": {registry: entry}}))
    new.replace(path)


def password_of(logins: OperatorCredentials) -> str | None:
    login = logins.now().find(HERE)
    return login.password if login is not None else None


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    config(path, "r.dev", "first")
    logins = OperatorCredentials(path)
    assert password_of(logins) == "first"
    config(path, "r.dev", "other")
    assert password_of(logins) == "other"
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it is read although it is the same"))
    assert password_of(logins) == "other"


def test_a_file_behind_links_as_the_kubelet_makes_them(tmp_path: Path) -> None:
    for version in ("first", "second"):
        (tmp_path / version).mkdir()
        config(tmp_path / version / "config.json", "r.dev", version)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "config.json").symlink_to("..data/config.json")
    logins = OperatorCredentials(tmp_path / "config.json")
    assert password_of(logins) == "first"
    (tmp_path / "..new").symlink_to("second")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert password_of(logins) == "second"


def test_a_file_that_cannot_be_used_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.json"
    config(path, "r.dev", "hush-hush")
    logins = OperatorCredentials(path)
    path.write_text('{"auths": {"r.dev": {"username": "operator", "password": "half-wri')
    for _ in range(3):
        assert password_of(logins) == "hush-hush"
    assert len(caplog.records) == 1
    assert "half-wri" not in caplog.text
    config(path, "r.dev", "mended")
    assert password_of(logins) == "mended"
    path.unlink()
    assert password_of(logins) is None


def test_a_file_that_cannot_be_used_at_the_start_stops_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RegistryError):
        OperatorCredentials(tmp_path / "config.json")
    assert password_of(OperatorCredentials(None)) is None


def change_password(folder: Path, password: str) -> None:
    """Have the registry take this password and no other."""
    line = subprocess.run(
        [need("htpasswd"), "-Bbn", "operator", password], capture_output=True, check=True
    ).stdout
    # The registry compares times of a file that it has read before.
    written = folder / "htpasswd"
    later = written.stat().st_mtime + 2
    written.write_bytes(line)
    os.utime(written, (later, later))


def test_an_app_is_published_with_the_password_of_now(tmp_path: Path) -> None:
    with run_registry(tmp_path / "tools") as tools, run_basic_registry(tmp_path / "target") as target:
        tools.put_artifact("tools/weather", "1", [(WASM_LAYER, WASM, "")])
        change_password(tmp_path / "target", "first")
        path = tmp_path / "config.json"
        config(path, target.host, "first")
        release = releaser(tmp_path, path, tools, target)
        assert release("one").startswith(f"{target.host}/ftl/ns/one@")
        change_password(tmp_path / "target", "second")
        with pytest.raises(RegistryError) as caught:
            release("two")
        assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
        config(path, target.host, "second")
        assert release("two").startswith(f"{target.host}/ftl/ns/two@")


def releaser(folder: Path, path: Path, tools: LiveRegistry, target: LiveRegistry) -> Callable[[str], str]:
    """Publishes an app of a name; only that its component is inspected is left out."""
    settings = Settings(publish_repository=f"{target.host}/ftl")
    registry = Registry(RegistrySettings(folder / "cache", plain_http=(tools.host, target.host), attempts=1))
    (folder / "gateway.wasm").write_bytes(b"\0asm the gateway")
    raw = (folder / "gateway.wasm").read_bytes()
    gateway = Layer(Descriptor(WASM_LAYER, sha256(raw), len(raw)), path=folder / "gateway.wasm")
    found = Component(
        sha256(WASM),
        len(WASM),
        Binary(Kind.WASI_0_2, (), ()),
        (Tool("forecast", None, "The weather.", {"type": "object"}),),
    )
    inspector = SimpleNamespace(known=lambda layer, where: found, inspect=lambda source, where, fetch: found)
    dependencies = Dependencies(
        read=lambda *_: None,
        registry=registry,
        operator=OperatorCredentials(path),
        inspector=inspector,
        authorize=lambda _: None,
        gateway=gateway,
    )
    made = ReleasePlanner(
        settings, Cache(), dependencies, InspectionPool(lambda *_: None), CircuitBreakers(4)
    )

    def release(name: str) -> str:
        app = FtlApp.parse(
            {
                "apiVersion": "ftl.tools/v1alpha1",
                "kind": "FtlApp",
                "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 1},
                "spec": {
                    "access": "public",
                    "tools": [{"name": "weather", "image": f"{tools.host}/tools/weather:1"}],
                },
            }
        )
        return str(made.release(app, FtlAppStatus(), Stages()).release.image)

    return release
