"""Registry logins: docker's `config.json`, its helpers, and `kubernetes.io/dockerconfigjson` Secrets.

Sources: docker's config reference (`auths`, `credsStore`, `credHelpers`), the docker-credential-helpers
protocol, and the Kubernetes documentation of private registries (wildcards in the host, a path prefix, the
longest match first).

A Secret is untrusted: anyone who may write Secrets in its namespace may have written it. So it never names a
program to run; helpers come from the operator's own configuration file only.
"""

import base64
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftl_operator.errors import Reason, RegistryError
from ftl_operator.oci.reference import Repository

HELPER_TIMEOUT = 10.0
"""Seconds that a credential helper may take."""
HELPER_CACHE = 300.0
"""Seconds that a helper's answer is cached; cloud helpers start an interpreter and make a network call."""
MAX_CONFIG_BYTES = 1 << 20

DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN_USER = "<token>"  # noqa: S105 - the helper protocol's marker for an identity token


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials for a registry. At most one of the three kinds is set.

    The secrets are left out of `repr`, so that no log line or traceback carries them.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth 2 refresh token for the registry's token server."""
    registry_token: str = field(default="", repr=False)
    """A bearer token for the registry itself."""

    @property
    def basic(self) -> str | None:
        """The value of a Basic `Authorization` header, or None without a user name."""
        if not self.username:
            return None
        pair = f"{self.username}:{self.password}".encode(errors="surrogateescape")
        return "Basic " + base64.b64encode(pair).decode()


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    path: str
    login: Login

    @property
    def rank(self) -> tuple[int, bool, int]:
        # A longer path is more specific; then a host without wildcards; then more labels.
        return (len(self.path), "*" not in self.host, len(self.host))

    def matches(self, repository: Repository) -> bool:
        return _host_matches(self.host, repository.registry) and (
            not self.path or f"{repository.name}/".startswith(f"{self.path}/")
        )


@dataclass(frozen=True, slots=True)
class _Helpers:
    """The helper programs in a docker configuration file."""

    by_registry: Mapping[str, str]
    default: str

    def candidates(self, registry: str) -> Iterator[tuple[str, str]]:
        key = _HUB_KEY if registry in DOCKER_HUB else registry
        for name in dict.fromkeys((key, registry)):
            if helper := self.by_registry.get(name):
                yield helper, name
        if self.default:
            yield self.default, key


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials from several sources; the first match decides. Safe to use from several threads."""

    sources: tuple["_Source", ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Credentials":
        """Read docker's configuration from `$DOCKER_CONFIG`, else from `~/.docker`, as `docker` does.

        The file need not exist. Raises RegistryError if it cannot be read.
        """
        environ = os.environ if environ is None else environ
        folder = environ.get("DOCKER_CONFIG")
        path = Path(folder) if folder else Path(environ.get("HOME", "~")).expanduser() / ".docker"
        return cls.from_docker_config(path / "config.json")

    @classmethod
    def from_docker_config(cls, path: Path) -> "Credentials":
        """Read docker's configuration file at `path`, with its helpers. It need not exist."""
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_CONFIG_BYTES + 1)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise _unusable(str(path), error.strerror or "it cannot be read") from error
        document = _document(raw, str(path))
        helpers = _Helpers(
            {k: v for k, v in _mapping(document.get("credHelpers")).items() if _is_helper(v)},
            str(document["credsStore"]) if _is_helper(document.get("credsStore")) else "",
        )
        return cls((_Source(_entries(document, str(path)), helpers),))

    @classmethod
    def from_dockerconfigjson(cls, raw: bytes, where: str) -> "Credentials":
        """Read the value of `.dockerconfigjson` in the Secret `where`; helpers in it are ignored."""
        return cls((_Source(_entries(_document(raw, where), where), None),))

    @classmethod
    def from_login(cls, registry: str, login: Login) -> "Credentials":
        """One login for one registry (host with optional port)."""
        return cls((_Source((_Entry(registry, "", login),), None),))

    def then(self, other: "Credentials") -> "Credentials":
        """Combine: these credentials first, then `other`."""
        return Credentials(self.sources + other.sources)

    def find(self, repository: Repository) -> Login | None:
        """The credentials for a repository, or None. Raises RegistryError if a helper fails."""
        for source in self.sources:
            if login := source.find(repository):
                return login
        return None


class _Source:
    def __init__(self, entries: tuple[_Entry, ...], helpers: _Helpers | None) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.rank, reverse=True)
        self._helpers = helpers
        self._answers: dict[tuple[str, str], tuple[float, Login | None]] = {}
        self._lock = threading.Lock()

    def find(self, repository: Repository) -> Login | None:
        if self._helpers:
            for helper, key in self._helpers.candidates(repository.registry):
                if login := self._ask(helper, key):
                    return login
        return next((entry.login for entry in self._entries if entry.matches(repository)), None)

    def _ask(self, helper: str, key: str) -> Login | None:
        # One lock for all helpers: they share a keychain or a token file, and few are safe in parallel.
        with self._lock:
            known = self._answers.get((helper, key))
            if known and known[0] > time.monotonic():
                return known[1]
            login = _run_helper(helper, key)
            self._answers[helper, key] = (time.monotonic() + HELPER_CACHE, login)
            return login


