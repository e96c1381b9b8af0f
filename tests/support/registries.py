"""Real registry processes for tests: Debian's `docker-registry`, open or with basic, token or TLS.

`FaultyRegistry` at the end is the one double: it does on purpose what a real registry does on a bad day.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import http.server
import ipaddress
import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WASM_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD = "ann", "s3cret-pass-word"


def need(program: str) -> str:
    """The path of a program that the tests run. Where CI is set its absence fails, elsewhere it skips."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed (Debian: docker-registry, apache2-utils)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


@dataclass
class LiveRegistry:
    """A running registry: its `host:port`, its scheme, and how the tests themselves log in to fill it."""

    host: str
    scheme: str = "http"
    auth: Callable[[str], dict[str, str]] = lambda repository: {}
    verify: str | bool = True
    log: list[str] = field(default_factory=list)

    def request(self, method: str, repository: str, path: str, **kwargs: object) -> requests.Response:
        url = path if path.startswith("http") else f"{self.scheme}://{self.host}/v2/{repository}/{path}"
        headers = {**self.auth(repository), **kwargs.pop("headers", {})}
        return requests.request(method, url, headers=headers, verify=self.verify, timeout=60, **kwargs)

    def put_blob(self, repository: str, raw: bytes) -> str:
        opened = self.request("POST", repository, "blobs/uploads/")
        location = opened.headers["Location"]
        url = f"{location}{'&' if '?' in location else '?'}digest={digest_of(raw)}"
        put = self.request("PUT", repository, url, data=raw)
        assert put.status_code == 201, put.text
        return digest_of(raw)

    def put_manifest(
        self, repository: str, tag: str, document: dict | bytes, media_type: str = IMAGE_MANIFEST
    ) -> str:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        put = self.request(
            "PUT", repository, f"manifests/{tag}", data=raw, headers={"Content-Type": media_type}
        )
        assert put.status_code == 201, put.text
        return digest_of(raw)

    def put_artifact(self, repository: str, tag: str, layers: list[tuple[str, bytes, str]]) -> str:
        """Push layers (media type, bytes, title) under a tag; returns the manifest's digest."""
        config = b"{}"
        self.put_blob(repository, config)
        entries = []
        for media_type, raw, title in layers:
            self.put_blob(repository, raw)
            entry = {"mediaType": media_type, "digest": digest_of(raw), "size": len(raw)}
            if title:
                entry["annotations"] = {"org.opencontainers.image.title": title}
            entries.append(entry)
        document = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": digest_of(config),
                "size": 2,
            },
            "layers": entries,
        }
        return self.put_manifest(repository, tag, document)

    def mark(self) -> int:
        """A place in the log after which only later requests are."""
        end = secrets.token_hex(8)
        requests.get(f"{self.scheme}://{self.host}/v2/?{end}", verify=self.verify, timeout=60)
        deadline = time.monotonic() + 20
        while not any(end in line for line in self.log[-100:]):
            assert time.monotonic() < deadline, "the registry's log does not come"
            time.sleep(0.005)
        return len(self.log)

    def requests_since(self, mark: int) -> list[tuple[str, str, int]]:
        """Method, path and status of the requests of the client under test that were logged after `mark`."""
        found = []
        for line in self.log[mark : self.mark()]:
            match = re.search(r'"([A-Z]+) (/\S*) HTTP/1\.1" (\d{3}) .*"ftl-operator"', line)
            if match:
                found.append((match[1], match[2], int(match[3])))
        return found


