"""A token issuer on loopback with TLS from its own authority; a test can set each of its answers."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

HOST = "login.acme.test"
"""Resolved to loopback by the tests' own look-up."""

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
WEAK_RSA = rsa.generate_private_key(65537, 1024)


def jwk(algorithm: str, key: Any = None, **members: Any) -> dict[str, Any]:
    """A public JWK."""
    converter = jwt.get_algorithm_by_name(algorithm)
    text = converter.to_jwk((key or KEYS[algorithm]).public_key())
    document: dict[str, Any] = json.loads(text)
    document.pop("key_ops", None)
    return {**document, "kid": algorithm.lower(), "use": "sig", **members}


@dataclass
class Answer:
    """What one path answers with."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0
    """Pause after each byte."""


@dataclass
class LiveIssuer:
    """A running issuer: its URL, its CA file, its answers by path, and the paths that were asked for."""

    url: str
    port: int
    ca_file: Path | None
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    seen_hosts: list[str] = field(default_factory=list)

    def document(self, path: str, document: object) -> None:
        self.answers[path] = Answer(json.dumps(document).encode())

    def publish(self, *keys: dict[str, Any], issuer: str | None = None, **members: Any) -> None:
        """OpenID Connect metadata and these keys."""
        self.document(
            "/.well-known/openid-configuration",
            {"issuer": issuer or self.url, "jwks_uri": f"{self.url}/keys", **members},
        )
        self.document("/keys", {"keys": list(keys)})


@contextmanager
def live_issuer(directory: Path, *, tls: bool = True) -> Iterator[LiveIssuer]:
    """Run an issuer while the body runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_address[1]
    ca_file = None
    if tls:
        ca_file, certificate = _certificates(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://{HOST}:{port}" if tls else f"http://127.0.0.1:{port}"
    issuer = LiveIssuer(url, port, ca_file)
    server.RequestHandlerClass = _handler(issuer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()


def look_up(address: str = "127.0.0.1") -> Callable[[str, int], list[str]]:
    """A look-up that knows the issuer's name only."""

    def find(host: str, _port: int) -> list[str]:
        if host not in (HOST, "127.0.0.1"):
            raise OSError(host)
        return [address]

    return find


def _handler(issuer: LiveIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.seen_hosts.append(self.headers["Host"])
            answer = issuer.answers.get(self.path, Answer(b"not here", 404))
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if not answer.drip_seconds:
                    self.wfile.write(answer.body)
                for byte in answer.body if answer.drip_seconds else b"":
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(answer.drip_seconds)
            except OSError:
                pass  # the client left, as a bounded one does

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _certificates(directory: Path) -> tuple[Path, Path]:
    now = dt.datetime.now(dt.UTC)

    def build(subject: str, issuer: str, public_key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    ca_key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = (
        build("test authority", "test authority", ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName(HOST), x509.IPAddress(ipaddress.IPv4Address("10.9.8.7"))]
    )
    leaf = (
        build(HOST, "test authority", key.public_key())
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    chain = directory / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
    return ca_file, chain
