"""The registry client against real registry processes: open, and with Basic, tokens and TLS."""

import concurrent.futures
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftl_operator.errors import ComponentError, Reason, RegistryError, SpecError
from ftl_operator.oci.descriptor import Artifact, Descriptor, Layer
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.reference import Digest, Reference, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.docker_config import Credentials, Login
from ftl_operator.registry.http import RegistrySettings
from tests.support.registries import (
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    PASSWORD,
    USER,
    WASM_LAYER,
    LiveRegistry,
    TokenServer,
    digest_of,
    run_basic_registry,
    run_registry,
    run_tls_registry,
    run_token_registry,
    run_token_server,
)

WASM = b"\0asm\x0d\0\x01\0" + bytes(range(256)) * 400
OTHER = b"\0asm\x0d\0\x01\0" + b"other"
SPIN_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegistry]:
    with run_registry(tmp_path_factory.mktemp("open")) as registry:
        yield registry


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegistry]:
    with run_basic_registry(tmp_path_factory.mktemp("basic")) as registry:
        yield registry


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveRegistry, TokenServer]]:
    folder = tmp_path_factory.mktemp("token")
    with run_token_server() as server, run_token_registry(folder, server) as registry:
        yield registry, server


@pytest.fixture
def settings(tmp_path: Path):
    def make(*plain: str, **changes: object) -> RegistrySettings:
        return RegistrySettings(tmp_path / "cache", plain_http=plain, backoff_seconds=0.01, **changes)

    return make


def reference(registry: LiveRegistry, text: str) -> Reference:
    return parse_reference(f"{registry.host}/{text}")


def image(*layers: Layer, marker: str = "") -> OciImage:
    """An application image as the next stage makes it, around these layers."""
    locked = json.dumps({"spin_lock_version": 1, "marker": marker}).encode()
    config = json.dumps({"architecture": "wasm", "locked": digest_of(locked)}).encode()
    described = [
        {
            "mediaType": layer.descriptor.media_type,
            "digest": layer.descriptor.digest,
            "size": layer.descriptor.size,
        }
        for layer in layers
    ]
    manifest = {
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            *described,
            {"mediaType": SPIN_APPLICATION, "digest": digest_of(locked), "size": len(locked)},
        ],
    }
    raw = json.dumps(manifest).encode()
    return OciImage(raw, Digest(digest_of(raw)), config, locked, layers)


def layer_of(artifact: Artifact) -> Layer:
    return Layer(artifact.layer, source=artifact.reference.repository, path=None)


def local_layer(path: Path, raw: bytes) -> Layer:
    path.write_bytes(raw)
    return Layer(Descriptor(WASM_LAYER, Digest(digest_of(raw)), len(raw)), source=None, path=path)


# Resolving


def test_a_tag_is_resolved_by_one_head_request(live: LiveRegistry, settings) -> None:
    digest = live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    registry, mark = Registry(settings(live.host)), live.mark()
    assert registry.digest(reference(live, "acme/weather:1")) == digest
    assert registry.digest(reference(live, f"acme/weather@{digest}")) == digest
    assert live.requests_since(mark) == [
        ("HEAD", "/v2/acme/weather/manifests/1", 200),
        ("HEAD", f"/v2/acme/weather/manifests/{digest}", 200),
    ]


@pytest.mark.parametrize(
    "missing", ["acme/absent:1", "acme/weather:absent", "acme/weather@sha256:" + "0" * 64]
)
def test_what_is_not_there_is_told_and_not_tried_again(live: LiveRegistry, settings, missing: str) -> None:
    live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    mark = live.mark()
    with pytest.raises(RegistryError, match=missing.partition("@")[0]) as caught:
        Registry(settings(live.host)).digest(reference(live, missing))
    assert caught.value.reason is Reason.REFERENCE_NOT_FOUND
    assert len(live.requests_since(mark)) == 1


def test_a_registry_that_is_not_allowed_gets_no_request(live: LiveRegistry, settings) -> None:
    registry, mark = Registry(settings(live.host, allowed=("ghcr.io", "*.example.dev"))), live.mark()
    with pytest.raises(SpecError, match="do not allow") as caught:
        registry.digest(reference(live, "acme/weather:1"))
    assert caught.value.reason is Reason.REGISTRY_NOT_ALLOWED
    assert live.requests_since(mark) == []


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        ("ghcr.io", True),
        ("*.io", True),
        ("*.example.dev", False),
        ("ghcr.io:443", True),
        ("ghcr.io:8443", False),
    ],
)
def test_patterns_of_allowed_registries(settings, pattern: str, *, allowed: bool) -> None:
    assert (
        settings(allowed=(pattern,)).allows(parse_reference("ghcr.io/acme/weather:1").repository) is allowed
    )