@contextlib.contextmanager
def run_registry(
    folder: Path, *, tls: tuple[Path, Path] | None = None, auth: str = ""
) -> Iterator[LiveRegistry]:
    """Start a registry on a free port of 127.0.0.1 and stop it at the end.

    `auth` is the `auth:` part of its configuration, as YAML.
    """
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    tls_part = f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}\n" if tls else ""
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: info, accesslog: {disabled: false}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http:\n  addr: 127.0.0.1:0\n  secret: {secrets.token_hex(8)}\n{tls_part}{auth}"
    )
    process = subprocess.Popen(
        [program, "serve", str(folder / "config.yml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )
    lines: list[str] = []
    ready: queue.Queue[str] = queue.Queue()

    def read_log() -> None:
        for line in process.stdout:
            lines.append(line)
            if match := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                ready.put(match[1])
        ready.put("")

    reader = threading.Thread(target=read_log, daemon=True)
    reader.start()
    try:
        host = ready.get(timeout=120)
        assert host, "the registry ended:\n" + "".join(lines)
        yield LiveRegistry(host, "https" if tls else "http", log=lines)
    finally:
        process.terminate()
        process.wait(timeout=60)
        reader.join(timeout=60)


@contextlib.contextmanager
def run_basic_registry(folder: Path) -> Iterator[LiveRegistry]:
    """A registry that wants USER and PASSWORD by Basic authentication."""
    folder.mkdir(parents=True, exist_ok=True)
    line = subprocess.run([need("htpasswd"), "-Bbn", USER, PASSWORD], capture_output=True, check=True).stdout
    (folder / "htpasswd").write_bytes(line)
    auth = f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}\n"
    with run_registry(folder, auth=auth) as registry:
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        registry.auth = lambda repository: {"Authorization": f"Basic {basic}"}
        yield registry


@dataclass
class TokenServer:
    """A token server as the distribution project specifies it; its JWTs are real and verified.

    USER may do everything in every repository; an anonymous caller may pull from `public/...`.
    """

    url: str = ""
    lifetime: int = 60
    seen: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    """Method, who asked (a user, `refresh`, or empty), and the scopes, of every request."""
    refresh_token: str = "refresh-me-0123456789"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = None

    def token(self, who: str, scopes: tuple[str, ...], service: str) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [a for a in actions.split(",") if who or (a == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": who,
            "aud": service,
            "exp": now + self.lifetime,
            "nbf": now - 5,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"x5c": [der]})


@contextlib.contextmanager
def run_token_server() -> Iterator[TokenServer]:
    state = TokenServer()
    state.certificate = certificate_for(state.key, "token-server", state.key, None)

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            who = ""
            if header := self.headers.get("Authorization"):
                who, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
                if (who, password) != (USER, PASSWORD):
                    self.reply(401, {"errors": [{"code": "UNAUTHORIZED"}]})
                    return
            scopes = tuple(scope for value in query.get("scope", []) for scope in value.split())
            state.seen.append(("GET", who, scopes))
            body = {"token": state.token(who, scopes, query["service"][0]), "expires_in": state.lifetime}
            self.reply(200, body)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            scopes = tuple(form["scope"][0].split())
            state.seen.append(("POST", "refresh", scopes))
            if form["refresh_token"] != [state.refresh_token] or form["grant_type"] != ["refresh_token"]:
                self.reply(401, {})
                return
            token = state.token(USER, scopes, form["service"][0])
            self.reply(200, {"access_token": token, "expires_in": state.lifetime})

    with run_server(Handler) as host:
        state.url = f"http://{host}/token"
        yield state


@contextlib.contextmanager
def run_token_registry(folder: Path, server: TokenServer) -> Iterator[LiveRegistry]:
    """A registry that wants tokens of `server`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root.pem").write_bytes(server.certificate.public_bytes(serialization.Encoding.PEM))
    auth = (
        f"auth: {{token: {{realm: '{server.url}', service: registry, issuer: tests, "
        f"rootcertbundle: {folder / 'root.pem'}}}}}\n"
    )
    with run_registry(folder, auth=auth) as registry:
        registry.auth = lambda repository: {
            "Authorization": "Bearer "
            + server.token(USER, (f"repository:{repository}:pull,push",), "registry")
        }
        yield registry


@contextlib.contextmanager
def run_tls_registry(folder: Path) -> Iterator[tuple[LiveRegistry, Path]]:
    """A registry with a certificate of a CA of its own; gives the CA's PEM file too."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = certificate_for(ca_key, "tests CA", ca_key, None)
    certificate = certificate_for(key, "127.0.0.1", ca_key, ca)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "tls.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    with run_registry(folder, tls=(folder / "tls.pem", folder / "key.pem")) as registry:
        registry.verify = str(folder / "ca.pem")
        yield registry, folder / "ca.pem"


def certificate_for(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    signer: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate | None,
) -> x509.Certificate:
    """A certificate for 127.0.0.1; with no `ca` a self-signed authority."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
    )
    if ca:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signer, hashes.SHA256())


class QuietHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def reply(self, status: int, body: dict | bytes = b"", headers: dict[str, str] | None = None) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)


@contextlib.contextmanager
def run_server(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda request, address: (
        None
    )  # a client that leaves early is what some tests are about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


Answer = Callable[[QuietHandler], None]


@dataclass
class FaultyRegistry:
    """Answers each request with the next of `answers`; the last one is repeated."""

    host: str = ""
    answers: list[Answer] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of every request."""


@contextlib.contextmanager
def run_faulty_registry() -> Iterator[FaultyRegistry]:
    state = FaultyRegistry()

    class Handler(QuietHandler):
        def answer(self) -> None:
            if length := int(self.headers.get("Content-Length") or 0):
                self.rfile.read(length)
            state.seen.append((self.command, self.path, dict(self.headers)))
            (state.answers.pop(0) if len(state.answers) > 1 else state.answers[0])(self)

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

    with run_server(Handler) as host:
        state.host = host
        yield state
