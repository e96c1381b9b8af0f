"""Where the real parts lie: programs and CRDs of pinned Go modules, as `builds` put them into the cache."""

import functools
import shutil
from pathlib import Path

from builds import NotBuiltError, built
from e2e.support.process import HarnessError

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent

CRD_KINDS = {
    "github.com/kedacore/keda/v2@v2.21.0": ("keda.sh", ("scaledobjects", "triggerauthentications")),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "monitoring.coreos.com",
        ("servicemonitors", "prometheusrules"),
    ),
    "sigs.k8s.io/gateway-api@v1.7.0": (
        "gateway.networking.k8s.io",
        ("gatewayclasses", "gateways", "httproutes", "referencegrants"),
    ),
}
"""Modules whose CRDs validate what the operator applies: their API group, and the kinds to take."""


def program(name: str) -> Path:
    """A program of the control plane, or helm. Raises HarnessError if it is not built."""
    return target("helm" if name == "helm" else "control-plane") / name


def target(name: str) -> Path:
    """The folder of something built. Raises HarnessError, which names the `make` target that builds it."""
    try:
        return built(name)
    except NotBuiltError as error:
        raise HarnessError(str(error)) from None


@functools.cache
def etcd() -> str:
    found = shutil.which("etcd")
    if not found:
        raise HarnessError("no etcd on PATH: apt-get install etcd-server")
    return found


def spin_operator_files() -> Path:
    """The `config` folder of the spin-operator module that the control plane was built from."""
    return target("control-plane") / "spin-operator-config"


def spin_operator_version() -> str:
    """The version of spin-operator's module."""
    words = (HERE / "controlplane" / "go.mod").read_text().split()
    return words[words.index("github.com/spinkube/spin-operator") + 1]


def http_add_on_files() -> Path:
    """The `config` folder of the module that KEDA's HTTP add-on was built from."""
    return target("http-add-on") / "config"


def crds() -> list[Path]:
    """The CRD files of `CRD_KINDS` and of KEDA's HTTP add-on."""
    return [
        module_files(module) / f"{group}_{kind}.yaml"
        for module, (group, kinds) in CRD_KINDS.items()
        for kind in kinds
    ] + sorted((http_add_on_files() / "crd" / "bases").iterdir())


def module_files(module: str) -> Path:
    """The folder with a Go module's CRDs."""
    return target("crds") / module.replace("/", "_")
