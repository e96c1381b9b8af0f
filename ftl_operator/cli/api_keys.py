"""API keys: makes them, and reads and writes the lines in a Secret that the gateway checks them by. Pure.

A key is `ftl_`, 256 random bits in base62, and a checksum by which secret scanners recognise it. Only its
SHA-256 is stored, in a line `NAME SHA256 [scopes=a,b] [expires=2027-01-31T00:00:00Z]`. The gateway's reader
is `gateway_component/authorizer/src/api_keys.rs`.
"""

import hashlib
import re
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ftl_operator.errors import SpecError

PREFIX = "ftl_"
RANDOM_LENGTH = 43
CHECKSUM_LENGTH = 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_SCOPE = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class KeyLine:
    """The line of an API key.

    Args:
        name: The subject of its callers.
        sha256: The digest of the key, in hex.
        scopes: The scopes of its callers.
        expires: When it expires; None for never.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...] = ()
    expires: datetime | None = None

    def __str__(self) -> str:
        words = [self.name, self.sha256]
        if self.scopes:
            words.append(f"scopes={','.join(self.scopes)}")
        if self.expires is not None:
            words.append(f"expires={self.expires.astimezone(UTC).strftime(_MOMENT)}")
        return " ".join(words)


def new_key() -> str:
    """Make a new API key. It is shown once and stored nowhere."""
    body = PREFIX + _base62(secrets.randbits(256), RANDOM_LENGTH)
    return body + _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def key_line(key: str, name: str, scopes: Sequence[str] = (), expires: datetime | None = None) -> KeyLine:
    """Make the line of a key.

    Raises:
        SpecError: The gateway does not accept the name or a scope.
    """
    if _NAME.fullmatch(name) is None:
        raise SpecError("a key's name is 1 to 64 of A-Z a-z 0-9 . _ @ -")
    for scope in scopes:
        if _SCOPE.fullmatch(scope) is None:
            raise SpecError(
                f"{scope!r} is no scope that a key can have: no spaces, quotes, commas or backslashes"
            )
    return KeyLine(name, hashlib.sha256(key.encode()).hexdigest(), tuple(scopes), expires)


def read_lines(text: str) -> Iterator[KeyLine]:
    """Read the keys in a text.

    Raises:
        SpecError: A line is invalid. The message does not have the line, because it may be a key.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not line.lstrip().startswith("#"):
            yield _read_line(words, number)


def without(text: str, name: str) -> str:
    """Remove the lines of a name; comments stay."""
    kept = [line for line in text.splitlines() if line.split()[:1] != [name]]
    return "".join(f"{line}\n" for line in kept)


def with_line(text: str, line: KeyLine) -> str:
    """Add a line."""
    return "".join(f"{kept}\n" for kept in [*text.splitlines(), str(line)])


def _read_line(words: Sequence[str], number: int) -> KeyLine:
    wrong = SpecError(f"line {number} is not NAME SHA256 [scopes=a,b] [expires=2027-01-31T00:00:00Z]")
    if len(words) < 2 or _NAME.fullmatch(words[0]) is None or not re.fullmatch("[0-9a-fA-F]{64}", words[1]):
        raise wrong
    scopes: tuple[str, ...] = ()
    expires = None
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if name == "scopes" and equals and not scopes and all(map(_SCOPE.fullmatch, value.split(","))):
            scopes = tuple(value.split(","))
        elif name == "expires" and expires is None and re.match(r"\d{4}-\d\d-\d\d[Tt]", value):
            try:
                expires = datetime.fromisoformat(value)
            except ValueError:
                raise wrong from None
            if expires.tzinfo is None:
                raise wrong
        else:
            raise wrong
    return KeyLine(words[0], words[1].lower(), scopes, expires)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