# The forms in which tools are published


@pytest.mark.parametrize("media_type", [WASM_LAYER, "application/wasm"])
def test_a_raw_artifact_and_wkgs(live: LiveRegistry, settings, media_type: str) -> None:
    repository = f"form/{hashlib.sha256(media_type.encode()).hexdigest()[:8]}"
    pinned = reference(live, f"{repository}:1").pinned(
        Digest(live.put_artifact(repository, "1", [(media_type, WASM, "weather.wasm")]))
    )
    registry = Registry(settings(live.host))
    artifact = registry.artifact(pinned)
    assert artifact == Artifact(
        pinned, pinned.digest, Descriptor(media_type, Digest(digest_of(WASM)), len(WASM)), None
    )
    assert registry.blob(pinned.repository, artifact.layer).read_bytes() == WASM


def test_an_artifact_of_several_layers_needs_a_choice(live: LiveRegistry, settings) -> None:
    layers = [
        (WASM_LAYER, WASM, "weather.wasm"),
        (WASM_LAYER, OTHER, "time.wasm"),
        ("text/plain", b"x", "README"),
    ]
    pinned = reference(live, "form/several:1").pinned(Digest(live.put_artifact("form/several", "1", layers)))
    registry = Registry(settings(live.host))
    with pytest.raises(ComponentError, match=r"choose one .*'weather\.wasm'.*'time\.wasm'") as caught:
        registry.artifact(pinned)
    assert caught.value.reason is Reason.UNSUPPORTED_ARTIFACT
    assert "README" not in str(caught.value)
    for choice in ("time.wasm", "time", digest_of(OTHER)):
        assert registry.artifact(pinned, choice).layer.digest == digest_of(OTHER)
    with pytest.raises(ComponentError, match=r"no WebAssembly layer 'absent'.*'weather\.wasm'"):
        registry.artifact(pinned, "absent")
    with pytest.raises(ComponentError, match="no WebAssembly layer 'README'"):
        registry.artifact(pinned, "README")


def test_an_artifact_without_webassembly_lists_what_it_holds(live: LiveRegistry, settings) -> None:
    layers = [("application/vnd.oci.image.layer.v1.tar+gzip", b"tar", "")]
    pinned = reference(live, "form/tar:1").pinned(Digest(live.put_artifact("form/tar", "1", layers)))
    with pytest.raises(ComponentError, match=r"holds no WebAssembly.*image\.layer\.v1\.tar\+gzip"):
        Registry(settings(live.host)).artifact(pinned)


def put_index(live: LiveRegistry, repository: str, entries: list[tuple[str, str]]) -> Reference:
    """An index with an entry per (architecture, digest of a manifest in the same repository)."""
    manifests = [
        {
            "mediaType": IMAGE_MANIFEST,
            "digest": digest,
            "size": len(live.request("GET", repository, f"manifests/{digest}").content),
            "platform": {"architecture": architecture, "os": "wasi"},
        }
        for architecture, digest in entries
    ]
    document = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
    digest = live.put_manifest(repository, "index", document, IMAGE_INDEX)
    return reference(live, f"{repository}:index").pinned(Digest(digest))


def test_an_index_gives_its_wasm_entry(live: LiveRegistry, settings) -> None:
    wasm = live.put_artifact("form/index", "wasm", [(WASM_LAYER, WASM, "")])
    other = live.put_artifact("form/index", "amd64", [("application/x", b"elf", "")])
    registry = Registry(settings(live.host))
    pinned = put_index(live, "form/index", [("amd64", other), ("wasm", wasm), ("unknown", other)])
    artifact = registry.artifact(pinned)
    assert artifact.layer.digest == digest_of(WASM)
    assert artifact.manifest_digest == pinned.digest
    alone = put_index(live, "form/index", [("unknown", other), ("any", wasm)])
    assert registry.artifact(alone).layer.digest == digest_of(WASM)
    second = live.put_artifact("form/index", "second", [(WASM_LAYER, OTHER, "")])
    ambiguous = put_index(live, "form/index", [("amd64", second), ("arm64", wasm)])
    with pytest.raises(ComponentError, match=r"no single entry.*'amd64'.*'arm64'"):
        registry.artifact(ambiguous)


