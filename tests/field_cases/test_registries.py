"""Field cases about registries and their clients: pull Secrets, answers to HEAD, names, indexes."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftl_operator.errors import ComponentError, Reason, RegistryError, SpecError
from ftl_operator.oci.descriptor import Artifact, Descriptor
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.reference import Digest, Reference, Repository, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.docker_config import Credentials, Login
from ftl_operator.registry.http import RegistrySettings
from ftl_operator.settings import Settings
from tests.support.registries import (
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    WASM_LAYER,
    FaultyRegistry,
    QuietHandler,
    run_faulty_registry,
)

HERE = Repository("reg.dev", "acme/weather")
LONG = "ann:" + "s3cret" * 20


def login_of(auth: str) -> Login | None:
    raw = json.dumps({"auths": {"reg.dev": {"auth": auth}}}).encode()
    return Credentials.from_dockerconfigjson(raw, "the Secret 'pull'").find(HERE)


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def wrapped(text: str, width: int, end: str) -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


@pytest.mark.parametrize(
    ("auth", "pair"),
    [
        pytest.param(encoded("ann:s3cret").rstrip("="), "ann:s3cret", id="case 14: unpadded"),
        pytest.param(encoded("ann:s3cre").rstrip("="), "ann:s3cre", id="case 14: unpadded by two"),
        pytest.param(encoded("ann:s3cr"), "ann:s3cr", id="case 14: needs no padding"),
        pytest.param(encoded("ann:s3cret") + "\n", "ann:s3cret", id="case 14: newline at the end"),
        pytest.param(encoded("ann:s3cret").rstrip("=") + "\r\n", "ann:s3cret", id="case 14: unpadded, CRLF"),
        pytest.param(wrapped(encoded(LONG), 76, "\n"), LONG, id="case 14: wrapped like base64 does"),
        pytest.param(
            wrapped(encoded(LONG), 64, "\r\n") + "\r\n", LONG, id="case 14: wrapped like openssl does"
        ),
        pytest.param(wrapped(encoded(LONG).rstrip("="), 60, "\n"), LONG, id="case 14: wrapped and unpadded"),
        pytest.param(encoded("ann:s3:cr:et"), "ann:s3:cr:et", id="case 14: colons in the password"),
    ],
)
def test_an_auth_that_the_kubelet_takes(auth: str, pair: str) -> None:
    login = login_of(auth)
    assert login is not None
    assert f"{login.username}:{login.password}" == pair


def test_an_auth_that_is_no_text_is_sent_as_it_is() -> None:
    raw = b"ann:p\xe4ss"
    login = login_of(base64.b64encode(raw).decode())
    assert login is not None
    assert login.basic == "Basic " + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "auth", ["no base64!", encoded("no colon"), "YW5u*OnM=", "YW5uOnM===", "a", "YW5u OnM="]
)
def test_an_auth_that_the_kubelet_refuses(auth: str) -> None:
    with pytest.raises(RegistryError, match="entry 1 of 'auths'"):
        login_of(auth)


# What a registry says of what is not there


RAW = b'{"schemaVersion": 2}'
IMAGE = OciImage(RAW, Digest(sha256(RAW)), b"{}", b'{"components": []}', ())


@contextlib.contextmanager
def registry_saying(status: int, *, takes: int = 201) -> Iterator[FaultyRegistry]:
    """A registry that answers so to every HEAD, and `takes` to what is pushed."""

    def handle(handler: QuietHandler) -> None:
        if handler.command == "HEAD":
            handler.reply(status)
        elif handler.command == "POST":
            handler.reply(202, b"", {"Location": "/upload/1"})
        elif handler.command == "GET":
            handler.reply(status)
        else:
            handler.reply(takes)

    with run_faulty_registry() as server:
        server.answers = [handle]
        yield server


def client(server: FaultyRegistry, folder: Path) -> Registry:
    return Registry(RegistrySettings(folder / "cache", plain_http=(server.host,), attempts=1, proxies={}))


@pytest.mark.parametrize("tag", [None, "1.0"], ids=["by digest", "by tag"])
@pytest.mark.parametrize("status", [401, 403], ids="case 15: HEAD answers {}".format)
def test_the_push_decides(tmp_path: Path, status: int, tag: str | None) -> None:
    with registry_saying(status) as server:
        target = Reference(Repository(server.host, "acme/app"), tag)
        published = client(server, tmp_path).push(IMAGE, target)
    assert published.pushed
    assert [path for method, path, _ in server.seen if method == "PUT" and "manifests" in path]


def test_a_registry_that_knows_no_head_is_pushed_to(tmp_path: Path) -> None:
    """Case 15: HEAD answers 405, and GET 404 for what is not there and the manifest for what is."""
    stored: list[str] = []

    def handle(handler: QuietHandler) -> None:
        if handler.command == "HEAD":
            handler.reply(405)
        elif handler.command == "POST":
            handler.reply(202, b"", {"Location": "/upload/1"})
        elif handler.command == "PUT":
            stored.append(handler.path)
            handler.reply(201)
        elif any("manifests" in path for path in stored):
            handler.reply(200, IMAGE.manifest)
        else:
            handler.reply(404)

    with run_faulty_registry() as server:
        server.answers = [handle]
        assert client(server, tmp_path).push(IMAGE, parse_reference(f"{server.host}/acme/app:1")).pushed


@pytest.mark.parametrize("status", [401, 403], ids="case 15: PUT answers {}".format)
def test_a_push_that_is_refused_is_the_credentials_fault(tmp_path: Path, status: int) -> None:
    with registry_saying(404, takes=status) as server, pytest.raises(RegistryError) as caught:
        client(server, tmp_path).push(IMAGE, parse_reference(f"{server.host}/acme/app:1"))
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED


# Names of published applications


@pytest.mark.parametrize(
    ("setting", "repository"),
    [
        pytest.param("reg.dev/ftl", "reg.dev/ftl/agents/tools", id="case 16: as ever"),
        pytest.param(
            "docker.io/acme/{namespace}-{name}", "docker.io/acme/agents-tools", id="case 16: Docker Hub"
        ),
        pytest.param(
            "docker.io/acme/{namespace}_{name}", "docker.io/acme/agents_tools", id="case 16: unambiguous"
        ),
        pytest.param(
            "quay.io/acme/mcp-{namespace}.{name}", "quay.io/acme/mcp-agents.tools", id="case 16: prefix"
        ),
        pytest.param("reg.dev/{namespace}/{name}/app", "reg.dev/agents/tools/app", id="case 16: deeper"),
    ],
)
def test_where_an_app_is_published(setting: str, repository: str) -> None:
    settings = Settings(publish_repository=setting)
    assert str(settings.default_repository("agents", "tools")) == repository


def test_one_namespace_needs_no_namespace_in_the_name() -> None:
    settings = Settings(publish_repository="docker.io/acme/{name}", namespaces=("agents",))
    assert str(settings.default_repository("agents", "tools")) == "docker.io/acme/tools"


@pytest.mark.parametrize(
    "setting",
    [
        "docker.io/acme/{name}",
        "docker.io/acme/{namespace}",
        "docker.io/acme/{namespace}-{name}-{uid}",
        "docker.io/acme/{namespace}-{name",
        "docker.io/acme/{namespace}-{name}:latest",
        "docker.io/Acme/{namespace}-{name}",
        "{namespace}/{name}",
    ],
)
def test_a_name_that_cannot_be_used_stops_the_start(setting: str) -> None:
    with pytest.raises(SpecError, match="FTL_PUBLISH_REPOSITORY"):
        Settings.from_env({"FTL_PUBLISH_REPOSITORY": setting})


def test_nodes_may_know_a_template_by_another_name() -> None:
    template = "{namespace}_{name}"
    settings = Settings(
        publish_repository=f"docker.io/acme/{template}", pull_repository=f"mirror.dev/hub/acme/{template}"
    )
    published = parse_reference(f"docker.io/acme/agents_tools@sha256:{'0' * 64}")
    pulled = parse_reference(f"mirror.dev/hub/acme/agents_tools@sha256:{'0' * 64}")
    assert settings.as_pulled(published) == pulled
    assert settings.as_published(pulled) == published
    with pytest.raises(SpecError, match="FTL_PULL_REPOSITORY: it must end as FTL_PUBLISH_REPOSITORY does"):
        Settings.from_env(
            {"FTL_PUBLISH_REPOSITORY": f"docker.io/acme/{template}", "FTL_PULL_REPOSITORY": "mirror.dev/acme"}
        )


# Indexes


WASM, OTHER = b"\0asm one", b"\0asm two"


def manifest(*layers: tuple[str, bytes], note: str = "") -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {"mediaType": "application/x", "digest": sha256(b"{}"), "size": 2},
            "layers": [{"mediaType": kind, "digest": sha256(raw), "size": len(raw)} for kind, raw in layers],
            "annotations": {"note": note},
        }
    ).encode()


MANIFESTS = {
    "wasm": manifest((WASM_LAYER, WASM)),
    "same": manifest((WASM_LAYER, WASM), note="another manifest of the same component"),
    "other": manifest((WASM_LAYER, OTHER)),
    "sbom": manifest(("application/spdx+json", b"{}")),
    "elf": manifest(("application/vnd.oci.image.layer.v1.tar+gzip", b"elf")),
    "artifact": json.dumps(
        {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": []}
    ).encode(),
    "index": json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}).encode(),
    "gone": b"{}",
    "config": manifest(("application/vnd.cyclonedx+json", b"{}"), (WASM_LAYER, WASM)),
}


def entry(which: str, platform: str = "", **more: object) -> dict[str, object]:
    raw = MANIFESTS[which]
    found: dict[str, object] = {"mediaType": IMAGE_MANIFEST, "digest": sha256(raw), "size": len(raw), **more}
    if platform:
        system, _, architecture = platform.partition("/")
        found["platform"] = {"architecture": architecture, "os": system}
    return found


def chosen(entries: list[dict[str, object]], folder: Path) -> Artifact:
    index = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries}).encode()
    known = {sha256(raw): raw for raw in (index, *MANIFESTS.values()) if raw != MANIFESTS["gone"]}

    def handle(handler: QuietHandler) -> None:
        raw = known.get(Digest(handler.path.rpartition("/")[2]))
        handler.reply(404) if raw is None else handler.reply(200, raw)

    with run_faulty_registry() as server:
        server.answers = [handle]
        reference = parse_reference(f"{server.host}/acme/weather@{sha256(index)}")
        return client(server, folder).artifact(reference)


ATTESTATION = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
SBOM_TYPE = {"artifactType": "application/spdx+json"}


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("wasm"), entry("gone")], id="case 22: beside an entry that is gone"),
        pytest.param([entry("wasm"), entry("artifact")], id="case 22: beside an artifact manifest"),
        pytest.param([entry("wasm"), entry("index")], id="case 22: beside another index"),
        pytest.param(
            [{**entry("sbom"), "digest": f"sha512:{'0' * 128}"}, entry("wasm")], id="case 22: SHA-512"
        ),
        pytest.param(
            [entry("wasm", "wasi/wasm32"), entry("wasm", "wasi/wasm")], id="case 22: one digest twice"
        ),
        pytest.param([entry("wasm"), entry("wasm")], id="case 22: one digest twice, no platform"),
        pytest.param([entry("wasm"), entry("sbom", **SBOM_TYPE)], id="case 22: SBOM with its type"),
        pytest.param([entry("sbom"), entry("wasm")], id="case 22: SBOM that only its manifest tells"),
        pytest.param(
            [entry("wasm"), entry("sbom", "unknown/unknown")], id="case 22: attestation by platform"
        ),
        pytest.param([entry("wasm"), entry("sbom", **ATTESTATION)], id="case 22: attestation by annotation"),
        pytest.param(
            [entry("wasm", "wasip1/wasm"), entry("same", "wasip2/wasm")], id="case 22: one component"
        ),
        pytest.param([entry("wasm", "wasi/wasm"), entry("elf", "linux/amd64")], id="case 22: beside Linux"),
        pytest.param([entry("elf", "linux/amd64"), entry("wasm")], id="case 22: no platform beside Linux"),
        pytest.param([entry("wasm", "linux/amd64")], id="case 22: alone, under a platform that is wrong"),
        pytest.param(
            [entry("wasm", "linux/amd64"), entry("sbom", **ATTESTATION)], id="case 22: wrong, attested"
        ),
        pytest.param(
            [entry("wasm", artifactType="application/wasm"), entry("sbom")], id="case 22: Wasm by type"
        ),
        pytest.param(
            [entry("config", "wasi/wasm"), entry("sbom", "wasi/wasm")], id="case 22: SBOM under wasm"
        ),
    ],
)
def test_what_is_not_wasm_is_no_candidate(tmp_path: Path, entries: list[dict[str, object]]) -> None:
    assert chosen(entries, tmp_path).layer == Descriptor(WASM_LAYER, Digest(sha256(WASM)), len(WASM))


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        pytest.param([entry("wasm"), entry("other")], "no single entry", id="case 22: two components"),
        pytest.param([entry("sbom", **SBOM_TYPE)], "no entry", id="case 22: an SBOM alone"),
        pytest.param([entry("sbom"), entry("elf")], "no entry", id="case 22: nothing of Wasm"),
        pytest.param([], "no entry", id="case 22: empty"),
    ],
)
def test_an_index_without_one_component_is_refused(
    tmp_path: Path, entries: list[dict[str, object]], why: str
) -> None:
    with pytest.raises(ComponentError, match=why):
        chosen(entries, tmp_path)
