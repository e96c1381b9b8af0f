"""The files of a component: a read-only tree of the files in the locked application."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ftl_operator.errors import SpecError
from ftl_operator.oci.reference import Digest, parse_digest


@dataclass(frozen=True, slots=True)
class File:
    """A file. Its bytes are read when a guest opens it."""

    size: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; its entries by name."""

    entries: "dict[str, File | Directory]" = field(default_factory=dict)


def tree(
    entries: Iterable[Mapping[str, Any]], blob: Callable[[Digest], Path], component: str
) -> Directory | None:
    """Build a component's tree from `files` in the locked application; None if it has none.

    Raises:
        SpecError: A path leaves the tree, is used twice, or an entry has no content.
    """
    root = Directory()
    for entry in entries:
        path = PurePosixPath(entry["path"])
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise SpecError(f"component {component!r}: {entry['path']!r} is not a relative path of a file")
        directory = root
        for part in path.parts[:-1]:
            inner = directory.entries.setdefault(part, Directory())
            if not isinstance(inner, Directory):
                raise SpecError(f"component {component!r}: {entry['path']!r} lies below a file")
            directory = inner
        if path.name in directory.entries:
            raise SpecError(f"component {component!r}: {entry['path']!r} appears twice")
        directory.entries[path.name] = _file(entry, blob, component)
    return root if root.entries else None


def _file(entry: Mapping[str, Any], blob: Callable[[Digest], Path], component: str) -> File:
    if "inline" in entry:
        try:
            data = base64.b64decode(entry["inline"], validate=True)
        except binascii.Error:
            raise SpecError(f"component {component!r}: {entry['path']!r} is not base64") from None
        return File(len(data), lambda: data)
    if "digest" not in entry:
        raise SpecError(f"component {component!r}: {entry['path']!r} has neither inline content nor a digest")
    path = blob(parse_digest(entry["digest"]))
    return File(path.stat().st_size, path.read_bytes)


def find(root: Directory, parts: list[str]) -> tuple[File | Directory, list[str]] | None:
    """Walk a path from the root. Returns the node with its normalized path; None if there is none.

    Raises:
        PermissionError: The path leaves the tree.
        NotADirectoryError: The path goes through a file.
    """
    plain: list[str] = []
    for part in parts:
        if part in ("", "."):
            continue
        if part == "..":
            if not plain:
                raise PermissionError
            plain.pop()
        else:
            plain.append(part)
    node: File | Directory = root
    for part in plain:
        if isinstance(node, File):
            raise NotADirectoryError
        if part not in node.entries:
            return None
        node = node.entries[part]
    return node, plain