def spin_application(live: LiveRegistry, repository: str, components: list[dict]) -> Reference:
    locked = json.dumps({"spin_lock_version": 1, "components": components}).encode()
    layers = [(WASM_LAYER, WASM, ""), (WASM_LAYER, OTHER, ""), (SPIN_APPLICATION, locked, "")]
    return reference(live, f"{repository}:1").pinned(Digest(live.put_artifact(repository, "1", layers)))


def component(name: str, raw: bytes, **more: object) -> dict:
    return {"id": name, "source": {"content_type": "application/wasm", "digest": digest_of(raw)}, **more}


def test_a_spin_applications_component_is_chosen_by_its_id(live: LiveRegistry, settings) -> None:
    registry = Registry(settings(live.host))
    pinned = spin_application(live, "spin/two", [component("weather", WASM), component("time", OTHER)])
    chosen = registry.artifact(pinned, "time")
    assert (chosen.component_id, chosen.layer.digest) == ("time", digest_of(OTHER))
    with pytest.raises(ComponentError, match="choose one of its components: 'weather', 'time'"):
        registry.artifact(pinned)
    with pytest.raises(ComponentError, match="without the component 'absent'; it has 'weather', 'time'"):
        registry.artifact(pinned, "absent")
    single = spin_application(live, "spin/one", [component("weather", WASM)])
    assert registry.artifact(single).component_id == "weather"


@pytest.mark.parametrize(
    ("components", "why"),
    [
        ([], "its components: none"),
        ([component("a", b"not pushed")], "has no layer"),
        ([{"id": "a", "source": "x"}], "has no layer"),
        ([component("a", WASM, files=[{"path": "x", "digest": "y"}])], "needs files"),
        ("x", "its components: none"),
        ([1, None], "its components: none"),
    ],
)
def test_a_spin_component_that_cannot_be_taken_is_refused(
    live, settings, components: object, why: str
) -> None:
    with pytest.raises(ComponentError, match=why):
        Registry(settings(live.host)).artifact(spin_application(live, "spin/odd", components))


# Blobs


def test_manifests_and_blobs_come_from_the_cache_by_digest(live: LiveRegistry, settings) -> None:
    pinned = reference(live, "acme/weather:1").pinned(
        Digest(live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")]))
    )
    first = Registry(settings(live.host))
    path = first.blob(pinned.repository, first.artifact(pinned).layer)
    mark = live.mark()
    restarted = Registry(settings(live.host))
    restarted.digest(pinned)
    assert restarted.blob(pinned.repository, restarted.artifact(pinned).layer) == path
    assert [method for method, _, _ in live.requests_since(mark)] == ["HEAD"]
    assert not path.stat().st_mode & 0o222


def test_many_threads_download_a_blob_once(live: LiveRegistry, settings) -> None:
    pinned = reference(live, "acme/weather:1").pinned(
        Digest(live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")]))
    )
    registry = Registry(settings(live.host))
    layer, mark = registry.artifact(pinned).layer, live.mark()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: registry.blob(pinned.repository, layer), range(16)))
    assert len(set(paths)) == 1
    assert len(live.requests_since(mark)) == 1


