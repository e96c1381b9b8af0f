"""Reads and writes a file with API keys: lines only, or a manifest with the Secret that an app reads.

In a manifest only the text with the keys is edited; everything else stays, comments included.
"""

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml

from ftl_operator.errors import SpecError

DEFAULT_KEY = "keys"
"""The key in the Secret, unless an FtlApp in the file names another."""


class Form(Enum):
    """How a file contains the text with the keys."""

    LINES = "the file itself"
    BLOCK = "a text of a block mapping"
    QUOTED = "a text within braces"
    BASE64 = "the data of a Secret"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file, and the position of the keys in it.

    Args:
        path: The file.
        content: Its whole content.
        text: The text with the keys.
        start: The start of the value with that text in `content`.
        end: The end of that value.
        form: How the text is written there.
        indent: The indentation of a block's lines.
    """

    path: Path
    content: str
    text: str
    start: int
    end: int
    form: Form
    indent: int = 0

    def replaced(self, text: str) -> str:
        """The whole content, with another text of keys."""
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

    def write(self, text: str) -> None:
        """Replace the file atomically; its permissions stay."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.replaced(text))
            Path(name).chmod(self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read_key_file(path: Path) -> KeyFile:
    """Read a file. A missing file counts as an empty list of keys.

    Raises:
        SpecError: It is a manifest with no Secret that has keys, or with several.
    """
    try:
        content = path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError:
        raise SpecError(f"{path} is no text") from None
    if path.suffix not in (".yaml", ".yml"):
        return KeyFile(path, content, content, 0, len(content), Form.LINES)
    try:
        documents = list(yaml.compose_all(content, yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{path} is not YAML: {error}") from error
    wanted = _named_by_apps(documents)
    found = list(_values(path, content, documents, wanted))
    if len(found) != 1:
        where = (
            f"Secret {wanted[0]!r} with the key {wanted[1]!r}"
            if wanted
            else f"Secret with the key {DEFAULT_KEY!r}"
        )
        raise SpecError(f"{path} must hold one {where}; it holds {len(found) or 'none'}")
    return found[0]


def _named_by_apps(documents: list[yaml.Node]) -> tuple[str, str] | None:
    """The Secret, and the key in it, that the file's FtlApp reads API keys from."""
    for document in documents:
        reference: yaml.Node | None = document
        for name in ("spec", "auth", "apiKeys", "secretRef"):
            reference = _member(reference, name)
        names = [_text(_member(reference, name)) for name in ("name", "key")]
        if all(names):
            return names[0], names[1]
    return None


def _values(
    path: Path, content: str, documents: list[yaml.Node], wanted: tuple[str, str] | None
) -> Iterator[KeyFile]:
    for document in documents:
        if _text(_member(document, "kind")) != "Secret":
            continue
        if wanted and _text(_member(_member(document, "metadata"), "name")) != wanted[0]:
            continue
        key = wanted[1] if wanted else DEFAULT_KEY
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
