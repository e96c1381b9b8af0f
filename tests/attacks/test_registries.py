"""Attacks by a registry, or by the author of an FtlApp that names one, on the operator."""

import contextlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ftl_operator.errors import ComponentError, RegistryError
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.manifest import Manifest, choose_layer, parse_manifest
from ftl_operator.oci.reference import Digest, Repository, parse_reference
from ftl_operator.registry.client import Registry
from ftl_operator.registry.docker_config import Credentials, Login
from ftl_operator.registry.http import RegistrySettings
from ftl_operator.settings import Settings
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.raw_server import PAUSE, Script, deaf, run_raw_server, saying
from tests.support.registries import (
    IMAGE_MANIFEST,
    PASSWORD,
    USER,
    WASM_LAYER,
    FaultyRegistry,
    QuietHandler,
    digest_of,
    run_faulty_registry,
)

WASM = b"\0asm a private component"
LAYER = Descriptor(WASM_LAYER, Digest(digest_of(WASM)), len(WASM))
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": {"mediaType": "application/x", "digest": digest_of(b"{}"), "size": 2},
        "layers": [{"mediaType": WASM_LAYER, "digest": LAYER.digest, "size": LAYER.size}],
    }
).encode()
NO_WORD = "the registry cannot be reached, does not answer in time, or does not speak HTTPS"

Handler = Callable[[QuietHandler], None]


def serve(handler: QuietHandler) -> None:
    """A registry that has the private component, whatever the repository is called."""
    if "/manifests/" in handler.path:
        handler.reply(200, MANIFEST, {"Docker-Content-Digest": digest_of(MANIFEST)})
    elif handler.path.endswith((LAYER.digest, "/led")):
        handler.reply(200, WASM)
    else:
        handler.reply(404)


def for_ann(handler: QuietHandler) -> None:
    """The same, for one user only."""
    if handler.headers.get("Authorization") == Login(USER, PASSWORD).basic:
        serve(handler)
    else:
        handler.reply(401, {}, {"WWW-Authenticate": 'Basic realm="r"'})


@contextlib.contextmanager
def registries(*handlers: Handler) -> Iterator[tuple[FaultyRegistry, ...]]:
    with contextlib.ExitStack() as stack:
        made = []
        for handler in handlers:
            made.append(stack.enter_context(run_faulty_registry()))
            made[-1].answers = [handler]
        yield tuple(made)


@contextlib.contextmanager
def client(*plain: str, **changes: Any) -> Iterator[Registry]:
    with tempfile.TemporaryDirectory() as folder:
        values = {"plain_http": plain, "attempts": 1, "proxies": {}, **changes}
        yield Registry(RegistrySettings(Path(folder) / "cache", **values))


# Which registries are allowed (H2, M4)


def allows(case: tuple[tuple[str, ...], str]) -> bool:
    patterns, reference = case
    settings = RegistrySettings(Path("unused"), allowed=patterns)
    return settings.allows(parse_reference(reference).repository)


def sets(pattern: str) -> bool:
    return bool(Settings(allowed_registries=(pattern,)))


# What only others may read (M1)


def take_over(handler: Handler) -> bytes:
    """Ann reads her private component; then somebody else's registry is asked for it, with the same cache."""
    with registries(for_ann, handler) as (ann, other), client(ann.host, other.host) as registry:
        hers = registry.with_credentials(Credentials.from_login(ann.host, Login(USER, PASSWORD)))
        read(hers, ann.host)
        return read(registry, other.host)


def read_without(login: Login | None) -> bytes:
    """Ann reads her private component; then somebody asks for the same digest in her repository."""
    with registries(for_ann) as (ann,), client(ann.host) as registry:
        hers = registry.with_credentials(Credentials.from_login(ann.host, Login(USER, PASSWORD)))
        read(hers, ann.host)
        theirs = Credentials() if login is None else Credentials.from_login(ann.host, login)
        return registry.with_credentials(theirs).blob(Repository(ann.host, "a/b"), LAYER).read_bytes()


def may_be_told(login: Login | None) -> bool:
    """Whether what is known of Ann's component is told to who has this login."""
    with registries(for_ann) as (ann,), client(ann.host) as registry:
        hers = registry.with_credentials(Credentials.from_login(ann.host, Login(USER, PASSWORD)))
        read(hers, ann.host)
        theirs = Credentials() if login is None else Credentials.from_login(ann.host, login)
        repository = Repository(ann.host, "a/b")
        return registry.with_credentials(theirs).is_proven(repository, LAYER.digest)


def read(registry: Registry, host: str) -> bytes:
    reference = parse_reference(f"{host}/a/b:1")
    artifact = registry.artifact(reference.pinned(registry.digest(reference)))
    return registry.blob(reference.repository, artifact.layer).read_bytes()


