"""Checks that the memory limit of this process's cgroup leaves room for the sandbox.

Sources: cgroups(7); the kernel's `cgroup-v2.rst` (`memory.max`) and `cgroup-v1/memory.rst`
(`memory.limit_in_bytes`, which is a huge number if there is no limit).
"""

from pathlib import Path

from ftl_operator.host.limits import SandboxLimits

OPERATOR_BYTES = 256 << 20
"""The memory of the operator with some hundred apps, without children."""
_NO_LIMIT = 1 << 60


def memory_limit(root: Path = Path("/")) -> int | None:
    """The bytes that this process and its children may use together; None if there is no limit.

    Args:
        root: The folder with `proc` and `sys`.
    """
    found = [limit for file in _files(root) if (limit := _read(file)) is not None]
    return min(found, default=None)


def shortage(limit: int | None, children: int, limits: SandboxLimits) -> str:
    """A message for the administrator if the children do not fit beside the operator; empty if they do.

    Args:
        limit: The result of `memory_limit`.
        children: How many children run at once.
        limits: The limits of each child.
    """
    needed = OPERATOR_BYTES + children * limits.process_memory
    if limit is None or limit >= needed:
        return ""
    each = limits.process_memory >> 20
    return (
        f"the memory limit is {limit >> 20} MiB, and {children} inspections of {each} MiB and the operator's "
        f"own {OPERATOR_BYTES >> 20} MiB need {needed >> 20} MiB: raise it, or lower FTL_INSPECTORS or "
        "FTL_INSPECT_MEMORY_BYTES; as it is, a component can have the operator killed"
    )


def _files(root: Path) -> list[Path]:
    """The files with the limits of this cgroup and of its parents."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a cgroup namespace, as in a container, the path is relative to the namespace's root or not
        # visible.
        place = base / path.lstrip("/")
        files += [folder / name for folder in (place, *place.parents) if folder.is_relative_to(base)]
    return files


def _read(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) < _NO_LIMIT else None