def _run_helper(helper: str, key: str) -> Login | None:
    program = f"docker-credential-{helper}"
    try:
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise _unusable(program, "docker's configuration names it and it is not on PATH") from None
    except OSError as error:
        raise _unusable(program, error.strerror or "it cannot be started") from None
    with process:
        try:
            output, errors = process.communicate(key.encode(), timeout=HELPER_TIMEOUT)
        except subprocess.TimeoutExpired:
            # Kill the whole group, because child processes of the helper would keep its pipes open. The
            # exception is not chained, because it has the helper's output.
            os.killpg(process.pid, signal.SIGKILL)
            raise _unusable(program, f"it gave no answer within {HELPER_TIMEOUT:g} s") from None
    if process.returncode != 0:
        if b"not found" in output.lower() + errors.lower():
            return None
        raise _unusable(program, f"it ended with status {process.returncode}")
    try:
        answer = json.loads(output)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _unusable(program, "its answer is not the JSON of the helper protocol") from None
    return Login(identity_token=secret) if username == _TOKEN_USER else Login(username, secret)


def _entries(document: Mapping[str, Any], where: str) -> tuple[_Entry, ...]:
    found = []
    for number, (key, value) in enumerate(_mapping(document.get("auths")).items(), 1):
        # The message has the entry's number, because its key may be a URL with a password.
        login = _login(_mapping(value), f"{where}, entry {number} of 'auths'")
        if login:
            host, path = _split_key(key)
            found.append(_Entry(host, path, login))
    return tuple(found)


def _login(entry: Mapping[str, Any], where: str) -> Login | None:
    names = ("identitytoken", "registrytoken", "auth", "username", "password")
    # null counts as absent, as in Go.
    given = {name: "" if entry.get(name) is None else str(entry[name]) for name in names}
    if not all(_is_text(value) for value in given.values()):
        raise _unusable(where, "it has half of a character, which no registry can be sent")
    if token := given["identitytoken"]:
        return Login(identity_token=token)
    if token := given["registrytoken"]:
        return Login(registry_token=token)
    if auth := given["auth"]:
        try:
            username, password = _decoded(auth).split(":", 1)
        except ValueError:  # also of binascii and of the missing colon
            raise _unusable(where, "its 'auth' is not the base64 text of USER:PASSWORD") from None
        # Some tools pad the decoded text with NUL bytes; docker strips them too.
        return Login(username, password.strip("\x00"))
    return Login(given["username"], given["password"]) if given["username"] else None


def _is_text(value: str) -> bool:
    """Whether the text can be encoded: JSON may contain a lone surrogate, which UTF-8 cannot express."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _decoded(auth: str) -> str:
    """Decode an `auth`, with or without padding and line breaks. Raises ValueError.

    The kubelet accepts the same: see its `decodeDockerConfigFieldAuth`, and Go's base64, which ignores line
    breaks.
    """
    plain = auth.replace("\r", "").replace("\n", "")
    padding = "" if plain.endswith("=") else "=" * (-len(plain) % 4)
    # Bytes that are not UTF-8 are kept, as in Go.
    return base64.b64decode(plain + padding, validate=True).decode(errors="surrogateescape")


def _split_key(key: str) -> tuple[str, str]:
    rest = key.partition("://")[2] or key
    host, _, path = rest.partition("/")
    host, path = host.rpartition("@")[2], path.strip("/")
    # In `https://index.docker.io/v1/` and the like, the path is that of the API, not of a repository.
    return host.lower(), "" if path in ("v1", "v2") else path


def _host_matches(pattern: str, registry: str) -> bool:
    if pattern in DOCKER_HUB:
        return registry in DOCKER_HUB
    if "*" not in pattern:
        return pattern == registry
    if pattern.partition(":")[2] != registry.partition(":")[2]:
        return False
    wanted, given = pattern.split("."), registry.split(".")
    # As in Kubernetes, a wildcard matches within one label, never a dot.
    return len(wanted) == len(given) and all(glob_matches(w, g) for w, g in zip(wanted, given, strict=True))


def glob_matches(pattern: str, text: str) -> bool:
    """Whether `text` matches `pattern`; a `*` matches anything. Linear, because patterns are untrusted."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _document(raw: bytes, where: str) -> Mapping[str, Any]:
    if len(raw) > MAX_CONFIG_BYTES:
        raise _unusable(where, f"it is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        # Without the parser's message, which could quote a credential.
        raise _unusable(where, "it is not JSON") from None
    if not isinstance(document, dict):
        raise _unusable(where, "it is not a JSON object")
    return document


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_helper(value: object) -> bool:
    return isinstance(value, str) and bool(_HELPER_NAME.fullmatch(value))


def _unusable(where: str, why: str) -> RegistryError:
    return RegistryError(
        f"the credentials of {where} cannot be used: {why}", reason=Reason.REGISTRY_UNAUTHORIZED
    )
