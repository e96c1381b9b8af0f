"""Where the real parts come from: binaries and CRDs of pinned Go modules, kept in the user's cache."""

import functools
import io
import json
import os
import shutil
import subprocess
import urllib.request
import zipfile
from pathlib import Path

from e2e.process import HarnessError, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

HTTP_ADD_ON = "github.com/kedacore/http-add-on@v0.12.0"
INTERCEPTOR = (HTTP_ADD_ON, "./interceptor")
"""The program through which the add-on's requests come; its first build takes two minutes."""
CRD_MODULES = {
    "github.com/kedacore/keda/v2@v2.21.0": ("config/crd/bases/", ("scaledobjects", "triggerauthentications")),
    HTTP_ADD_ON: ("config/crd/bases/", ("httpscaledobjects",)),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/",
        ("servicemonitors", "prometheusrules"),
    ),
    "sigs.k8s.io/gateway-api@v1.7.0": (
        "config/crd/standard/",
        ("gatewayclasses", "gateways", "httproutes", "referencegrants"),
    ),
}
"""Modules whose CRDs validate what the operator applies: the folder that holds them, the kinds to take."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ftl-operator"


@functools.cache
def folder() -> Path:
    """The folder with the control plane's binaries; the first call on a machine builds them (ten minutes)."""
    done = subprocess.run([HERE / "controlplane" / "build.sh"], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise HarnessError(
            "e2e/controlplane/build.sh failed; its messages are above. It needs Go 1.24 or newer"
        )
    return Path(done.stdout.decode().strip())


def program(module: str, package: str) -> Path:
    """Where `build_program` puts the program of a package of a Go module, `NAME@VERSION`."""
    return cache() / "programs" / module.replace("/", "_") / package.rpartition("/")[2]


def build_program(module: str, package: str) -> Path:
    """Build a program, once. In its module's folder, so that the module's own go.mod decides on the rest.

    Args:
        module: `NAME@VERSION`.
        package: The package's folder in the module, as `./cmd/name`.
    """
    target = program(module, package)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Outside of this repository, whose go.mod has other versions of what it needs.
    told = json.loads(run(["go", "-C", str(target.parent), "mod", "download", "-json", module]))
    partial = target.with_suffix(f".{os.getpid()}")
    options = ["-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(partial)]
    run(["go", "-C", told["Dir"], "build", *options, package], env={"CGO_ENABLED": "0"})
    partial.rename(target)
    return target


@functools.cache
def etcd() -> str:
    found = shutil.which("etcd")
    if not found:
        raise HarnessError("no etcd on PATH: apt-get install etcd-server")
    return found


@functools.cache
def spin_operator_files() -> Path:
    """The `config` folder of the spin-operator module that the control plane was built from."""
    command = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/spinkube/spin-operator"]
    done = subprocess.run(command, cwd=HERE / "controlplane", capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise HarnessError(f"{' '.join(command)}: {done.stderr.strip()}")
    return Path(done.stdout.strip()) / "config"


def crds() -> list[Path]:
    """The CRD files of `CRD_MODULES`, fetched from the Go module proxy once."""
    return [
        module_files(module, below) / f"{group}_{kind}.yaml"
        for module, (below, kinds) in CRD_MODULES.items()
        for kind in kinds
        for group in [_GROUPS[module.partition("@")[0]]]
    ]


_GROUPS = {
    "github.com/kedacore/keda/v2": "keda.sh",
    "github.com/kedacore/http-add-on": "http.keda.sh",
    "github.com/prometheus-operator/prometheus-operator": "monitoring.coreos.com",
    "sigs.k8s.io/gateway-api": "gateway.networking.k8s.io",
}


def module_files(module: str, below: str) -> Path:
    """The folder in the cache with a module's YAML files."""
    target = cache() / "crds" / module.replace("/", "_")
    if target.exists():
        return target
    name, _, version = module.partition("@")
    # The proxy's protocol writes capitals as !x; none of these names has one.
    url = f"{_proxy()}/{name}/@v/{version}.zip"
    with urllib.request.urlopen(url, timeout=120) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    prefix = f"{module}/{below}"
    for entry in archive.namelist():
        if entry.startswith(prefix) and entry.endswith(".yaml"):
            (partial / Path(entry).name).write_bytes(archive.read(entry))
    partial.rename(target)
    return target


def _proxy() -> str:
    proxies = run(["go", "env", "GOPROXY"]).strip().replace("|", ",").split(",")
    for proxy in proxies:
        if proxy.startswith("http"):
            return proxy.rstrip("/")
    raise HarnessError("GOPROXY names no proxy; set GOPROXY=https://proxy.golang.org")
