"""Runs a command in the image's files as a cluster with the restricted Pod Security Standard does, by runc.

    container.py ROOT WRITABLE UID COMMAND…

ROOT is read-only, the uid has no name, no capability and no way to get one. WRITABLE is at its own path and
may be written to; `/tmp` and `/cache` are empty, as the chart mounts them. Standard input becomes
WRITABLE/kubeconfig. The network is the caller's, and so are the variables. The program becomes runc, so
signals reach the command.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

_NAMESPACES = ("mount", "pid", "ipc", "uts")
_HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/sys/firmware")


def specification(root: Path, writable: Path, uid: int, command: list[str]) -> dict[str, Any]:
    """The container as the OCI runtime specification 1.0 writes it."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": uid, "gid": uid},
            "cwd": "/",
            "args": command,
            "env": [f"{name}={value}" for name, value in os.environ.items()],
            "noNewPrivileges": True,
            "capabilities": {
                name: [] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
            },
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
            {"destination": "/cache", "source": str(writable / "cache"), "options": ["bind", "rw"]},
            {"destination": str(writable), "source": str(writable), "options": ["bind", "rw"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in _NAMESPACES],
            "maskedPaths": list(_HIDDEN),
            "readonlyPaths": ["/proc/sys"],
        },
    }


def main() -> None:
    """Become the container; ends with the command's exit status."""
    root, writable, uid, *command = sys.argv[1:]
    runc = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if runc is None:
        sys.exit("runc is not installed: run 'scripts/prerequisites proof'")
    place = Path(writable)
    (place / "cache").mkdir(exist_ok=True)
    for folder in (place, place / "cache"):
        folder.chmod(0o777)  # the kubelet makes an emptyDir writable by its fsGroup
    (place / "kubeconfig").write_text(sys.stdin.read(), encoding="utf-8")
    bundle = Path(tempfile.mkdtemp(prefix="bundle.", dir=place.parent))
    (bundle / "config.json").write_text(json.dumps(specification(Path(root), place, int(uid), command)))
    # Some machines' root is in memory, where no root can be pivoted.
    os.execv(
        runc,
        ["runc", "--root", str(bundle / "state"), "run", "--no-pivot", "--bundle", str(bundle), bundle.name],
    )


if __name__ == "__main__":
    main()
