"""Write what the operator's image is made of, as CycloneDX 1.5: `sbom.py FILE`.

The Python packages are those of uv.lock without the development's, as uv exports them. The crates are those
that gateway.wasm, login.wasm and componentize.wasm are made of, by their lock files, each with its digest.
What Debian brings with the base image is not in it: scanners read that from the image itself.

Two runs on the same sources write the same bytes: serial number and time come from content and last commit.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WASM = {
    "component": "gateway_component/Cargo.lock",
    "componentize": "gateway_component/componentize/Cargo.lock",
}
"""The crates that are built into the package's Wasm files, and the lock files of what each of them uses."""
Component = dict[str, Any]


def python_bom() -> dict[str, Any]:
    """What uv says of the packages that the operator needs to run."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    done = subprocess.run(
        [
            *(uv, "export", "--frozen", "--quiet", "--no-dev", "--no-editable"),
            *("--format", "cyclonedx1.5", "--preview-features", "sbom-export"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    bom: dict[str, Any] = json.loads(done.stdout)
    return bom


def crates(lock: Path, root: str) -> Iterator[tuple[str, str, str | None, list[str]]]:
    """Name, version, SHA-256 and dependencies (as `NAME@VERSION`) of a crate and all that it needs.

    A crate of this repository has no SHA-256. In Cargo's format a dependency is `NAME`, or `NAME VERSION`
    where the lock file has several versions of it.
    """
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)

    def find(wanted: str) -> dict[str, Any]:
        name, _, version = wanted.partition(" ")
        (found,) = [one for one in by_name[name] if not version or one["version"] == version.split()[0]]
        return found

    seen: set[str] = set()
    waiting = [find(root)]
    while waiting:
        package = waiting.pop()
        key = f"{package['name']}@{package['version']}"
        if key in seen:
            continue
        seen.add(key)
        needs = [find(dependency) for dependency in package.get("dependencies", ())]
        waiting += needs
        names = [f"{one['name']}@{one['version']}" for one in needs]
        yield package["name"], package["version"], package.get("checksum"), names


def add_crates(bom: dict[str, Any]) -> None:
    """Add the crates' components and dependencies, each crate once, to what uv wrote."""
    components: dict[str, Component] = {}
    dependencies: dict[str, set[str]] = {}
    for root, lock in WASM.items():
        for name, version, checksum, needs in crates(ROOT / lock, root):
            ref = f"cargo:{name}@{version}"
            component: Component = {"type": "library", "bom-ref": ref, "name": name, "version": version}
            if checksum:
                component["purl"] = f"pkg:cargo/{name}@{version}"
                component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
            components[ref] = component
            dependencies.setdefault(ref, set()).update(f"cargo:{need}" for need in needs)
            if name == root:
                _depend(bom, bom["metadata"]["component"]["bom-ref"], ref)
    bom["components"] += [components[ref] for ref in sorted(components)]
    bom["dependencies"] += [
        {"ref": ref, "dependsOn": sorted(needs)} for ref, needs in sorted(dependencies.items())
    ]


def _depend(bom: dict[str, Any], ref: str, on: str) -> None:
    (entry,) = [entry for entry in bom["dependencies"] if entry["ref"] == ref]
    entry["dependsOn"] = [*entry.get("dependsOn", ()), on]


def bill_of_materials() -> str:
    """The whole document."""
    bom = python_bom()
    bom["metadata"]["component"] |= {
        "type": "application",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    add_crates(bom)
    bom["metadata"]["timestamp"] = _last_change()
    del bom["serialNumber"]
    content = json.dumps(bom, sort_keys=True)
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return json.dumps(bom, indent=1) + "\n"


def _last_change() -> str:
    """The last commit's time, in UTC."""
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def main() -> int:
    """Write the file that the one argument names."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bill_of_materials(), encoding="utf-8")
    bom = json.loads(path.read_text(encoding="utf-8"))
    print(f"{path}: {len(bom['components'])} components")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
