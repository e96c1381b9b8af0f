"""Builds the components of the host's tests from source into the user's cache, once per change of a source.

`python tests/host/build_tools.py [guests|dates|words|text|units]...` builds ahead of time. A build that fails
fails the tests that need it: a tool that could not be built proves nothing.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
SOURCES = {
    "guests": ROOT / "tests/host/guests",
    "dates": ROOT / "examples/tools/python",
    "words": ROOT / "examples/tools/typescript",
    "text": ROOT / "examples/tools/rust",
    "units": ROOT / "examples/tools/rust",
}
_GENERATED = ("node_modules", "target", "dist", "__pycache__", "*.wasm")


def build(name: str) -> Path:
    """The component of that name, built if its sources changed. Raises subprocess.CalledProcessError."""
    source = SOURCES[name]
    directory = CACHE / "host-tests" / f"{source.name}-{_key(source)}"
    output = directory / f"{name}.wasm"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            copy = directory / "source"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*_GENERATED))
            made = _make(name, copy, directory)
            made.rename(output)
            shutil.rmtree(copy)
    return output


def _key(source: Path) -> str:
    digest = hashlib.sha256((ROOT / "scripts/wasm-cargo").read_bytes())
    for path in sorted(source.rglob("*")):
        inner = path.relative_to(source)
        if path.is_file() and not any(Path(part).match(one) for part in inner.parts for one in _GENERATED):
            digest.update(str(inner).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _make(name: str, copy: Path, directory: Path) -> Path:
    temporary = directory / f"{name}.new"
    if name == "dates":
        _run([str(copy / "build"), str(temporary)], copy)
        return temporary
    if name == "words":
        _run(["npm", "ci", "--silent"], copy)
        _run(["npm", "run", "--silent", "build"], copy)
        return (copy / "words.wasm").rename(temporary)
    target = CACHE / f"target-host-tests-{SOURCES[name].name}"
    _run(
        [str(ROOT / "scripts/wasm-cargo"), "build", "--release", "--locked", "--quiet"],
        copy,
        CARGO_TARGET_DIR=str(target),
    )
    return Path(shutil.copy(target / "wasm32-wasip2" / "release" / f"{name}.wasm", temporary))


def _run(command: list[str], directory: Path, **environment: str) -> None:
    subprocess.run(command, cwd=directory, env=os.environ | environment, check=True, timeout=1500)


if __name__ == "__main__":
    for one in sys.argv[1:] or SOURCES:
        print(build(one))
