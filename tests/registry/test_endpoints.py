"""The subclass of oras' registry, and what it replaces: oras' own requests, by the released version."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import oras.container
import oras.provider
import pytest

from ftl_operator.errors import Reason, RegistryError
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.reference import Digest, Repository, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.endpoints import RegistryApi
from ftl_operator.registry.http import RegistrySettings
from tests.support.registries import (
    FaultyRegistry,
    QuietHandler,
    digest_of,
    run_faulty_registry,
    run_registry,
)

WASM = b"\0asm"


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., Registry]:
    def make(*plain: str) -> Registry:
        return Registry(RegistrySettings(tmp_path / "cache", plain_http=plain, attempts=1, proxies={}))

    return make


def test_it_is_oras_registry_with_another_way_to_send() -> None:
    assert issubclass(RegistryApi, oras.provider.Registry)
    assert RegistryApi.do_request is not oras.provider.Registry.do_request
    assert RegistryApi.get_blob is oras.provider.Registry.get_blob
    assert RegistryApi.get_tags is oras.provider.Registry.get_tags


def test_tags_and_deletion(tmp_path: Path, client) -> None:
    with run_registry(tmp_path / "registry") as live:
        digests = [
            live.put_artifact("a/b", tag, [("application/wasm", tag.encode(), "")]) for tag in ("1", "2")
        ]
        registry, repository = client(live.host), Repository(live.host, "a/b")
        assert sorted(registry.tags(repository)) == ["1", "2"]
        registry.delete(repository, Digest(digests[0]))
        with pytest.raises(RegistryError) as caught:
            registry.digest(parse_reference(f"{live.host}/a/b:1"))
        assert caught.value.reason is Reason.REFERENCE_NOT_FOUND
        assert registry.digest(parse_reference(f"{live.host}/a/b:2")) == digests[1]


def test_tags_of_several_pages(client) -> None:
    def pages(handler: QuietHandler) -> None:
        if "last=" in handler.path:
            handler.reply(200, {"name": "a/b", "tags": ["3"]})
        else:
            headers = {"Link": '</v2/a/b/tags/list?n=2&last=2>; rel="next"'}
            handler.reply(200, {"name": "a/b", "tags": ["1", "2"]}, headers)

    with run_faulty_registry() as server:
        server.answers = [pages]
        assert client(server.host).tags(Repository(server.host, "a/b")) == ("1", "2", "3")


@pytest.mark.parametrize("link", ["http://evil.test/v2/a/b/tags/list", "//evil.test/tags"])
def test_a_page_leads_nowhere_else(client, link: str) -> None:
    with run_faulty_registry() as server:
        server.answers = [
            lambda handler: handler.reply(200, {"tags": ["1"]}, {"Link": f'<{link}>; rel="next"'})
        ]
        with pytest.raises(RegistryError, match=r"leads to http://evil\.test, which is not HTTPS"):
            client(server.host).tags(Repository(server.host, "a/b"))


def test_tags_without_end_end(client) -> None:
    def more(handler: QuietHandler) -> None:
        tags = [f"{len(server.seen)}-{number}" for number in range(2000)]
        handler.reply(200, {"tags": tags}, {"Link": '</v2/a/b/tags/list?more>; rel="next"'})

    with run_faulty_registry() as server:
        server.answers = [more]
        assert len(client(server.host).tags(Repository(server.host, "a/b"))) == 10_000
        assert len(server.seen) == 5


def test_referrers(client) -> None:
    index = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    with run_faulty_registry() as server:
        server.answers = [lambda handler: handler.reply(200, index)]
        digest = Digest(digest_of(WASM))
        assert client(server.host).referrers(Repository(server.host, "a/b"), digest) == index
        assert server.seen[0][1] == f"/v2/a/b/referrers/{digest}"


def test_errors_of_pages_have_no_url(client) -> None:
    with run_faulty_registry() as server:
        server.answers = [lambda handler: handler.reply(500, {"errors": [{"code": "UNKNOWN"}]})]
        with pytest.raises(RegistryError, match="the registry answers 500 UNKNOWN") as caught:
            client(server.host).tags(Repository(server.host, "a/b"))
        assert "http" not in str(caught.value)


# What oras' own requests do


def stock(server: FaultyRegistry) -> oras.provider.Registry:
    return oras.provider.Registry(hostname=server.host, insecure=True)


def test_oras_itself_sends_a_token_to_every_host() -> None:
    def wants_token(handler: QuietHandler) -> None:
        if "/token" in handler.path:
            handler.reply(200, {"token": "for-home-only"})
        elif handler.headers.get("Authorization"):
            handler.reply(200)
        else:
            challenge = f'Bearer realm="http://{home.host}/token",service="s",scope="repository:a/b:pull"'
            handler.reply(401, {}, {"WWW-Authenticate": challenge})

    with run_faulty_registry() as home, run_faulty_registry() as other:
        home.answers, other.answers = [wants_token], [lambda handler: handler.reply(200)]
        registry = stock(home)
        registry.do_request(f"http://{home.host}/v2/a/b/tags/list")
        registry.do_request(f"http://{other.host}/v2/a/b/tags/list")
        assert other.seen[0][2]["Authorization"] == "Bearer for-home-only"


def test_oras_itself_unpacks_what_it_is_sent() -> None:
    bomb = gzip.compress(b"0" * (2 << 20))
    with run_faulty_registry() as server:
        server.answers = [lambda handler: handler.reply(200, bomb, {"Content-Encoding": "gzip"})]
        answer = stock(server).do_request(f"http://{server.host}/v2/a/b/manifests/1")
        assert len(answer.content) == 2 << 20 > 500 * len(bomb)


def test_oras_itself_writes_a_manifest_anew() -> None:
    raw = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"config":{"mediaType":"application/x","digest":"sha256:' + b"0" * 64 + b'","size":2},"layers":[]}'
    )
    sent: list[bytes] = []
    with run_faulty_registry() as server:
        server.answers = [lambda handler: handler.reply(201)]
        registry = stock(server)
        registry.session.hooks["response"].append(lambda answer, **_: sent.append(answer.request.body))
        registry.upload_manifest(json.loads(raw), oras.container.Container(f"{server.host}/a/b:1"))
    assert json.loads(sent[0]) == json.loads(raw)
    assert sha256(sent[0]) != sha256(raw)
