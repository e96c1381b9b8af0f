"""Reads and writes a file with API keys, users or a login's keys: lines, or a manifest with their Secret.

In a manifest only the text of one key of the Secret is edited; everything else stays, comments included. The
file `-` is a manifest on standard input, whose new text goes to standard output: a cluster's Secret between
`kubectl get` and `kubectl replace`, which refuses it if somebody else has changed it meanwhile.
"""

import base64
import binascii
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml

from ftl_operator.errors import SpecError


@dataclass(frozen=True, slots=True)
class Place:
    """The key of a Secret in a manifest.

    Args:
        path: The fields of an FtlApp that name the Secret and the key, if the file has one.
        key: The key, unless an FtlApp names it.
        secret: The Secret's name, which then decides alone.
    """

    path: tuple[str, ...]
    key: str
    secret: str = ""

    def __str__(self) -> str:
        return (
            f"Secret {self.secret!r} with the key {self.key!r}"
            if self.secret
            else f"Secret with the key {self.key!r}"
        )


API_KEYS = Place(("spec", "auth", "apiKeys", "secretRef"), "keys")
"""The keys of callers."""
USERS = Place(("spec", "auth", "login", "users", "secretRef"), "users")
"""The users of a login."""


STANDARD_STREAMS = Path("-")
"""Stands for standard input and output."""
MAX_MANIFEST = 4 << 20
"""How many characters are read of standard input; a Secret has at most 1 MiB."""


class Form(Enum):
    """How a file contains the text with the keys."""

    LINES = "the file itself"
    BLOCK = "a text of a block mapping"
    QUOTED = "a text within braces"
    BASE64 = "the data of a Secret"
    MISSING = "nothing yet: the Secret is added"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file, and the position of a text in it.

    Args:
        path: The file.
        content: Its whole content.
        text: The text.
        start: The start of the value with that text in `content`.
        end: The end of that value.
        form: How the text is written there.
        indent: The indentation of a block's lines.
        place: The Secret to add, if it is missing.
        namespace: Its namespace; empty for none.
    """

    path: Path
    content: str
    text: str
    start: int
    end: int
    form: Form
    indent: int = 0
    place: Place | None = None
    namespace: str = ""

    def replaced(self, text: str) -> str:
        """The whole content, with another text."""
        if self.form is Form.MISSING and self.place is not None:
            metadata = {"name": self.place.secret} | ({"namespace": self.namespace} if self.namespace else {})
            head = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
            block = "".join(f"    {line}\n" for line in text.splitlines())
            data = f"stringData:\n  {self.place.key}: |\n{block}"
            return appended(self.content, yaml.safe_dump(head, sort_keys=False) + data)
        before, after = self.content[: self.start], self.content[self.end :]
        if self.form is Form.LINES:
            return text
        if self.form is Form.BASE64:
            return before + json.dumps(base64.b64encode(text.encode()).decode()) + after
        if self.form is Form.QUOTED:
            return before + json.dumps(text) + after
        # A comment may follow on the value's line, after a block's indicator or a quoted text.
        value = self.content[self.start : self.end]
        if value.endswith("\n"):
            comment = value.partition("\n")[0].lstrip("|>+-0123456789")
        else:
            comment, _, after = after.partition("\n")
        lines = "".join(f"{' ' * self.indent}{line}\n" for line in text.splitlines())
        mark = "|" if lines else '""'
        return f"{before}{mark}{comment}\n{lines}{after}"

    def write(self, text: str, *, private: bool = False) -> None:
        """Replace the file atomically, or print its new text.

        Args:
            text: The new text.
            private: Whether nobody but the owner may read the file afterwards. Else its permissions stay.
        """
        if self.path == STANDARD_STREAMS:
            sys.stdout.write(self.replaced(text))
            sys.stdout.flush()
            return
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.replaced(text))
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600
            Path(name).chmod(mode & 0o700 if private else mode)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def appended(content: str, document: str) -> str:
    """The text of a manifest with another document at its end."""
    if not content.strip():
        return document
    end = "" if content.endswith("\n") else "\n"
    return f"{content}{end}---\n{document}"


def read_key_file(path: Path, place: Place = API_KEYS) -> KeyFile:
    """Read a file. A missing file counts as an empty text.

    Args:
        path: The file.
        place: Where the text is in a manifest.

    Raises:
        SpecError: It is a manifest with no Secret that has the text, or with several.
    """
    if path == STANDARD_STREAMS:
        return find_text(path, sys.stdin.read(MAX_MANIFEST), place)
    try:
        content = path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError:
        raise SpecError(f"{path} is no text") from None
    if path.suffix not in (".yaml", ".yml"):
        return KeyFile(path, content, content, 0, len(content), Form.LINES)
    return find_text(path, content, place)


def find_text(path: Path, content: str, place: Place) -> KeyFile:
    """Find a text in the content of a manifest.

    A Secret that is named and not there counts as an empty text, and is added when the text is written.

    Raises:
        SpecError: There is no Secret that has the text, or several.
    """
    try:
        documents = list(yaml.compose_all(content, yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{path} is not YAML: {error}") from error
    wanted, namespace = (place, "") if place.secret else _named_by_apps(documents, place)
    found = list(_values(path, content, documents, wanted))
    if not found and wanted.secret and not any(_is_secret(document, wanted.secret) for document in documents):
        return KeyFile(path, content, "", 0, 0, Form.MISSING, place=wanted, namespace=namespace)
    if len(found) != 1:
        raise SpecError(f"{path} must hold one {wanted}; it holds {len(found) or 'none'}")
    return found[0]


def _named_by_apps(documents: list[yaml.Node], place: Place) -> tuple[Place, str]:
    """The Secret, and the key in it, that the file's FtlApp reads; and the FtlApp's namespace."""
    for document in documents:
        reference: yaml.Node | None = document
        for name in place.path:
            reference = _member(reference, name)
        secret, key = (_text(_member(reference, name)) for name in ("name", "key"))
        if secret and key:
            return Place(place.path, key, secret), _text(_member(_member(document, "metadata"), "namespace"))
    return place, ""


def _is_secret(document: yaml.Node | None, name: str) -> bool:
    is_one = _text(_member(document, "kind")) == "Secret"
    return is_one and (not name or _text(_member(_member(document, "metadata"), "name")) == name)


def _values(path: Path, content: str, documents: list[yaml.Node], place: Place) -> Iterator[KeyFile]:
    key = place.key
    for document in documents:
        if not _is_secret(document, place.secret):
            continue
        for name in ("stringData", "data"):
            holder = _member(document, name)
            value = _member(holder, key)
            if not isinstance(value, yaml.ScalarNode) or not isinstance(holder, yaml.MappingNode):
                continue
            text = value.value
            if name == "data":
                try:
                    text = base64.b64decode("".join(text.split()), validate=True).decode()
                except (binascii.Error, UnicodeDecodeError):
                    raise SpecError(f"{path}: data.{key} is not base64 of a text") from None
            block = Form.QUOTED if holder.flow_style else Form.BLOCK
            form = Form.BASE64 if name == "data" else block
            start, end = value.start_mark.index, value.end_mark.index
            yield KeyFile(path, content, text, start, end, form, holder.start_mark.column + 2)


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == name:
                member: yaml.Node = value
                return member
    return None


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
