"""The documentation's pages for a cluster: every command runs, in the order in which a reader meets them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import binaries
from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.cluster.registry import PASSWORD, USER
from e2e.support.process import wait_until
from tests.support.pages import Reader
from tests.test_docs import CLUSTER, DOCS

ROOT = binaries.ROOT
ORDER = (
    "install",
    "first-app",
    "gitops",
    "private-registries",
    "network",
    "scale-to-zero",
    "upgrade",
    "admission",
)
CRDS = {
    "github.com/argoproj/argo-cd/v3@v3.5.7": "application-crd.yaml",
    "github.com/fluxcd/helm-controller@v1.4.0": "helm.toolkit.fluxcd.io_helmreleases.yaml",
    "github.com/fluxcd/kustomize-controller@v1.10.1": "kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    "github.com/fluxcd/source-controller@v1.10.1": "source.toolkit.fluxcd.io_gitrepositories.yaml",
}
"""Argo CD's and Flux's own schemas: their controllers are not here, but what they are given is checked."""


@pytest.fixture(scope="module")
def reader(cluster: Cluster, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of the repository to work in, and the programs that a reader has."""
    clone, programs = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("programs")
    for name in ("charts", "gitops", "examples", "crds"):
        (clone / name).symlink_to(ROOT / name)
    helm = binaries.program("helm")
    # A reader's registry speaks TLS; this one does not, and that is all that these two add.
    _program(
        programs / "helm",
        f'case "$1" in install|upgrade) set -- "$@" --set "plainHttpRegistries={{$REGISTRY}}";; esac\n'
        f'exec "{helm}" "$@"',
    )
    _program(programs / "oras", f'cd "{ROOT}" && exec python -m e2e.support.oras "$OLDPWD" "$@"')
    given = {
        "KUBECONFIG": str(cluster.admin),
        "HOME": str(cluster.folder),
        "REGISTRY": cluster.registry.address,
        "REGISTRY_USER": USER,
        "REGISTRY_PASSWORD": PASSWORD,
        "PATH": f"{programs}:{cluster.bin}:{os.environ['PATH']}",
    }
    _install_gitops(cluster)
    cluster.namespace("keda", spin=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield clone
    for name in ("agents", "argocd", "flux-system"):
        if cluster.api.find("v1", "Namespace", name):
            cluster.api.delete("v1", "Namespace", name)
    operator.install()


@pytest.mark.parametrize("name", ORDER)
def test_a_reader_can_follow_the_page(name: str, reader: Path, tmp_path: Path) -> None:
    Reader(reader, tmp_path, ROOT).follow(DOCS / "how-to" / f"{name}.md")


def test_every_page_for_a_cluster_is_followed() -> None:
    pages = {page.stem for page in DOCS.rglob("*.md") if CLUSTER in page.read_text()}
    assert pages == set(ORDER)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _install_gitops(cluster: Cluster) -> None:
    """What Argo CD and Flux bring to a cluster, as far as a person's commands meet it."""
    for module, file in CRDS.items():
        cluster.kubectl("apply", "--server-side", "--filename", str(binaries.module_files(module) / file))
    for kind in (
        "application.argoproj.io",
        "helmrelease.helm.toolkit.fluxcd.io",
        "kustomization.kustomize.toolkit.fluxcd.io",
    ):
        wait_until(
            f"{kind} is served", lambda kind=kind: cluster.kubectl("get", kind, "--all-namespaces") or True
        )
    for name in ("argocd", "flux-system"):
        cluster.namespace(name, spin=False)
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
    }
    cluster.api.apply(config)
