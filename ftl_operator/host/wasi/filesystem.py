"""wasi:filesystem (0.2) over a component's read-only files; a component without files has no directory."""

import hashlib
from typing import Any

from ftl_operator.host.engine.interface import Err, Interface, Resource
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.streams.pipe import Pipe
from ftl_operator.host.wasi.files import Directory, File, find
from ftl_operator.host.wasi.io import MAX_CHUNK, InputStream, IoError


class Descriptor(Resource):
    """wasi:filesystem/types.descriptor: a file or directory that is open for reading."""

    wit = "descriptor"

    def __init__(self, root: Directory, path: list[str], node: File | Directory) -> None:
        self.root = root
        self.path = path
        self.node = node
        self._data: bytes | None = None

    @property
    def kind(self) -> str:
        """Its descriptor-type."""
        return "directory" if isinstance(self.node, Directory) else "regular-file"

    def data(self) -> bytes:
        """The bytes of a file. Raises Err for a directory."""
        if isinstance(self.node, Directory):
            raise Err("is-directory")
        if self._data is None:
            self._data = self.node.read()
        return self._data

    def at(self, path: str) -> "Descriptor":
        """The node at a path below this directory. Raises Err with an error-code."""
        if isinstance(self.node, File):
            raise Err("not-directory")
        if path.startswith("/"):
            raise Err("not-permitted")
        try:
            found = find(self.root, [*self.path, *path.split("/")])
        except PermissionError:
            raise Err("not-permitted") from None
        except NotADirectoryError:
            raise Err("not-directory") from None
        if found is None:
            raise Err("no-entry")
        return Descriptor(self.root, found[1], found[0])


class DirectoryEntries(Resource):
    """wasi:filesystem/types.directory-entry-stream."""

    wit = "directory-entry-stream"

    def __init__(self, directory: Directory) -> None:
        self._rest = iter(sorted(directory.entries.items()))

    def next(self) -> dict[str, str] | None:
        """The next entry; None at the end."""
        name, node = next(self._rest, (None, None))
        if name is None:
            return None
        return {"type": "directory" if isinstance(node, Directory) else "regular-file", "name": name}


_types = Interface("wasi:filesystem/types")


@Interface("wasi:filesystem/preopens").function("get-directories")
def _get_directories(guest: GuestInstance) -> list[tuple[Descriptor, str]]:
    root = guest.component.files
    return [] if root is None else [(Descriptor(root, [], root), "/")]


@_types.function("filesystem-error-code")
def _filesystem_error_code(_guest: GuestInstance, _error: IoError) -> str | None:
    return None


@_types.function("[method]descriptor.get-flags")
def _get_flags(_guest: GuestInstance, _descriptor: Descriptor) -> frozenset[str]:
    return frozenset(("read",))


@_types.function("[method]descriptor.get-type")
def _get_type(_guest: GuestInstance, descriptor: Descriptor) -> str:
    return descriptor.kind


@_types.function("[method]descriptor.read-via-stream")
def _read_via_stream(_guest: GuestInstance, descriptor: Descriptor, offset: int) -> InputStream:
    return InputStream(Pipe.of(descriptor.data()[offset:]))


@_types.function("[method]descriptor.read")
def _read(_guest: GuestInstance, descriptor: Descriptor, length: int, offset: int) -> tuple[bytes, bool]:
    data = descriptor.data()
    end = offset + min(length, MAX_CHUNK)
    return data[offset:end], end >= len(data)


@_types.function("[method]descriptor.advise")
def _advise(_guest: GuestInstance, _descriptor: Descriptor, _offset: int, _length: int, _advice: str) -> None:
    return


@_types.function("[method]descriptor.sync", "[method]descriptor.sync-data")
def _sync(_guest: GuestInstance, _descriptor: Descriptor) -> None:
    return


@_types.function("[method]descriptor.read-directory")
def _read_directory(_guest: GuestInstance, descriptor: Descriptor) -> DirectoryEntries:
    if isinstance(descriptor.node, File):
        raise Err("not-directory")
    return DirectoryEntries(descriptor.node)


@_types.function("[method]directory-entry-stream.read-directory-entry")
def _read_directory_entry(_guest: GuestInstance, entries: DirectoryEntries) -> dict[str, str] | None:
    return entries.next()


@_types.function("[method]descriptor.stat")
def _stat(_guest: GuestInstance, descriptor: Descriptor) -> dict[str, Any]:
    node = descriptor.node
    never = {"seconds": 0, "nanoseconds": 0}
    return {
        "type": descriptor.kind,
        "link-count": 1,
        "size": node.size if isinstance(node, File) else 0,
        "data-access-timestamp": never,
        "data-modification-timestamp": never,
        "status-change-timestamp": never,
    }


@_types.function("[method]descriptor.stat-at")
def _stat_at(
    guest: GuestInstance, descriptor: Descriptor, _flags: frozenset[str], path: str
) -> dict[str, Any]:
    return _stat(guest, descriptor.at(path))


@_types.function("[method]descriptor.open-at")
def _open_at(
    _guest: GuestInstance,
    descriptor: Descriptor,
    _path_flags: Any,
    path: str,
    how: frozenset[str],
    flags: frozenset[str],
) -> Descriptor:
    if flags & {"write", "mutate-directory"} or how & {"create", "exclusive", "truncate"}:
        raise Err("read-only")
    found = descriptor.at(path)
    if "directory" in how and isinstance(found.node, File):
        raise Err("not-directory")
    return found


@_types.function("[method]descriptor.readlink-at")
def _readlink_at(_guest: GuestInstance, descriptor: Descriptor, path: str) -> str:
    descriptor.at(path)
    raise Err("invalid")


@_types.function("[method]descriptor.is-same-object")
def _is_same_object(_guest: GuestInstance, descriptor: Descriptor, other: Descriptor) -> bool:
    return descriptor.node is other.node


@_types.function("[method]descriptor.metadata-hash")
def _metadata_hash(_guest: GuestInstance, descriptor: Descriptor) -> dict[str, int]:
    digest = hashlib.sha256("/".join(descriptor.path).encode()).digest()
    return {"lower": int.from_bytes(digest[:8], "little"), "upper": int.from_bytes(digest[8:16], "little")}


@_types.function("[method]descriptor.metadata-hash-at")
def _metadata_hash_at(guest: GuestInstance, descriptor: Descriptor, _flags: Any, path: str) -> dict[str, int]:
    return _metadata_hash(guest, descriptor.at(path))


@_types.function(
    "[method]descriptor.write-via-stream",
    "[method]descriptor.append-via-stream",
    "[method]descriptor.set-size",
    "[method]descriptor.set-times",
    "[method]descriptor.set-times-at",
    "[method]descriptor.write",
    "[method]descriptor.create-directory-at",
    "[method]descriptor.link-at",
    "[method]descriptor.remove-directory-at",
    "[method]descriptor.rename-at",
    "[method]descriptor.symlink-at",
    "[method]descriptor.unlink-file-at",
)
def _read_only(_guest: GuestInstance, *_arguments: Any) -> None:
    raise Err("read-only")
