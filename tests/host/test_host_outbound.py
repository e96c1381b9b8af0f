"""Requests that leave the application: allowed hosts, and how requests and answers are transferred."""

import datetime as dt
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import Running, Start
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.errors import SpecError
from ftl_operator.host.http.client import Client
from ftl_operator.host.spin.allowed_hosts import AllowedHosts, HostRuleError, parse_rule, parse_target

# rule, URL, whether Spin's rules allow it
TABLE = [
    ("https://api.example", "https://api.example/x", True),
    ("https://api.example", "https://API.Example:443/x", True),
    ("https://api.example", "http://api.example/", False),
    ("https://api.example", "https://api.example:8443/", False),
    ("https://api.example", "https://www.api.example/", False),
    ("https://api.example", "https://api.example.evil/", False),
    ("https://api.example:8443", "https://api.example:8443/", True),
    ("https://api.example:8443", "https://api.example/", False),
    ("https://api.example:*", "https://api.example:1/", True),
    ("https://api.example:8000..8002", "https://api.example:8001/", True),
    ("https://api.example:8000..8002", "https://api.example:8002/", False),
    ("https://api.example:8000..8002", "https://api.example:7999/", False),
    ("*://api.example:*", "http://api.example:81/", True),
    ("*://api.example:80", "http://api.example/", True),
    ("*://api.example:80", "https://api.example/", False),
    ("https://*.example", "https://a.example/", True),
    ("https://*.example", "https://a.b.example/", True),
    ("https://*.example", "https://example/", False),
    ("https://*.example", "https://anexample/", False),
    ("https://*", "https://anything.test/", True),
    ("https://*", "http://anything.test/", False),
    ("*://*:*", "http://127.0.0.1:9/", True),
    ("http://127.0.0.0/8:*", "http://127.3.2.1:99/", True),
    ("http://127.0.0.0/8:*", "http://128.0.0.1:99/", False),
    ("http://10.0.0.1", "http://10.0.0.1/", True),
    ("http://10.0.0.1", "http://10.0.0.2/", False),
    ("http://[::1]", "http://[::1]/", True),
    ("http://[::1]:8080", "http://[::1]:8080/", True),
    ("http://[::1]:8080", "http://[::1]/", False),
    ("http://self", "http://self/", False),
    ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example/", True),
    (" https://api.example/ ", "https://api.example/", True),
    ("https://api.example:8443/", "https://api.example:8443/", True),
    ("http://back.spin.internal", "http://back.spin.internal/", True),
    ("http://back.spin.internal", "http://BACK.Spin.Internal/", True),
    ("http://*.spin.internal", "http://back.spin.internal/", False),
    ("http://*.internal", "http://back.spin.internal/", False),
    ("*://*:*", "http://back.spin.internal/", False),
    ("https://back.spin.internal", "http://back.spin.internal/", False),
]


@pytest.mark.parametrize(("rule", "url", "allowed"), TABLE)
def test_hosts_are_allowed_as_spin_allows_them(rule: str, url: str, *, allowed: bool) -> None:
    scheme, _, rest = url.partition("://")
    target = parse_target(scheme, rest.partition("/")[0])
    assert target is not None
    assert AllowedHosts([parse_rule(rule)]).allows(target) is allowed


@pytest.mark.parametrize(
    "rule",
    ["", "*", "api.example", "https://", "https://api.example/path", "https://a*.example", "https://*.*.example",
     "https://api.example:port", "https://api.example:70000", "https://api.example:{80,81}", "ht-tp://x", "ftp://x",
     "*://api.example", "https://{a,b}.example", "https://a b", "https://*.10.0.0.1", "https://user@x",
     "http://GATEWAY.spin.internal", "http://*.Spin.internal", "http://bücher.example"],
)  # fmt: skip
def test_rules_that_spin_refuses_are_refused(rule: str) -> None:
    with pytest.raises(HostRuleError):
        parse_rule(rule)


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ("http://self", True),
        ("https://self", True),
        ("*://self:*", True),
        ("https://*", True),
        ("http://a", False),
    ],
)
def test_the_application_itself_is_a_target_of_its_own(rule: str, *, allowed: bool) -> None:
    assert AllowedHosts([parse_rule(rule)]).allows_self() is allowed


label = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(st.lists(label, min_size=1, max_size=4), st.integers(1, 65535))
def test_a_literal_rule_allows_exactly_its_host_and_port(labels: list[str], port: int) -> None:
    host = ".".join(labels)
    allowed = AllowedHosts([parse_rule(f"https://{host}:{port}")])
    for other, number, expected in [
        (host, port, True),
        (f"x{host}", port, False),
        (host, port % 65535 + 1, False),
    ]:
        target = parse_target("https", f"{other}:{number}")
        assert target is not None
        assert allowed.allows(target) is expected


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_an_error(text: str) -> None:
    try:
        parse_rule(text)
    except HostRuleError:
        return


