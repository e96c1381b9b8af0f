"""Users of a login: makes, reads and writes the lines in a Secret by which the login checks passwords.

A line is `NAME $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH [scopes=a,b] [email=ann@acme.dev]`. The login's
reader is `gateway_component/login`.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ftl_operator.errors import SpecError

MEMORY_KIB, PASSES, LANES = 19456, 2, 1
"""What checking a password takes: OWASP's first choice for argon2id, which a small pod can afford."""
MIN_LENGTH, MAX_LENGTH = 8, 128
"""Characters of a password (NIST SP 800-63B-4 §3.1.1.2)."""
WORDS = 4
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_HASH = re.compile(r"\$argon2id\$v=19\$m=\d{1,6},t=\d,p=\d\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}")
_SCOPE = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+")
_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,190}")
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class UserLine:
    """The line of a user.

    Args:
        name: The subject of the user's tokens.
        password: The argon2id hash of the password, in PHC's string format.
        scopes: The scopes that the user may grant; empty for all.
        email: The user's address for the token; empty for none.
    """

    name: str
    password: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    email: str = ""

    def __str__(self) -> str:
        words = [self.name, self.password]
        if self.scopes:
            words.append(f"scopes={','.join(self.scopes)}")
        if self.email:
            words.append(f"email={self.email}")
        return " ".join(words)


def new_password() -> str:
    """Make a password of 98 random bits, in letters that are easy to tell apart."""
    parts = ["".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(WORDS)]
    return "-".join(parts)


def user_line(name: str, password: str, scopes: Sequence[str] = (), email: str = "") -> UserLine:
    """Make the line of a user; hashing the password takes a moment.

    Raises:
        SpecError: The login does not accept the name, the password, a scope or the address.
    """
    from argon2 import PasswordHasher, Type

    check_name(name)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH or not password.isprintable():
        raise SpecError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} printable characters")
    for scope in scopes:
        if _SCOPE.fullmatch(scope) is None:
            raise SpecError(
                f"{scope!r} is no scope that a user can have: no spaces, quotes, commas or backslashes"
            )
    if email and _EMAIL.fullmatch(email) is None:
        raise SpecError("an e-mail address is NAME@DOMAIN without spaces")
    hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=32, salt_len=16, type=Type.ID)
    return UserLine(name, hasher.hash(password), tuple(scopes), email)


def is_name(text: str) -> bool:
    """Whether the login accepts a text as a user's name."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> None:
    """Refuse a name that the login does not accept. Raises SpecError."""
    if not is_name(name):
        raise SpecError("a user's name is 1 to 64 of A-Z a-z 0-9 . _ @ + -")


def read_lines(text: str) -> Iterator[UserLine]:
    """Read the users in a text.

    Raises:
        SpecError: A line is invalid. The message does not have the line, because it may be a password.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not line.lstrip().startswith("#"):
            yield _read_line(words, number)


def without(text: str, name: str) -> str:
    """Remove the lines of a name; comments stay."""
    kept = [line for line in text.splitlines() if line.split()[:1] != [name]]
    return "".join(f"{line}\n" for line in kept)


def with_line(text: str, line: UserLine) -> str:
    """Add a line, in place of the user's present one."""
    lines = text.splitlines()
    places = [index for index, kept in enumerate(lines) if kept.split()[:1] == [line.name]]
    if not places:
        return "".join(f"{kept}\n" for kept in [*lines, str(line)])
    lines[places[0]] = str(line)
    return "".join(f"{kept}\n" for index, kept in enumerate(lines) if index not in places[1:])


def _read_line(words: Sequence[str], number: int) -> UserLine:
    wrong = SpecError(f"line {number} is not NAME $argon2id$… [scopes=a,b] [email=ann@acme.dev]")
    if len(words) < 2 or _NAME.fullmatch(words[0]) is None or _HASH.fullmatch(words[1]) is None:
        raise wrong
    scopes: tuple[str, ...] = ()
    email = ""
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if name == "scopes" and equals and not scopes and all(map(_SCOPE.fullmatch, value.split(","))):
            scopes = tuple(value.split(","))
        elif name == "email" and not email and _EMAIL.fullmatch(value):
            email = value
        else:
            raise wrong
    return UserLine(words[0], words[1], scopes, email)
