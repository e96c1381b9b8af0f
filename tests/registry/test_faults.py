"""The registry client with a faulty registry, which does what real ones do rarely."""

import base64
import concurrent.futures
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftl_operator.errors import ComponentError, FtlError, Reason, RegistryError
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.reference import Digest, Reference, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.docker_config import Credentials, Login
from ftl_operator.registry.http import RegistrySettings
from tests.support.registries import (
    IMAGE_MANIFEST,
    PASSWORD,
    USER,
    WASM_LAYER,
    Answer,
    FaultyRegistry,
    QuietHandler,
    digest_of,
    run_faulty_registry,
)

WASM = b"\0asm\x0d\0\x01\0" + b"x" * 100_000
MANIFEST = json.dumps(
    {"schemaVersion": 2, "layers": [{"mediaType": WASM_LAYER, "digest": digest_of(WASM), "size": len(WASM)}]}
).encode()
BLOB = Descriptor(WASM_LAYER, Digest(digest_of(WASM)), len(WASM))


@pytest.fixture
def faulty() -> Iterator[FaultyRegistry]:
    with run_faulty_registry() as server:
        yield server


@pytest.fixture
def other() -> Iterator[FaultyRegistry]:
    with run_faulty_registry() as server:
        yield server


@pytest.fixture
def client(faulty: FaultyRegistry, tmp_path: Path) -> Callable[..., Registry]:
    def make(*plain: str, credentials: Credentials | None = None, **changes: object) -> Registry:
        values = {"plain_http": (faulty.host, *plain), "backoff_seconds": 0.01, **changes}
        return Registry(RegistrySettings(tmp_path / "cache", **values), credentials)

    return make


def at(server: FaultyRegistry, text: str = "acme/weather:1") -> Reference:
    return parse_reference(f"{server.host}/{text}")


def answer(status: int, body: bytes | dict = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.reply(status, body, named)


def manifest(handler: QuietHandler) -> None:
    handler.reply(
        200, MANIFEST, {"Content-Type": IMAGE_MANIFEST, "Docker-Content-Digest": digest_of(MANIFEST)}
    )


def cut_off(handler: QuietHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(WASM)))
    handler.end_headers()
    handler.wfile.write(WASM[:50_000])
    handler.close_connection = True


def hang_up(handler: QuietHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


# Failures that pass


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(faulty: FaultyRegistry, client, status: int) -> None:
    faulty.answers = [answer(status), answer(status), manifest]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)
    assert len(faulty.seen) == 3


def test_a_connection_that_ends_is_tried_again(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [hang_up, manifest]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)


def test_attempts_are_bounded_and_the_last_failure_is_told(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(503)]
    with pytest.raises(RegistryError, match=r"acme/weather:1: the registry answers 503") as caught:
        client(attempts=3).digest(at(faulty))
    assert caught.value.reason is Reason.REGISTRY_UNAVAILABLE
    assert len(faulty.seen) == 3


def test_retry_after_is_honoured(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(429, Retry_After="1"), manifest]
    started = time.monotonic()
    client().digest(at(faulty))
    assert 1 <= time.monotonic() - started < 5


def test_a_long_retry_after_is_handed_on(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(429, Retry_After="3600")]
    started = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        client().digest(at(faulty))
    assert caught.value.retry_after == 3600
    assert time.monotonic() - started < 5
    assert len(faulty.seen) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("soon", None),
        ("", None),
        ("9" * 400, 3600),
        ("-1", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_in_all_its_forms(
    faulty: FaultyRegistry, client, value: str, expected: float | None
) -> None:
    faulty.answers = [answer(503, Retry_After=value)]
    with pytest.raises(RegistryError) as caught:
        client(attempts=1).digest(at(faulty))
    assert caught.value.retry_after == expected


def test_a_cut_off_body_is_downloaded_again(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [cut_off, answer(200, WASM)]
    path = client().blob(at(faulty).repository, BLOB)
    assert path.read_bytes() == WASM
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_body_that_is_always_cut_off_leaves_nothing(faulty: FaultyRegistry, client, tmp_path: Path) -> None:
    faulty.answers = [cut_off]
    with pytest.raises(RegistryError, match="broke off") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert caught.value.reason is Reason.REGISTRY_UNAVAILABLE
    assert list((tmp_path / "cache" / "sha256").iterdir()) == []


# Failures that do not pass


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.REGISTRY_UNAVAILABLE),
        (403, Reason.REGISTRY_UNAUTHORIZED),
        (404, Reason.REFERENCE_NOT_FOUND),
        (418, Reason.REGISTRY_UNAVAILABLE),
    ],
)
def test_a_refusal_is_not_tried_again(faulty: FaultyRegistry, client, status: int, reason: Reason) -> None:
    faulty.answers = [answer(status, {"errors": [{"code": "SOME_CODE", "message": "s3cret"}]})]
    with pytest.raises(RegistryError, match=f"{status} SOME_CODE") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert caught.value.reason is reason
    assert "s3cret" not in str(caught.value)
    assert len(faulty.seen) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>s3cret</html>", b'{"errors": "s3cret"}', b'{"errors": []}', b'[{"code": "s3cret"}]',
     b"[" * 60_000,
     b'{"errors": [{"code": "lower s3cret"}]}', b"x" * 200_000],
)  # fmt: skip
def test_an_error_page_of_any_kind_is_not_repeated(faulty: FaultyRegistry, client, body: bytes) -> None:
    faulty.answers = [answer(404, body)]
    with pytest.raises(RegistryError, match="404: it does not exist") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("sent", [WASM[:-1] + b"y", WASM + b"y"])
