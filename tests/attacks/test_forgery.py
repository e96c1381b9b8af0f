"""H9 and its kind: identities forged in the gateway's store, by tokens of another kind, and by API keys.

The embedded host runs the committed gateway. What its own tests in Rust show for every claim, key and entry,
a few rows show here for the whole.
"""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
import pytest

from ftl_operator.cli.api_keys import new_key
from ftl_operator.host.spin.store import Store
from tests.attacks.table import Attack, check_refused, check_twin
from tests.auth.live_issuer import KEYS, Answer, LiveIssuer, jwk, live_issuer
from tests.support.lone_gateway import KEY, UID, Place, running, status_of

WORD = "a3bf4f1b2b0b822cd15d6c15b0f00a08"
AUDIENCE = "https://tools.acme.dev/mcp"

STORE = Path("key-value", f"{b'default'.hex()}.sqlite")

Headers = tuple[tuple[str, bytes], ...]
Entries = dict[str, bytes]


def rules(issuer: LiveIssuer) -> dict[str, Any]:
    return {
        "access": "private",
        "audiences": [AUDIENCE],
        "jwksUri": f"{issuer.url}/keys",
        "algorithms": ["RS256"],
        "allowedSubjects": ["alice"],
    }


def token(claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None) -> tuple[str, bytes]:
    """A token for alice, signed by the key that the issuer serves now."""
    now = int(time.time())
    payload = {"aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600, **(claims or {})}
    encoded = jwt.encode(payload, KEYS["RS256"], "RS256", {"kid": "rs256", **(header or {})})
    return "authorization", f"Bearer {encoded}".encode()


@dataclass(frozen=True)
class Writing:
    """What is in the store when the victim's gateway looks: written by a gateway at `place`, then changed."""

    place: Place
    change: Callable[[Entries], Entries] = lambda entries: entries
    victim: Place = field(default_factory=Place)


def believed(writing: Writing) -> int:
    """The status for a token that only the store's content can admit, because the issuer is silent."""
    with TemporaryDirectory() as folder, live_issuer(Path(folder), tls=False) as issuer:
        written, read = Path(folder) / "written", Path(folder) / "read"
        issuer.document("/keys", {"keys": [jwk("RS256")]})
        credential = token()
        with running(writing.place, rules(issuer), written) as app:
            assert status_of(app, credential) == 200
        issuer.answers["/keys"] = Answer(b"", 503)
        with running(writing.victim, rules(issuer), read) as app:
            store = Store(read / STORE)
            store.set(list(writing.change(entries_of(written)).items()))
            store.close()
            return status_of(app, credential)


def entries_of(state: Path) -> Entries:
    store = Store(state / STORE)
    found = {key: store.get(key) or b"" for key in store.keys()}  # noqa: SIM118 - no mapping
    store.close()
    return found


def under(uid: str) -> Callable[[Entries], Entries]:
    """Under the names that the gateway of this app looks for."""
    return lambda entries: {
        "/".join([parts[0], uid, *parts[2:]]): value
        for parts, value in ((name.split("/"), value) for name, value in entries.items())
    }


def rotated(entries: Entries) -> Entries:
    """Each entry in the place of another."""
    names = list(entries)
    return dict(zip(names, [*list(entries.values())[1:], entries[names[0]]], strict=True))


def is_refused(status: int) -> bool:
    return status in (401, 503)


def is_let_in(status: int) -> bool:
    return status == 200


OWN = Writing(Place())
STORED = [
    Attack(f"H9 entries {name}", believed, writing, is_refused, OWN, is_let_in)
    for name, writing in [
        ("under a key of zeros", Writing(Place(f"{UID}:{'0' * 32}"))),
        ("under the word of the probe", Writing(Place(f"{UID}:{WORD}"))),
        ("under the app's uid", Writing(Place(f"{UID}:{UID}"))),
        ("under the digest from /metrics", Writing(Place(f"{UID}:sha256:composed"))),
        ("of a gateway without a key", Writing(Place(f"{UID}:", shared=False))),
        ("of another app with the same key", Writing(Place(f"other:{KEY}"), under(UID))),
        ("of another version", Writing(Place(app="sha256:other"))),
        ("in each other's place", Writing(Place(), rotated)),
        (
            "where there is no key and a tool may write",
            Writing(Place(f"{UID}:", shared=False), victim=Place(f"{UID}:")),
        ),
        (
            "where the key is too short to be one",
            Writing(Place(f"{UID}:", shared=False), victim=Place(f"{UID}:short")),
        ),
    ]
]


@dataclass(frozen=True)
class Presented:
    """What a caller presents: a token's claims and header type."""

    claims: dict[str, Any] = field(default_factory=dict)
    kind: str = "JWT"
    types: tuple[str, ...] = ()


def accepted(presented: Presented) -> int:
    with TemporaryDirectory() as folder, live_issuer(Path(folder), tls=False) as issuer:
        issuer.document("/keys", {"keys": [jwk("RS256")]})
        auth = {**rules(issuer), "tokenTypes": list(presented.types)}
        with running(Place(), auth, Path(folder)) as app:
            return status_of(app, token(presented.claims, {"typ": presented.kind}))


PLAIN = Presented()
KINDS = [
    Attack(f"H9 {name}", accepted, attack, is_refused, twin, is_let_in)
    for name, attack, twin in [
        ("token bound to a DPoP key", Presented({"cnf": {"jkt": "abc"}}), Presented({"cnf": None})),
        ("token bound to a certificate", Presented({"cnf": {"x5t#S256": "abc"}}), PLAIN),
        ("ID token with a nonce", Presented({"nonce": "n"}), Presented({"nonce": "n", "typ": "Bearer"})),
        ("ID token with at_hash", Presented({"at_hash": "abc"}), Presented({"acr": "1"})),
        ("ID token by its typ claim", Presented({"typ": "ID"}), Presented({"typ": "Bearer"})),
        ("ID token by token_use", Presented({"token_use": "id"}), Presented({"token_use": "access"})),
        (
            "plain token where RFC 9068's type is demanded",
            Presented(types=("at+jwt",)),
            Presented(kind="at+jwt", types=("at+jwt",)),
        ),
        ("logout token", Presented(kind="logout+jwt"), Presented(kind="application/at+jwt")),
    ]
]

API_KEY = new_key()
LINE = f"ci {sha256(API_KEY.encode()).hexdigest()}"


def changed(key: str) -> str:
    """Another key with a right checksum."""
    body = key[:-7] + ("1" if key[-7] == "0" else "0")
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[digit] + digits
    return body + digits


@dataclass(frozen=True)
class Keyed:
    """A request to an app that knows one API key."""

    headers: Headers = (("authorization", f"Bearer {API_KEY}".encode()),)
    line: str = LINE
    auth: dict[str, Any] = field(default_factory=lambda: {"access": "private", "apiKeys": True})


def let_in(keyed: Keyed) -> int:
    with TemporaryDirectory() as folder:
        place = Place(variables={"api_keys": keyed.line})
        with running(place, keyed.auth, Path(folder)) as app:
            return status_of(app, *keyed.headers)


def named(value: str) -> Headers:
    return (("x-api-key", value.encode()),)


BOTH: Headers = (*named(API_KEY), ("authorization", f"Bearer {API_KEY}".encode()))
SCOPED = {"access": "private", "apiKeys": True, "requiredScopes": ["a"]}
ALLOWED = {"access": "private", "apiKeys": True, "allowedSubjects": ["ci"]}
GOOD = Keyed()
API_KEYS = [
    Attack(f"API key: {name}", let_in, attack, refusal, twin, is_let_in)
    for name, attack, refusal, twin in [
        ("another one", Keyed(named(changed(API_KEY))), is_refused, Keyed(named(API_KEY))),
        ("its hash", Keyed(named(LINE.split()[1])), is_refused, GOOD),
        ("its name", Keyed(named("ci")), is_refused, GOOD),
        ("a wrong checksum", Keyed(named(API_KEY[:-1] + "!")), is_refused, GOOD),
        ("an empty one", Keyed(named("")), is_refused, GOOD),
        ("twice", Keyed(BOTH), lambda status: status == 400, Keyed(BOTH[:1])),
        (
            "expired",
            Keyed(line=f"{LINE} expires=2020-01-01T00:00:00Z"),
            is_refused,
            Keyed(line=f"{LINE} expires=9999-01-01T00:00:00Z"),
        ),
        ("in a comment", Keyed(line=f"# {LINE}"), is_refused, Keyed(line=f"# people\n{LINE}")),
        ("with a limit that is not known", Keyed(line=f"{LINE} only=mail"), is_refused, GOOD),
        (
            "without the scope",
            Keyed(auth=SCOPED),
            lambda status: status == 403,
            Keyed(auth=SCOPED, line=f"{LINE} scopes=a,b"),
        ),
        (
            "of somebody else",
            Keyed(auth=ALLOWED, line=LINE.replace("ci", "ann", 1)),
            lambda status: status == 403,
            Keyed(auth=ALLOWED),
        ),
    ]
]

ROWS = [*STORED, *KINDS, *API_KEYS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