@given(st.text(max_size=40))
def test_any_authority_is_a_target_or_none(text: str) -> None:
    target = parse_target("http", text)
    assert target is None or target.host


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.answer(302, b"", [("location", "/elsewhere")])
        elif self.path.startswith("/slow-head"):
            time.sleep(1.5)
            self.answer(200, b"late")
        elif self.path == "/slow-body":
            self.send_response(200)
            self.send_header("content-length", "10")
            self.end_headers()
            self.wfile.write(b"begun")
            self.wfile.flush()
            time.sleep(1.5)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("content-length", "10")
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
        elif self.path == "/chunks":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for part in (b"one ", b"two"):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.answer(
                200, f"{self.command} {self.path} {self.headers['x-from']} {self.headers['host']}".encode()
            )

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answer(201, data, [("x-length", str(len(data)))])

    def answer(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in headers or []:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, which is its own authority, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return directory / "cert.pem", directory / "key.pem"


def listen(context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("localhost", 0), Echo)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    server = listen()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def secure(authority: tuple[Path, Path]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    server = listen(context)
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def out(start: Start, authority: tuple[Path, Path]) -> Running:
    trusted = ssl.create_default_context(cafile=str(authority[0]))
    grants = {"front": {"allowed_outbound_hosts": ["*://localhost:*", "*://127.0.0.1:*", "*://*.invalid:*"]}}
    return start(grants, client=Client(trusted))


def test_a_request_goes_out_and_its_answer_comes_back(out: Running, plain: str) -> None:
    host = plain.removeprefix("http://")
    assert out.get(f"/fetch?{plain}/path?q=1") == (200, f"GET /path?q=1 guest {host}".encode())


def test_bodies_are_streamed_out_and_back(out: Running, plain: str) -> None:
    data = bytes(range(256)) * 4096
    assert out.get(f"/fetch?{plain}/", "POST", data) == (201, b"x-length: 1048576\n" + data)
    assert out.get(f"/fetch?{plain}/chunks") == (200, b"one two")


def test_tls_is_verified(out: Running, secure: str, start: Start) -> None:
    assert out.get(f"/fetch?{secure}/x")[1].startswith(b"GET /x guest")
    stranger = start({"front": {"allowed_outbound_hosts": ["*://localhost:*"]}})
    assert stranger.get(f"/fetch?{secure}/x") == (500, b"ErrorCode::TlsCertificateError")
    other_name = secure.replace("localhost", "127.0.0.1")
    assert out.get(f"/fetch?{other_name}/x") == (500, b"ErrorCode::TlsCertificateError")


def test_the_guest_sees_a_redirect(out: Running, plain: str) -> None:
    assert out.get(f"/fetch?{plain}/redirect") == (302, b"")


def test_failures_have_the_codes_of_wasi_http(out: Running, plain: str) -> None:
    closed = listen()
    port = closed.server_port
    closed.server_close()
    closed.shutdown()
    assert out.get(f"/fetch?http://127.0.0.1:{port}/") == (500, b"ErrorCode::ConnectionRefused")
    assert b"DnsError" in out.get("/fetch?http://host.invalid:80/")[1]
    assert b"HttpResponseIncomplete" in out.get(f"/fetch?{plain}/short")[1]
    assert out.get("/fetch?http://example.test/") == (500, b"ErrorCode::HttpRequestDenied")
    assert b"Tls" in out.get(f"/fetch?https{plain.removeprefix('http')}/")[1]


def test_the_guests_timeouts_hold(out: Running, plain: str) -> None:
    before = time.monotonic()
    assert out.get(f"/fetch?timeout=200,{plain}/slow-head") == (500, b"ErrorCode::ConnectionReadTimeout")
    assert time.monotonic() - before < 1.4
    assert b"ConnectionReadTimeout" in out.get(f"/fetch?timeout=200,{plain}/slow-body")[1]


def test_several_requests_wait_together(out: Running, plain: str) -> None:
    before = time.monotonic()
    urls = ",".join([f"{plain}/slow-head"] * 4)
    assert out.get(f"/many?{urls}") == (200, b"late\n" * 4)
    assert time.monotonic() - before < 4


def test_an_optional_endpoint_may_be_empty(start: Start) -> None:
    grants = {"front": {"allowed_outbound_hosts": ["https://{{ host }}"]}}
    assert start(grants, declared={"host": {"default": ""}}).get("/hello")[0] == 200
    with pytest.raises(SpecError, match="component 'front', allowed_outbound_hosts"):
        start(grants, declared={"host": {"default": "a b"}})