def test_other_bytes_than_the_digests_are_never_used(faulty, client, tmp_path: Path, sent: bytes) -> None:
    faulty.answers = [answer(200, sent)]
    with pytest.raises(RegistryError, match="nothing of it is used") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert len(faulty.seen) == 1
    assert list((tmp_path / "cache" / "sha256").iterdir()) == []


def test_fewer_bytes_than_promised_by_the_descriptor(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(200, WASM[:100])]
    with pytest.raises(RegistryError, match="100 bytes instead of 100008") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_body_without_end_is_left_at_the_size_of_the_descriptor(faulty: FaultyRegistry, client) -> None:
    stopped = threading.Event()

    def endless(handler: QuietHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            stopped.set()

    faulty.answers = [endless]
    with pytest.raises(RegistryError, match="more than the 100008 bytes"):
        client().blob(at(faulty).repository, BLOB)
    assert stopped.wait(10)


def test_a_manifest_without_end_is_too_large(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(200, b"{" + b" " * 10_000)]
    with pytest.raises(ComponentError, match="larger than 5000 bytes") as caught:
        client(max_manifest_bytes=5000).artifact(at(faulty).pinned(BLOB.digest))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_compressed_answer_is_refused(faulty: FaultyRegistry, client) -> None:
    # A bomb of a few bytes must not become gigabytes on the way.
    faulty.answers = [answer(200, WASM, Content_Encoding="gzip")]
    with pytest.raises(RegistryError, match="encodes its answer although the request did not allow it"):
        client().blob(at(faulty).repository, BLOB)
    assert faulty.seen[0][2]["Accept-Encoding"] == "identity"


def test_a_pinned_manifest_must_be_what_it_is_pinned_to(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [manifest]
    wrong = at(faulty).pinned(Digest("sha256:" + "0" * 64))
    with pytest.raises(RegistryError) as caught:
        client().digest(wrong)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    with pytest.raises(RegistryError) as caught:
        client().artifact(wrong)
    assert caught.value.reason is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "headers", [{}, {"Docker-Content-Digest": "sha512:abc"}, {"Docker-Content-Digest": "x"}]
)
def test_a_head_without_a_digest_is_followed_by_a_get(faulty: FaultyRegistry, client, headers: dict) -> None:
    faulty.answers = [lambda handler: handler.reply(200, MANIFEST, headers)]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)
    assert [method for method, _, _ in faulty.seen] == ["HEAD", "GET"]


def test_a_registry_without_head(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(405), manifest]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)


def test_a_web_page_is_no_registry(faulty: FaultyRegistry, client) -> None:
    page = b"<!DOCTYPE html><title>Sign in</title>"
    faulty.answers = [answer(200, page, Content_Type="text/html; charset=utf-8")]
    with pytest.raises(RegistryError, match="web page; is it a registry"):
        client().digest(at(faulty))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"layers": [1]}',
        b'{"layers": [{}]}',
        b'{"layers": {}}',
        b'{"manifests": [{"digest": "sha256:x", "size": 1}]}',
        b'{"layers": [{"digest": "../../etc/passwd", "size": 1}]}',
        b'{"layers": [{"digest": "sha256:' + b"0" * 64 + b'", "size": -1}]}',
        b'{"layers": [{"digest": "sha256:' + b"0" * 64 + b'", "size": true}]}',
        b'{"manifests": []}',
    ],
)
def test_a_manifest_of_another_kind_is_the_artifacts_fault(
    faulty: FaultyRegistry, client, raw: bytes
) -> None:
    faulty.answers = [answer(200, raw)]
    with pytest.raises(ComponentError, match="acme/weather") as caught:
        client().artifact(at(faulty).pinned(Digest(digest_of(raw))))
    assert caught.value.reason is Reason.UNSUPPORTED_ARTIFACT


