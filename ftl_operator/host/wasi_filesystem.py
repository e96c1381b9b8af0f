"""wasi:filesystem (0.2): no directory unless the application has files; those are read-only."""

from .guest import Guest
from .interface import Interface, Resource
from .wasi_io import IoError


class Descriptor(Resource):
    """wasi:filesystem/types.descriptor."""

    wit = "descriptor"


@Interface("wasi:filesystem/preopens").function("get-directories")
def _get_directories(_guest: Guest) -> list[tuple[Descriptor, str]]:
    return []


@Interface("wasi:filesystem/types").function("filesystem-error-code")
def _filesystem_error_code(_guest: Guest, _error: IoError) -> str | None:
    return None
