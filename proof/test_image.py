"""The operator's image, built by buildah from the Dockerfile: run read-only, without root or a capability."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builds.programs import uv
from proof import container
from tests.support import confined
from tests.support.empty_cluster import EmptyCluster

ROOT = Path(__file__).parents[1]
Figure = Callable[[str, object], None]
UIDS = (confined.IMAGES_UID, confined.OPENSHIFTS_UID)
PROBE = """
import json, os
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
def refused(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
places = ("/written", "/opt/ftl-operator/written", "/proc/sys/kernel/hostname", "/tmp/written")
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "noNewPrivileges": status["NoNewPrivs"],
    "refused": {place: refused(place) for place in places},
}))
"""


@pytest.fixture(scope="module")
def config(image: Path) -> Mapping[str, Any]:
    """The image's configuration, each blob on the way to it checked against its digest."""
    with tarfile.open(image / "image.tar") as archive:

        def blob(digest: str) -> dict[str, Any]:
            file = archive.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
            assert file
            raw = file.read()
            assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest
            content: dict[str, Any] = json.loads(raw)
            return content

        index = archive.extractfile("index.json")
        assert index
        (entry,) = json.load(index)["manifests"]
        manifest = blob(entry["digest"])
        return {**blob(manifest["config"]["digest"]), "layers": manifest["layers"]}


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in config["config"]["Env"])


def run(image: Path, config: Mapping[str, Any], folder: Path, uid: int, *command: str) -> str:
    """What a command in the container says on its standard output. Raises AssertionError if it fails."""
    writable = folder / "writable"
    writable.mkdir(exist_ok=True)
    done = subprocess.run(
        [*by_runc(image)(writable, uid), *command],
        env=environment(config),
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_runc(image: Path) -> Callable[[Path, int], list[str]]:
    """The words before a command that has it run in the image's files."""

    def words(writable: Path, uid: int) -> list[str]:
        return [sys.executable, str(container.__file__), str(image / "root"), str(writable), str(uid)]

    return words


def contents(image: Path) -> list[tuple[str, str, int, str]]:
    """Mode, owner, size and path of everything in the image."""
    entries = [line.split(" ", 3) for line in (image / "contents.txt").read_text().splitlines()]
    return [(mode, owner, int(size), path) for mode, owner, size, path in entries]


def test_it_runs_what_the_dockerfile_says_as_its_user(config: Mapping[str, Any]) -> None:
    said = config["config"]
    assert said["User"] == "65532:65532"
    assert said["Cmd"] == ["python", "-m", "ftl_operator"]
    assert said["WorkingDir"] == "/"
    assert environment(config)["HOME"] == "/tmp"
    assert said["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_it_holds_the_operator_and_no_tool_of_the_builds(
    image: Path, config: Mapping[str, Any], figure: Figure
) -> None:
    entries = contents(image)
    ours = [entry for entry in entries if entry[3].startswith("opt/")]
    figure("bytes of the archive", f"{(image / 'image.tar').stat().st_size:,}")
    figure("bytes of the layers", ", ".join(f"{layer['size']:,}" for layer in config["layers"]))
    figure("bytes unpacked", f"{sum(size for mode, _, size, _ in entries if mode.startswith('-')):,}")
    figure("of these ours", f"{sum(size for mode, _, size, _ in ours if mode.startswith('-')):,}")
    figure("files", f"{sum(mode.startswith('-') for mode, *_ in entries):,}")
    paths = {path for *_, path in entries}
    assert not {path for path in paths if re.match(r"(src|opt/uv|root/\.cache)(/|$)", path)}
    assert not {path for path in paths if re.match(r"usr/bin/(gcc|cc|make|git|curl|uv)$", path)}
    assert not {path for path in paths if path in ("etc/pip.conf", "etc/uv/uv.toml")}
    site = "opt/ftl-operator/lib/python3.11/site-packages"
    components = ("gateway", "login", "componentize")
    assert {f"{site}/ftl_operator/{name}.wasm" for name in components} <= paths
    assert not {
        name for name in ("pytest", "mypy", "ruff", "pip", "kubernetes/aio") if f"{site}/{name}" in paths
    }
    for mode, owner, _, path in ours:
        assert owner == "0:0", f"{path} belongs to {owner}"
        assert "s" not in mode, f"{path} lends its owner's rights"
        assert mode[0] == "l" or mode[8] != "w", f"{path} may be changed by anybody"


def test_it_holds_what_the_bill_of_materials_lists(image: Path, figure: Figure, tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    command = [sys.executable, ROOT / "scripts" / "sbom.py", path]
    subprocess.run(command, env={**os.environ, "UV": uv()}, check=True, capture_output=True)
    listed = {
        component["purl"].removeprefix("pkg:pypi/")
        for component in json.loads(path.read_text())["components"]
        if component.get("purl", "").startswith("pkg:pypi/")
    }
    (site,) = (image / "root/opt/ftl-operator/lib").glob("python*/site-packages")
    installed = set()
    for folder in site.glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        installed.add(f"{re.sub('[-_.]+', '-', name).lower()}@{version}")
    figure("Python packages in it", len(installed))
    assert {name for name in installed if not name.startswith("ftl-operator@")} <= listed


@pytest.mark.parametrize("uid", UIDS)
def test_a_process_in_it_has_no_rights_and_writes_where_it_may_only(
    image: Path, config: Mapping[str, Any], uid: int, tmp_path: Path
) -> None:
    found = json.loads(run(image, config, tmp_path, uid, "python", "-c", PROBE))
    refused = found.pop("refused")
    assert found == {
        "uid": uid,
        "gid": uid,
        "groups": [],
        "capabilities": ["0000000000000000"] * 5,
        "noNewPrivileges": "1",
    }
    assert refused.pop("/tmp/written") is None
    assert None not in refused.values()


@pytest.mark.parametrize("uid", UIDS)
def test_the_operator_gets_ready_and_ends_when_it_is_told_to(
    image: Path, config: Mapping[str, Any], uid: int, figure: Figure, tmp_path: Path
) -> None:
    started = time.monotonic()
    with closing(EmptyCluster()) as cluster:
        command, given = config["config"]["Cmd"], environment(config)
        confined.run_operator(command, given, tmp_path, uid, cluster, by_runc(image))
    figure(f"seconds until ready, and ended again, as {uid}", f"{time.monotonic() - started:.1f}")


def test_it_runs_components_that_nobody_trusts_yet(
    image: Path, config: Mapping[str, Any], figure: Figure, tmp_path: Path
) -> None:
    """Inspection compiles and confines a component in a child process: all in a container without rights."""
    writable = tmp_path / "writable"
    writable.mkdir()
    (writable / "text.wasm").write_bytes((ROOT / "examples/quickstart/text.wasm").read_bytes())
    started = time.monotonic()
    said = run(
        image,
        config,
        tmp_path,
        UIDS[0],
        *("ftl-operator", "inspect", f"file:{writable}/text.wasm", "--output", "json"),
    )
    figure("seconds to inspect a component of Rust", f"{time.monotonic() - started:.1f}")
    assert {"count", "slugify"} <= {tool["name"] for tool in json.loads(said)["tools"]}


def test_python_in_it_is_the_one_that_the_packages_were_made_for(
    image: Path, config: Mapping[str, Any], figure: Figure, tmp_path: Path
) -> None:
    version = run(image, config, tmp_path, UIDS[0], "python", "--version").strip()
    figure("Python in it", version)
    assert version.startswith("Python 3.11.")