# Time


def test_silence_ends_with_the_timeout(faulty: FaultyRegistry, client) -> None:
    release = threading.Event()
    faulty.answers = [lambda handler: (release.wait(30), hang_up(handler))]
    with pytest.raises(RegistryError, match="does not answer in time"):
        client(exchange_seconds=0.5, attempts=2).digest(at(faulty))
    release.set()


def test_a_dripping_body_ends_with_the_deadline(faulty: FaultyRegistry, client) -> None:
    ended = threading.Event()

    def drip(handler: QuietHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(WASM)))
        handler.end_headers()
        try:
            while not ended.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            ended.set()

    faulty.answers = [drip]
    with pytest.raises(RegistryError, match="the transfer takes too long"):
        client(exchange_seconds=0.5, transfer_seconds=0.5, attempts=1).blob(at(faulty).repository, BLOB)
    ended.set()


def test_a_registry_that_is_not_there(client, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RegistryError, match="does not accept connections"):
        client(host, attempts=2, developing=True).digest(parse_reference(f"{host}/a/b:1"))
    with pytest.raises(RegistryError, match="name cannot be resolved"):
        client(attempts=1, developing=True).digest(parse_reference("registry.invalid/a/b:1"))


# Redirects


def test_a_blob_may_be_elsewhere_and_the_login_stays_here(faulty, other, client) -> None:
    challenge = answer(401, WWW_Authenticate='Basic realm="tests"')
    faulty.answers = [challenge, answer(307, Location=f"http://{other.host}/bucket/blob?signature=s3cret")]
    other.answers = [answer(200, WASM)]
    login = Credentials.from_login(faulty.host, Login(USER, PASSWORD))
    assert client(other.host, credentials=login).blob(at(faulty).repository, BLOB).read_bytes() == WASM
    assert faulty.seen[-1][2]["Authorization"].startswith("Basic ")
    assert [path for _, path, _ in other.seen] == ["/bucket/blob?signature=s3cret"]
    assert "Authorization" not in other.seen[0][2]


def test_a_redirect_on_the_same_host_keeps_the_login(faulty: FaultyRegistry, client) -> None:
    challenge = answer(401, WWW_Authenticate='Basic realm="tests"')
    faulty.answers = [challenge, answer(302, Location="/elsewhere"), answer(200, WASM)]
    login = Credentials.from_login(faulty.host, Login(USER, PASSWORD))
    client(credentials=login).blob(at(faulty).repository, BLOB)
    assert "Authorization" in faulty.seen[-1][2]


def test_a_signed_url_is_not_shown_when_it_fails(faulty, other, client) -> None:
    faulty.answers = [answer(307, Location=f"http://{other.host}/blob?signature=s3cret")]
    other.answers = [hang_up]
    with pytest.raises(RegistryError) as caught:
        client(other.host, attempts=2).blob(at(faulty).repository, BLOB)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data", "http://user:s3cret@{host}/", "file:///etc/passwd", "ftp://x/y",
     "http://[::1", "http://x:99999/"],
)  # fmt: skip
def test_redirects_lead_only_to_https(faulty: FaultyRegistry, client, location: str) -> None:
    faulty.answers = [answer(307, Location=location.format(host=faulty.host))]
    with pytest.raises(RegistryError, match=r"not HTTPS|an unusable URL") as caught:
        client().blob(at(faulty).repository, BLOB)
    assert "s3cret" not in str(caught.value)
    assert len(faulty.seen) == 1


def test_a_redirects_body_is_not_read(faulty: FaultyRegistry, client) -> None:
    def endless(handler: QuietHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "/there")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    faulty.answers = [endless, answer(200, WASM)]
    started = time.monotonic()
    assert client().blob(at(faulty).repository, BLOB).read_bytes() == WASM
    assert time.monotonic() - started < 5


def test_a_redirect_in_circles_ends(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(307, Location="/v2/again")]
    with pytest.raises(RegistryError, match="redirects more than 5 times"):
        client().blob(at(faulty).repository, BLOB)
    assert len(faulty.seen) == 6


# Authentication


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Negotiate",
        "Bearer",
        'Bearer realm=""',
        'Bearer realm="/token"',
        'Bearer realm="ftp://x"',
        'Basic realm="x"',
        '"', ",,,=", "Bearer " + "a=b," * 10_000,
    ],
)  # fmt: skip
def test_an_unusable_challenge_ends_at_once(faulty: FaultyRegistry, client, header: str) -> None:
    faulty.answers = [answer(401, WWW_Authenticate=header)]
    with pytest.raises(RegistryError):
        client().digest(at(faulty))
    assert len(faulty.seen) == 1