def test_a_damaged_cache_file_is_downloaded_again(live: LiveRegistry, settings) -> None:
    pinned = reference(live, "acme/weather:1").pinned(
        Digest(live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")]))
    )
    registry = Registry(settings(live.host))
    layer = registry.artifact(pinned).layer
    path = registry.blob(pinned.repository, layer)
    (manifest,) = path.parent.glob(f"*-{pinned.digest.removeprefix('sha256:')}")
    for damaged in (path, manifest):
        damaged.chmod(0o600)
        damaged.write_bytes(b"cut off")
    assert registry.blob(pinned.repository, registry.artifact(pinned).layer).read_bytes() == WASM


def test_what_is_too_large_is_refused_before_it_is_downloaded(live: LiveRegistry, settings) -> None:
    pinned = reference(live, "acme/weather:1").pinned(
        Digest(live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")]))
    )
    registry, mark = Registry(settings(live.host, max_blob_bytes=1000)), live.mark()
    with pytest.raises(ComponentError, match="more than the limit of 1000") as caught:
        registry.artifact(pinned)
    assert caught.value.reason is Reason.TOO_LARGE
    assert [method for method, path, _ in live.requests_since(mark) if "blobs" in path] == []


# Pushing


def test_pushing_mounts_layers_and_pushing_again_is_one_request(live: LiveRegistry, settings) -> None:
    digest = live.put_artifact("push/weather", "1", [(WASM_LAYER, WASM, "")])
    registry = Registry(settings(live.host))
    artifact = registry.artifact(reference(live, "push/weather:1").pinned(Digest(digest)))
    target, app = reference(live, "push/app:v1"), image(layer_of(artifact))
    mark = live.mark()
    published = registry.push(app, target)
    assert published.pushed
    assert published.reference == target.pinned(app.digest)
    assert published.uploaded_bytes == len(app.config) + len(app.locked) + len(app.manifest)
    mounts = [(p, s) for m, p, s in live.requests_since(mark) if "mount=" in p]
    assert [status for _, status in mounts] == [201]
    stored = live.request("GET", "push/app", f"manifests/{app.digest}", headers={"Accept": IMAGE_MANIFEST})
    assert stored.content == app.manifest
    assert live.request("GET", "push/app", f"blobs/{digest_of(WASM)}").content == WASM

    mark = live.mark()
    again = Registry(settings(live.host)).push(app, target)
    assert (again.pushed, again.uploaded_bytes, again.reference) == (False, 0, published.reference)
    assert live.requests_since(mark) == [("HEAD", "/v2/push/app/manifests/v1", 200)]


def test_changed_settings_upload_no_layer_and_a_rollback_only_moves_the_tag(
    live: LiveRegistry, settings
) -> None:
    digest = live.put_artifact("push/weather", "1", [(WASM_LAYER, WASM, "")])
    registry = Registry(settings(live.host))
    layer = layer_of(registry.artifact(reference(live, "push/weather:1").pinned(Digest(digest))))
    target = reference(live, "push/changed:v1")
    old, new = image(layer, marker="old"), image(layer, marker="new")
    registry.push(old, target)
    second = registry.push(new, target)
    assert second.uploaded_bytes == len(new.config) + len(new.locked) + len(new.manifest)
    back = registry.push(old, target)
    assert (back.pushed, back.uploaded_bytes) == (True, len(old.manifest))
    assert registry.digest(target) == old.digest


def test_pushing_by_digest_alone(live: LiveRegistry, settings, tmp_path: Path) -> None:
    registry, app = (
        Registry(settings(live.host)),
        image(local_layer(tmp_path / "a.wasm", WASM), marker="untagged"),
    )
    target = Reference(reference(live, "push/untagged:x").repository, None, app.digest)
    assert registry.push(app, target).pushed
    assert not registry.push(app, target).pushed


def test_layers_of_another_registry_travel_through_the_cache(live, basic, settings) -> None:
    digest = basic.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    credentials = Credentials.from_login(basic.host, Login(USER, PASSWORD))
    registry = Registry(settings(live.host, basic.host), credentials)
    artifact = registry.artifact(reference(basic, "acme/weather:1").pinned(Digest(digest)))
    app = image(layer_of(artifact), marker="across")
    published = registry.push(app, reference(live, "push/across:1"))
    assert published.uploaded_bytes >= len(WASM)
    assert live.request("GET", "push/across", f"blobs/{digest_of(WASM)}").content == WASM


def test_a_local_layer_is_streamed_and_a_layer_from_nowhere_is_a_defect(
    live, settings, tmp_path: Path
) -> None:
    registry, local = (
        Registry(settings(live.host)),
        local_layer(tmp_path / "gateway.wasm", os.urandom(3_000_000)),
    )
    published = registry.push(image(local, local, marker="local"), reference(live, "push/local:1"))
    assert 3_000_000 < published.uploaded_bytes < 3_002_000
    lost = Layer(Descriptor(WASM_LAYER, Digest("sha256:" + "1" * 64), 1), source=None, path=None)
    with pytest.raises(ValueError, match="neither a path nor a source"):
        registry.push(image(lost), reference(live, "push/local:2"))


# Authentication


def test_basic_authentication_is_asked_for_once(basic: LiveRegistry, settings) -> None:
    digest = basic.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    registry = Registry(settings(basic.host), Credentials.from_login(basic.host, Login(USER, PASSWORD)))
    artifact = registry.artifact(reference(basic, "acme/weather:1").pinned(Digest(digest)))
    registry.push(image(layer_of(artifact)), reference(basic, "push/app:1"))
    mark = basic.mark()
    registry.digest(reference(basic, "acme/weather:1"))
    registry.digest(reference(basic, "push/app:1"))
    assert [status for _, _, status in basic.requests_since(mark)] == [200, 200]


@pytest.mark.parametrize(
    ("login", "message"),
    [
        (None, "wants credentials and none are known"),
        (Login(USER, "wr0ng-secret"), "refuses the credentials"),
        (Login(registry_token="t0ken-secret"), "refuses the credentials"),
        (Login(identity_token="t0ken-secret"), "refuses the credentials"),
    ],
)
def test_refused_credentials_are_told_and_never_shown(
    basic, settings, login: Login | None, message: str
) -> None:
    credentials = Credentials.from_login(basic.host, login) if login else None
    registry, mark = Registry(settings(basic.host), credentials), basic.mark()
    with pytest.raises(RegistryError, match=message) as caught:
        registry.digest(reference(basic, "acme/weather:1"))
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
    assert "secret" not in str(caught.value)
    assert len(basic.requests_since(mark)) <= 2


def token_settings(token: tuple[LiveRegistry, TokenServer], settings, **changes: object) -> RegistrySettings:
    registry, server = token
    return settings(registry.host, server.url.split("/")[2], **changes)


def test_tokens_are_scoped_and_kept(token: tuple[LiveRegistry, TokenServer], settings) -> None:
    live, server = token
    digest = live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    login = Credentials.from_login(live.host, Login(USER, PASSWORD))
    registry = Registry(token_settings(token, settings), login)
    server.seen.clear()
    pinned = reference(live, "acme/weather:1").pinned(Digest(digest))
    assert registry.digest(pinned) == digest
    artifact = registry.artifact(pinned)
    registry.blob(pinned.repository, artifact.layer)
    assert server.seen == [("GET", USER, ("repository:acme/weather:pull",))]
    published = registry.push(image(layer_of(artifact)), reference(live, "push/app:1"))
    assert published.uploaded_bytes < 2000
    scopes = {scope for _, _, asked in server.seen for scope in asked}
    assert "repository:push/app:pull,push" in scopes
    assert all("acme/weather:pull,push" not in scope for scope in scopes)
    mark = live.mark()
    registry.push(image(layer_of(artifact)), reference(live, "push/app:1"))
    assert [status for _, _, status in live.requests_since(mark)] == [200]


def test_an_expired_token_is_replaced(token: tuple[LiveRegistry, TokenServer], settings) -> None:
    live, server = token
    live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    registry = Registry(
        token_settings(token, settings), Credentials.from_login(live.host, Login(USER, PASSWORD))
    )
    server.lifetime = 1
    try:
        registry.digest(reference(live, "acme/weather:1"))
        server.seen.clear()
        registry.digest(reference(live, "acme/weather:1"))
        assert len(server.seen) == 1
    finally:
        server.lifetime = 60


def test_an_anonymous_token_serves_what_is_public(token: tuple[LiveRegistry, TokenServer], settings) -> None:
    live, server = token
    digest = live.put_artifact("public/weather", "1", [(WASM_LAYER, WASM, "")])
    live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    registry = Registry(token_settings(token, settings))
    server.seen.clear()
    assert registry.digest(reference(live, "public/weather:1")) == digest
    assert server.seen == [("GET", "", ("repository:public/weather:pull",))]
    with pytest.raises(RegistryError, match="none are known for it") as caught:
        registry.digest(reference(live, "acme/weather:1"))
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED


def test_an_identity_token_is_exchanged(token: tuple[LiveRegistry, TokenServer], settings) -> None:
    live, server = token
    live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    good = Credentials.from_login(live.host, Login(identity_token=server.refresh_token))
    server.seen.clear()
    Registry(token_settings(token, settings), good).digest(reference(live, "acme/weather:1"))
    assert server.seen == [("POST", "refresh", ("repository:acme/weather:pull",))]
    bad = Credentials.from_login(live.host, Login(identity_token="0ld-secret"))
    with pytest.raises(RegistryError, match="refuses the credentials"):
        Registry(token_settings(token, settings), bad).digest(reference(live, "acme/weather:1"))


def test_a_registry_token_is_used_as_it_is(token: tuple[LiveRegistry, TokenServer], settings) -> None:
    live, server = token
    digest = live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    bearer = server.token(USER, ("repository:acme/weather:pull",), "registry")
    login = Credentials.from_login(live.host, Login(registry_token=bearer))
    server.seen.clear()
    assert (
        Registry(token_settings(token, settings), login).digest(reference(live, "acme/weather:1")) == digest
    )
    assert server.seen == []


def test_a_token_servers_plain_http_must_be_allowed(token, settings) -> None:
    live, server = token
    registry = Registry(settings(live.host), Credentials.from_login(live.host, Login(USER, PASSWORD)))
    server.seen.clear()
    with pytest.raises(RegistryError, match="which is not HTTPS"):
        registry.digest(reference(live, "acme/weather:1"))
    assert server.seen == []


def test_credentials_that_may_push_and_not_read_the_source_upload(token, settings, tmp_path: Path) -> None:
    live, server = token
    digest = live.put_artifact("private/weather", "1", [(WASM_LAYER, WASM, "")])
    reading = Credentials.from_login(live.host, Login(USER, PASSWORD))
    reader = Registry(token_settings(token, settings), reading)
    artifact = reader.artifact(reference(live, "private/weather:1").pinned(Digest(digest)))
    reader.blob(artifact.reference.repository, artifact.layer)
    bearer = server.token(USER, ("repository:push/separate:pull,push",), "registry")
    pushing = Credentials.from_login(live.host, Login(registry_token=bearer))
    with pytest.raises(RegistryError, match="refuses the credentials"):
        reader.with_credentials(pushing).push(image(layer_of(artifact)), reference(live, "push/separate:1"))
    writer = reader.with_credentials(pushing, reading)
    published = writer.push(image(layer_of(artifact)), reference(live, "push/separate:1"))
    assert published.uploaded_bytes > len(WASM)


def test_one_users_token_never_serves_another(token, settings) -> None:
    live, _ = token
    live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    ann = Registry(token_settings(token, settings), Credentials.from_login(live.host, Login(USER, PASSWORD)))
    ann.digest(reference(live, "acme/weather:1"))
    with pytest.raises(RegistryError, match="none are known"):
        ann.with_credentials(Credentials()).digest(reference(live, "acme/weather:1"))


# Transport


def test_a_registry_with_a_ca_of_its_own(tmp_path: Path, settings) -> None:
    with run_tls_registry(tmp_path / "tls") as (live, ca):
        digest = live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
        trusting = Registry(settings(ca_file=ca, own=("127.0.0.1",)))
        artifact = trusting.artifact(reference(live, "acme/weather:1").pinned(Digest(digest)))
        assert trusting.blob(artifact.reference.repository, artifact.layer).read_bytes() == WASM
        assert trusting.push(image(layer_of(artifact)), reference(live, "push/app:1")).pushed
        with pytest.raises(RegistryError, match="certificate is not trusted"):
            Registry(settings(developing=True)).digest(reference(live, "acme/weather:1"))


def test_a_ca_file_that_is_none_stops_at_once(tmp_path: Path, settings) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(RegistryError, match=r"ca\.pem cannot be used"):
        Registry(settings(ca_file=tmp_path / "ca.pem"))
    with pytest.raises(RegistryError, match=r"absent\.pem cannot be used"):
        Registry(settings(ca_file=tmp_path / "absent.pem"))


def test_plain_http_is_not_spoken_unless_allowed(live: LiveRegistry, settings) -> None:
    with pytest.raises(RegistryError, match="does not speak TLS; if it is plain HTTP, name it with --plain"):
        Registry(settings(attempts=1, developing=True)).digest(reference(live, "acme/weather:1"))


def test_the_observer_hears_of_every_operation(live: LiveRegistry, settings) -> None:
    digest = live.put_artifact("acme/weather", "1", [(WASM_LAYER, WASM, "")])
    heard: list[tuple[str, str, str, int]] = []
    lock = threading.Lock()

    def observe(*what: object) -> None:
        with lock:
            heard.append(what)

    registry = Registry(settings(live.host, observe=observe))
    pinned = reference(live, "acme/weather:1").pinned(Digest(digest))
    registry.digest(pinned)
    registry.blob(pinned.repository, registry.artifact(pinned).layer)
    with pytest.raises(RegistryError):
        registry.digest(reference(live, "acme/weather:absent"))
    assert [(o, r, n) for _, o, r, n in heard if o != "manifest"] == [
        ("resolve", "Succeeded", 0),
        ("blob", "Succeeded", len(WASM)),
        ("resolve", "ReferenceNotFound", 0),
    ]
    assert {registry for registry, *_ in heard} == {live.host}
