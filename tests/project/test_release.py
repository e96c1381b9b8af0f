"""What the release workflow runs of ours: tag, notes, bill of materials, and the chart into a registry."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import requests
import yaml

from builds import built
from builds.programs import uv
from scripts import release
from tests.support.registries import IMAGE_MANIFEST, run_registry

ROOT = Path(__file__).parents[2]
VERSION = release.version(ROOT)
DIGEST = f"sha256:{'5' * 64}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a release reads of the repository."""
    folder = tmp_path / "clone"
    for name in ("pyproject.toml", "CHANGELOG.md"):
        folder.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / release.CHART, folder / release.CHART)
    text = (folder / "CHANGELOG.md").read_text()
    (folder / "CHANGELOG.md").write_text(
        text.replace(
            "## [Unreleased]", f"## [{VERSION}] - 2026-12-01\n\n### Added\n- Everything.\n\n## [0.0.1]"
        )
    )
    return folder


def test_a_tag_that_is_the_version_with_notes_is_released(clone: Path) -> None:
    release.check(clone, f"v{VERSION}")
    assert release.notes(clone, VERSION) == "### Added\n- Everything.\n"


@pytest.mark.parametrize("tag", ["v9.9.9", VERSION, "v0.1", f"v{VERSION}-rc.1"])
def test_another_tag_is_not(clone: Path, tag: str) -> None:
    with pytest.raises(release.ReleaseError, match="is not v"):
        release.check(clone, tag)


@pytest.mark.parametrize("name", ["version", "appVersion"])
def test_a_chart_of_another_version_is_not(clone: Path, name: str) -> None:
    path = clone / release.CHART / "Chart.yaml"
    path.write_text(path.read_text().replace(f"\n{name}: {VERSION}\n", f"\n{name}: 9.9.9\n"))
    with pytest.raises(release.ReleaseError, match=f"another {name}"):
        release.check(clone, f"v{VERSION}")


def test_a_version_without_notes_is_not(clone: Path) -> None:
    text = (clone / "CHANGELOG.md").read_text()
    (clone / "CHANGELOG.md").write_text(text.replace("### Added\n- Everything.\n", "", 1))
    with pytest.raises(release.ReleaseError, match="no section"):
        release.check(clone, f"v{VERSION}")


def test_the_bill_of_materials_has_each_package_and_crate_once_by_digest(tmp_path: Path) -> None:
    documents = []
    for name in ("first", "second"):
        path = tmp_path / name / "bom.json"
        subprocess.run(
            [sys.executable, ROOT / "scripts" / "sbom.py", path],
            env={**os.environ, "UV": uv()},
            check=True,
            capture_output=True,
        )
        documents.append(path.read_text())
    assert documents[0] == documents[1], "the same sources give the same document"
    bom = json.loads(documents[0])
    names = [component["purl"].partition("@")[0] for component in bom["components"] if "purl" in component]
    assert len(names) > 100
    assert {"pkg:pypi/kopf", "pkg:pypi/wasmtime", "pkg:cargo/regorus", "pkg:cargo/wit-bindgen"} <= set(names)
    assert not {"pkg:pypi/pytest", "pkg:pypi/mkdocs-material", "pkg:pypi/ruff"} & set(names)
    refs = [component["bom-ref"] for component in bom["components"]]
    assert len(refs) == len(set(refs))
    known = {*refs, bom["metadata"]["component"]["bom-ref"]}
    for entry in bom["dependencies"]:
        assert {entry["ref"], *entry.get("dependsOn", ())} <= known
    for component in bom["components"]:
        if component.get("purl", "").startswith("pkg:cargo/"):
            assert [len(one["content"]) for one in component["hashes"]] == [64], component


@pytest.mark.needs("helm")
def test_the_chart_names_the_image_by_digest_and_gets_into_a_registry(tmp_path: Path) -> None:
    helm = built("helm") / "helm"
    package = release.chart(ROOT, helm, tmp_path / "dist", DIGEST)
    with tarfile.open(package) as archive:
        member = archive.extractfile("ftl-operator/values.yaml")
        assert member
        values = yaml.safe_load(member.read())
    assert values["image"]["digest"] == DIGEST
    with run_registry(tmp_path / "registry") as registry:
        pushed = release.push(helm, package, f"oci://{registry.host}/charts", "--plain-http")
        answer = requests.get(
            f"http://{registry.host}/v2/charts/ftl-operator/manifests/{VERSION}",
            headers={"Accept": IMAGE_MANIFEST},
            timeout=30,
        )
        assert answer.headers["Docker-Content-Digest"] == pushed
        pulled = [helm, "template", "x", f"oci://{registry.host}/charts/ftl-operator", "--plain-http"]
        done = subprocess.run(
            [
                *pulled,
                "--version",
                VERSION,
                "--kube-version",
                "1.34.0",
                "--set",
                "publish.repository=r.example.com/apps",
            ],
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert f"ghcr.io/ftl-tools/ftl-operator@{DIGEST}" in done.stdout


@pytest.mark.needs("helm")
def test_a_chart_that_no_registry_takes_is_a_failure(tmp_path: Path) -> None:
    helm = built("helm") / "helm"
    package = release.chart(ROOT, helm, tmp_path, "")
    with pytest.raises(release.ReleaseError, match="not pushed"):
        release.push(helm, package, "oci://127.0.0.1:1/charts", "--plain-http")


@pytest.mark.parametrize("digest", ["latest", "sha256:12", f"{DIGEST}0"])
def test_what_is_no_digest_is_refused(tmp_path: Path, digest: str) -> None:
    with pytest.raises(release.ReleaseError, match="no digest"):
        release.chart(ROOT, Path("/nonexistent"), tmp_path, digest)
