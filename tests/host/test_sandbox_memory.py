"""The memory limit, read from cgroups of both versions, compared with what inspections may use."""

from pathlib import Path

import pytest

from ftl_operator.host.limits import SandboxLimits
from ftl_operator.host.sandbox.memory import memory_limit, shortage

MIB = 1 << 20


def machine(root: Path, own: str, **limits: str) -> Path:
    """A root folder with this `/proc/self/cgroup` and these files below `/sys/fs/cgroup`."""
    for path, text in {
        "proc/self/cgroup": own,
        **{f"sys/fs/cgroup/{at}": limits[at] for at in limits},
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/", {"memory.max": "2147483648"}, 2048 * MIB),
        ("0::/", {"memory.max": "max"}, None),
        ("0::/", {}, None),
        ("0::/a/b", {"a/memory.max": "1000", "a/b/memory.max": "max"}, 1000),
        ("0::/a/b", {"a/memory.max": "max", "a/b/memory.max": "500"}, 500),
        # In a cgroup namespace the path may be one that is not to be seen.
        ("0::/../../pod", {"memory.max": "700"}, 700),
        ("4:memory:/kubepods\n0::/", {"memory/memory.limit_in_bytes": "300"}, 300),
        ("4:cpu,memory:/p", {"memory/p/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("3:cpu:/x", {"memory.max": "5"}, None),
    ],
)
def test_the_smallest_limit_on_the_way_up_holds(
    tmp_path: Path, own: str, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(machine(tmp_path, own, **files)) == limit


def test_a_machine_without_cgroups_has_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None


def test_the_chart_s_limit_has_room_for_its_inspections() -> None:
    limits = SandboxLimits.of(512 * MIB, 20)
    assert limits.process_memory == 768 * MIB
    assert shortage(2048 * MIB, 2, limits) == ""
    assert shortage(None, 16, limits) == ""
    text = shortage(1024 * MIB, 2, limits)
    assert "1024 MiB, and 2 inspections of 768 MiB and the operator's own 256 MiB need 1792 MiB" in text
    assert shortage(1024 * MIB, 1, limits) == ""