def test_a_challenge_with_several_schemes_and_quoted_commas(faulty: FaultyRegistry, client) -> None:
    realm = f"http://{faulty.host}/token"
    bearer = f'Bearer realm="{realm}", service="a \\"b\\", c",scope="repository:x:pull"'
    header = f'Negotiate, {bearer}, Basic realm="b"'
    faulty.answers = [answer(401, WWW_Authenticate=header), answer(200, {"access_token": "abc"}), manifest]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)
    assert "service=a+%22b%22%2C+c" in faulty.seen[1][1]
    assert faulty.seen[2][2]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}', b'{"token": 7}',
     b'{"token": "x", "expires_in": "soon"}', b"x" * 100_000, b"[" * 60_000],
)  # fmt: skip
def test_a_token_server_that_gives_no_token(faulty: FaultyRegistry, client, body: bytes) -> None:
    header = f'Bearer realm="http://{faulty.host}/token",service="s"'
    faulty.answers = [answer(401, WWW_Authenticate=header), answer(200, body)]
    with pytest.raises(RegistryError, match="holds no token"):
        client().digest(at(faulty))


def test_a_token_server_that_is_down_is_tried_again(faulty: FaultyRegistry, client) -> None:
    header = f'Bearer realm="http://{faulty.host}/token",service="s"'
    challenge = answer(401, WWW_Authenticate=header)
    faulty.answers = [challenge, answer(503), challenge, answer(200, {"token": "abc"}), manifest]
    assert client().digest(at(faulty)) == digest_of(MANIFEST)


def test_a_login_never_follows_a_token_servers_redirect(faulty, other, client) -> None:
    header = f'Bearer realm="http://{faulty.host}/token",service="s"'
    faulty.answers = [
        answer(401, WWW_Authenticate=header),
        answer(307, Location=f"http://{other.host}/token"),
        manifest,
    ]
    other.answers = [answer(200, {"token": "abc"})]
    login = Credentials.from_login(faulty.host, Login(USER, PASSWORD))
    client(other.host, credentials=login).digest(at(faulty))
    assert "Authorization" in faulty.seen[1][2]
    assert "Authorization" not in other.seen[0][2]


def test_a_token_that_is_refused_ends_after_one_more(faulty: FaultyRegistry, client) -> None:
    header = f'Bearer realm="http://{faulty.host}/token",service="s"'
    faulty.answers = [answer(401, {"token": "s3cret"}, WWW_Authenticate=header)]
    faulty.answers = [
        lambda handler: (
            handler.reply(200, {"token": "s3cret"})
            if handler.path.startswith("/token")
            else handler.reply(401, b"", {"WWW-Authenticate": header})
        )
    ]
    with pytest.raises(RegistryError) as caught:
        client().digest(at(faulty))
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
    assert "s3cret" not in str(caught.value)
    assert len(faulty.seen) == 3


def test_netrc_is_not_read(faulty: FaultyRegistry, client, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password s3cret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    faulty.answers = [manifest]
    client().digest(at(faulty))
    assert "Authorization" not in faulty.seen[0][2]


def test_cookies_are_not_kept(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [answer(503, Set_Cookie="a=b"), manifest]
    client().digest(at(faulty))
    assert "Cookie" not in faulty.seen[1][2]


# Proxies and limits


@pytest.mark.parametrize("by", ["environment", "settings"])
def test_requests_go_through_the_proxy(faulty, other, client, monkeypatch, by: str) -> None:
    other.answers = [manifest]
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxies = None
    if by == "environment":
        monkeypatch.setenv("http_proxy", f"http://{other.host}")
    else:
        proxies = {"http": f"http://{other.host}"}
    registry = client("registry.test:5000", proxies=proxies)
    assert registry.digest(parse_reference("registry.test:5000/acme/weather:1")) == digest_of(MANIFEST)
    assert other.seen[0][1] == "http://registry.test:5000/v2/acme/weather/manifests/1"


def test_one_registry_gets_a_bounded_number_of_requests_at_once(faulty: FaultyRegistry, client) -> None:
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def slow(handler: QuietHandler) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
        full.wait(5)
        with lock:
            running -= 1
        manifest(handler)

    faulty.answers = [slow]
    registry = client(connections=3)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: registry.digest(at(faulty, f"acme/tool{n}:1")), range(12)))
    assert set(found) == {digest_of(MANIFEST)}
    assert most == 3


# Pushing