def claims(handler: QuietHandler) -> None:
    """Claims to have every blob, and gives none."""
    if handler.command == "HEAD":
        handler.reply(200, b"", {"Docker-Content-Digest": digest_of(MANIFEST)})
    else:
        handler.reply(404)


def knows_the_manifest(handler: QuietHandler) -> None:
    """Has the manifest, which is not secret, but not the component."""
    if "/manifests/" in handler.path:
        serve(handler)
    else:
        handler.reply(200 if handler.command == "HEAD" else 404)


# Where a registry leads (M2, M4)


@dataclass(frozen=True)
class Lead:
    """A redirect of a registry: `{other}` is a host that the settings name, `{home}` the registry itself."""

    location: str
    settings: dict[str, Any] = field(default_factory=dict)


def redirected(lead: Lead) -> bytes:
    with registries(serve, serve) as (home, other):
        location = lead.location.format(other=other.host, home=home.host)

        def handler(request: QuietHandler) -> None:
            request.reply(307, b"", {"Location": location}) if "/v2/" in request.path else serve(request)

        home.answers = [handler]
        with client(home.host, other.host, **lead.settings) as registry:
            return registry.blob(Repository(home.host, "a/b"), LAYER).read_bytes()


def asked_for_a_token(lead: Lead) -> Digest:
    def tokens(request: QuietHandler) -> None:
        request.reply(200, {"token": "t"})

    with registries(serve, tokens) as (home, other):
        realm = lead.location.format(other=other.host, home=home.host)

        def handler(request: QuietHandler) -> None:
            if request.headers.get("Authorization"):
                serve(request)
            else:
                request.reply(401, {}, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

        home.answers = [handler]
        with client(home.host, other.host, **lead.settings) as registry:
            return registry.digest(parse_reference(f"{home.host}/a/b:1"))


def uploaded(lead: Lead) -> int:
    """How many bytes are sent to the host to which an upload is redirected."""

    def take(request: QuietHandler) -> None:
        request.reply(201)

    with registries(take, take) as (home, other):
        location = lead.location.format(other=other.host, home=home.host)

        def handler(request: QuietHandler) -> None:
            if request.command == "POST":
                request.reply(202, b"", {"Location": location})
            else:
                request.reply(404 if request.command == "HEAD" else 201)

        home.answers = [handler]
        with client(home.host, other.host, **lead.settings) as registry:
            return registry._upload(Repository(home.host, "a/b"), LAYER, lambda: WASM)


def private(host: str, port: int) -> list[str]:
    """The internal name `intern.test`, as the cluster's DNS has it."""
    return ["10.96.0.1"] if host == "intern.test" else ["93.184.216.34"]


# What the status says (M2)


def told_of(script: Script | None) -> str:
    """What an FtlApp's author reads of a host with a port of the cluster; None is a closed one.

    The same of all of them, so the twin is the closed one.
    """
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(run_raw_server(script or deaf))
        if script is None:
            stack.close()
        # The host is named, so that it may be private; its ports are not.
        changes = {"allowed": ("127.0.0.1",), "exchange_seconds": 1.0}
        with client(**changes) as registry, pytest.raises(RegistryError) as caught:
            registry.digest(parse_reference(f"127.0.0.1:{port}/a/b:1"))
        return str(caught.value).partition(": ")[2]


# How long a registry may take: H3


def resolved_within(case: tuple[Script | None, float]) -> Digest:
    """A registry that drips; None is a good one."""
    script, seconds = case
    with contextlib.ExitStack() as stack:
        if script is None:
            host = stack.enter_context(registries(serve))[0].host
        else:
            host = f"127.0.0.1:{stack.enter_context(run_raw_server(script))}"
        registry = stack.enter_context(client(host, exchange_seconds=seconds, attempts=4))
        return registry.digest(parse_reference(f"{host}/a/b:1"))


def led_within(case: tuple[str, float]) -> Digest:
    """A registry whose token server, or whose redirect's target, drips; `{good}` leads back."""
    answer, seconds = case
    with registries(serve) as (home,), run_raw_server(dripping) as slow:
        where = answer.format(slow=f"127.0.0.1:{slow}", good=home.host)
        location = where.partition(" ")[2]

        def handler(request: QuietHandler) -> None:
            if "/token" in request.path:
                request.reply(200, {"token": "t"})
            elif request.headers.get("Authorization") or "/led/" in request.path:
                serve(request)
            elif where.startswith("token"):
                request.reply(401, {}, {"WWW-Authenticate": f'Bearer realm="{location}"'})
            else:
                request.reply(307, b"", {"Location": location})

        home.answers = [handler]
        names = (home.host, f"127.0.0.1:{slow}")
        with client(*names, exchange_seconds=seconds, attempts=4) as registry:
            return registry.digest(parse_reference(f"{home.host}/a/b:1"))


def downloaded(seconds: float) -> bytes:
    """A blob whose bytes come one by one, from a registry that may be silent for so long."""
    pause = threading.Event()

    def drip(handler: QuietHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(LAYER.size))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for byte in WASM:
                handler.wfile.write(bytes([byte]))
                pause.wait(PAUSE)

    with registries(drip) as (home,), client(home.host, silence_seconds=seconds) as registry:
        return registry.blob(Repository(home.host, "a/b"), LAYER).read_bytes()


def dripping(connection: Any) -> None:
    saying(b"HTTP/1.1 200 OK\r\n", then=iter(lambda: b"X", b""), pause=PAUSE)(connection)


# Secrets


def login_of(entry: dict[str, Any]) -> Login | None:
    """The login that an entry of a pull Secret gives."""
    raw = json.dumps({"auths": {"reg.dev": entry}}).encode()
    return Credentials.from_dockerconfigjson(raw, "the Secret 'pull'").find(Repository("reg.dev", "a/b"))


def told(media_type: str) -> str:
    """What is said of an artifact whose only layer has a media type that is not WebAssembly's."""
    layer = {"mediaType": media_type, "digest": f"sha256:{'a' * 64}", "size": 1}
    found = parse_manifest(json.dumps({"layers": [layer]}).encode(), "reg.dev/a")
    assert isinstance(found, Manifest)
    with pytest.raises(ComponentError) as caught:
        choose_layer(found, None, "reg.dev/a")
    return str(caught.value)


def layers_beside(objects: int) -> int:
    """How many layers are found in a manifest that has so many small objects beside them."""
    layer = {"mediaType": "application/wasm", "digest": f"sha256:{'a' * 64}", "size": 1}
    found = parse_manifest(
        json.dumps({"layers": [layer], "notes": [{"": 0}] * objects}).encode(), "reg.dev/a"
    )
    assert isinstance(found, Manifest)
    return len(found.layers)


def complaint(key: str) -> str:
    """What is said of a pull Secret whose entry under this key cannot be read."""
    raw = json.dumps({"auths": {key: {"auth": "no base64!"}}}).encode()
    with pytest.raises(RegistryError) as caught:
        Credentials.from_dockerconfigjson(raw, "the Secret 'pull'")
    return str(caught.value)


ANN = Login(USER, PASSWORD)
LISTED = {"allowed": ("127.0.0.1",)}
NO_ADDRESS = "leads to no public address"
NOT_ALLOWED = "settings do not allow"

ROWS = [
    *(
        Attack(
            f"H2 {pattern} and {reference}",
            allows,
            ((pattern,), reference),
            lambda allowed: allowed is False,
            ((pattern,), twin),
            lambda allowed: allowed is True,
        )
        for pattern, reference, twin in (
            ("*.acme.dev", "evil.test:443/x/y.acme.dev:1", "reg.acme.dev:5000/x/y.acme.dev:1"),
            ("*.acme.dev", "evil.test/y.acme.dev/z:1", "a.b.acme.dev/z:1"),
            ("*.acme.dev", "evilacme.dev/x:1", "e.acme.dev/x:1"),
            ("ghcr.io", "ghcr.io.evil.test/x:1", "GHCR.io/x:1"),
            ("ghcr.io", "evil.test/ghcr.io/x:1", "ghcr.io/evil.test/x:1"),
            ("ghcr.io:443", "ghcr.io:8443/x:1", "ghcr.io/x:1"),
        )
    ),
    *(
        Attack(f"H2 pattern {pattern}", sets, pattern, "is not a pattern of hosts", twin)
        for pattern, twin in (
            ("ghcr.io/acme", "ghcr.io"),
            ("*acme.dev", "*.acme.dev"),
            ("https://ghcr.io", "ghcr.io:443"),
            ("straße.test", "xn--strae-oqa.test"),
        )
    ),
    Attack(
        "M4 reference straße.test",
        allows,
        (("*",), "straße.test/x:1"),
        "usable",
        (("*",), "strasse.test/x:1"),
    ),
    Attack(
        "M1 registry that claims another's digest", take_over, claims, "404", serve, lambda raw: raw == WASM
    ),
    Attack("M1 registry that has the manifest only", take_over, knows_the_manifest, "404", serve),
    Attack("M1 blob without a login", read_without, None, "credentials", ANN, lambda raw: raw == WASM),
    Attack("M1 blob with another login", read_without, Login("eve", "x"), "credentials", ANN),
    Attack("M1 inspection without a login", may_be_told, None, lambda told: told is False, ANN, bool),
    Attack(
        "M1 inspection with another login",
        may_be_told,
        Login("eve", "x"),
        lambda told: told is False,
        ANN,
        bool,
    ),
    *(
        Attack(f"M2 {what} {lead.location}", attack, lead, refusal, Lead("http://{other}/v2/led"))
        for what, attack in (
            ("redirect to", redirected),
            ("token server", asked_for_a_token),
            ("upload to", uploaded),
        )
        for lead, refusal in (
            (Lead("https://127.0.0.1:1/x"), NO_ADDRESS),
            (Lead("https://169.254.169.254/latest/meta-data"), f"{NO_ADDRESS}|{NOT_ALLOWED}"),
            (Lead("https://intern.test/x", {"look_up": private}), f"{NO_ADDRESS}|{NOT_ALLOWED}"),
            (Lead("https://[::ffff:10.0.0.1]/x"), f"{NO_ADDRESS}|{NOT_ALLOWED}"),
            (Lead("https://evil.test/x", LISTED), NOT_ALLOWED),
            (Lead("http://evil.test/x"), "not HTTPS"),
            (Lead("https://straße.test/x"), "an unusable URL|names no token server"),
            (Lead("https://evil.test\\@127.0.0.1/x"), "an unusable URL|names no token server"),
            (Lead("https://user:s3cret@evil.test/x"), "an unusable URL|names no token server"),
            (Lead("file:///etc/passwd"), "an unusable URL|names no token server"),
        )
    ),
    Attack(
        "M2 upload to anybody's host of a cloud",
        uploaded,
        Lead("https://ec2-192-0-2-1.compute.amazonaws.com/x"),
        NOT_ALLOWED,
        Lead("/v2/led"),
    ),
    Attack(
        "M2 upload to any public host", uploaded, Lead("https://evil.test/x"), NOT_ALLOWED, Lead("/v2/led")
    ),
    *(
        Attack(
            f"M2 status of a port {name}",
            told_of,
            script,
            lambda told: told.startswith(NO_WORD),
            None,
            lambda told: told.startswith(NO_WORD),
        )
        for name, script in (
            ("of SSH", lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")),
            ("of plain HTTP", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ("that hangs up", lambda connection: connection.recv(1)),
            ("that is silent", deaf),
            ("that drips", dripping),
        )
    ),
    Attack(
        "H3 registry whose head drips", resolved_within, (dripping, 1.0), "cannot be reached", (None, 60.0)
    ),
    Attack("H3 blob that drips", downloaded, 0.05, "takes too long", 60.0, lambda raw: raw == WASM),
    Attack("H3 silent registry", resolved_within, (deaf, 1.0), "cannot be reached", (None, 60.0)),
    *(
        Attack(f"H3 {what} that drips", led_within, (attack, 1.0), "cannot be reached", (twin, 60.0))
        for what, attack, twin in (
            ("token server", "token http://{slow}/token", "token http://{good}/token"),
            ("redirect", "redirect http://{slow}/led/manifests/1", "redirect http://{good}/led/manifests/1"),
        )
    ),
    *(
        Attack(
            f"key of auths {key}",
            complaint,
            key,
            lambda told: "S3CRET" not in told and "entry 1" in told,
            "reg.dev",
            lambda told: "the Secret 'pull', entry 1" in told,
        )
        for key in ("https://user:S3CRET@reg.dev", "S3CRET", "https://reg.dev/v1/?token=S3CRET")
    ),
    *(
        Attack(
            f"login whose {name} has half of a character",
            login_of,
            {**whole, name: "\ud800"},
            "cannot be used",
            whole,
        )
        for name, whole in (
            ("identitytoken", {"identitytoken": "\u00fc"}),
            ("registrytoken", {"registrytoken": "t"}),
            ("username", {"username": "\U0001f600", "password": None}),
            ("auth", {"auth": "YTpi"}),
        )
    ),
    *(
        Attack(
            f"low media type with {what}",
            told,
            f"image/{attack}png",
            lambda text, attack=attack: attack not in text and bool(text.encode()),
            "image/png",
            lambda text: "image/png" in text,
        )
        for what, attack in (
            ("an order to a terminal", "\x1b[2J"),
            ("a reversal", "\u202e"),
            ("half of a character", "\ud800"),
        )
    ),
    Attack(
        "H5 manifest of small objects, thirty times as large in memory",
        layers_beside,
        200_000,
        "not usable JSON",
        2_000,
        lambda layers: layers == 1,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