def image() -> OciImage:
    return OciImage(MANIFEST, Digest(digest_of(MANIFEST)), b"{}", b'{"spin_lock_version":1}', ())


def pushing(**changes: Answer) -> Answer:
    """A registry that takes everything, except for what `changes` says, by method and kind."""
    stored: set[str] = set()

    def handle(handler: QuietHandler) -> None:
        kind = "manifest" if "/manifests/" in handler.path else "blob"
        name = f"{handler.command}_{kind}"
        if name in changes:
            changes[name](handler)
        elif name == "HEAD_manifest":
            manifest(handler) if "manifest" in stored else handler.reply(404)
        elif name == "HEAD_blob":
            handler.reply(404)
        elif name == "POST_blob":
            handler.reply(202, b"", {"Location": "/upload/1?state=a%2Bb"})
        else:
            stored.add(kind)
            handler.reply(201)

    return handle


def test_an_upload_goes_where_the_registry_says(faulty: FaultyRegistry, client) -> None:
    faulty.answers = [pushing()]
    assert client().push(image(), at(faulty)).uploaded_bytes == len(MANIFEST) + 2 + 23
    puts = [path for method, path, _ in faulty.seen if method == "PUT"]
    assert puts[0] == f"/upload/1?state=a%2Bb&digest={digest_of(b'{}').replace(':', '%3A')}"
    assert puts[-1] == "/v2/acme/weather/manifests/1"


def test_an_upload_elsewhere_gets_no_login(faulty, other, client) -> None:
    other.answers = [answer(201)]
    elsewhere = answer(202, Location=f"http://{other.host}/bucket?signature=s3cret")
    login = Credentials.from_login(faulty.host, Login(registry_token="t0ken"))
    faulty.answers = [pushing(POST_blob=elsewhere)]
    client(other.host, credentials=login).push(image(), at(faulty))
    assert len(other.seen) == 2
    assert all("Authorization" not in headers for _, _, headers in other.seen)


def test_a_failed_upload_begins_anew(faulty: FaultyRegistry, client) -> None:
    failures = iter([hang_up, answer(503), answer(201), answer(201)])

    def fail_first(handler: QuietHandler) -> None:
        next(failures)(handler)

    faulty.answers = [pushing(PUT_blob=fail_first)]
    assert client().push(image(), at(faulty)).pushed
    assert [method for method, path, _ in faulty.seen if method == "POST"] == ["POST"] * 4


@pytest.mark.parametrize(
    ("changes", "reason", "why"),
    [
        ({"POST_blob": answer(404)}, Reason.PUBLISH_FAILED, "404"),
        ({"POST_blob": answer(202)}, Reason.REGISTRY_UNAVAILABLE, "does not say where"),
        ({"POST_blob": answer(403)}, Reason.REGISTRY_UNAUTHORIZED, "403"),
        ({"PUT_blob": answer(400)}, Reason.REGISTRY_UNAVAILABLE, "400"),
        ({"PUT_blob": answer(500)}, Reason.REGISTRY_UNAVAILABLE, "500"),
        ({"PUT_manifest": answer(400)}, Reason.PUBLISH_FAILED, "refuses the manifest"),
        ({"PUT_manifest": answer(413)}, Reason.PUBLISH_FAILED, "refuses the manifest"),
        (
            {"PUT_manifest": answer(201, Docker_Content_Digest="sha256:" + "0" * 64)},
            Reason.DIGEST_MISMATCH,
            "the registry stored",
        ),
        ({"HEAD_manifest": answer(404)}, Reason.PUBLISH_FAILED, "took the manifest and does not have it"),
    ],
)
def test_what_hinders_publishing(
    faulty, client, changes: dict[str, Answer], reason: Reason, why: str
) -> None:
    faulty.answers = [pushing(**changes)]
    with pytest.raises(RegistryError, match=why) as caught:
        client(attempts=2).push(image(), at(faulty))
    assert caught.value.reason is reason


def test_no_error_shows_a_credential(faulty: FaultyRegistry, client) -> None:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def echo(handler: QuietHandler) -> None:
        if "Authorization" not in handler.headers:
            handler.reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            return
        text = f"{handler.headers['Authorization']} {PASSWORD}"
        handler.reply(statuses.pop(0), {"errors": [{"code": text, "message": text}]}, {"X-Echo": text})

    login = Credentials.from_login(faulty.host, Login(USER, PASSWORD))
    for status in (400, 401, 403, 404, 429, 500):
        statuses = [status] * 10
        faulty.answers = [echo]
        with pytest.raises(FtlError) as caught:
            client(credentials=login, attempts=2).digest(at(faulty))
        shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        assert PASSWORD not in shown
        assert basic not in shown
