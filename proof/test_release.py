"""The steps of the release workflow that need nobody else, run in its order on the image of `make proof`.

What is not run here: the image for arm64, `oras push` of Artifact Hub's file, and everything that is
signed, because signatures, attestations and provenance name a workflow that only GitHub can vouch for.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import requests
import yaml

from builds import built
from scripts import release
from tests.support.registries import IMAGE_MANIFEST, run_registry

ROOT = Path(__file__).parents[1]
Figure = Callable[[str, object], None]
VERSION = release.version(ROOT)
_OF_ANOTHER_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")


def step(job: str, name: str) -> str:
    """What a step of the release workflow runs."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (found,) = (entry["run"] for entry in workflow["jobs"][job]["steps"] if entry.get("name") == name)
    assert isinstance(found, str)
    return found


def run_step(job: str, name: str, **variables: str) -> None:
    """Run a step's own lines by bash as a runner does. Raises CalledProcessError if one of them fails."""
    inherited = {key: value for key, value in os.environ.items() if key not in _OF_ANOTHER_MAKE}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(job, name)]
    subprocess.run(command, cwd=ROOT, env={**inherited, **variables}, check=True)


def pushed_image(image: Path, reference: str, folder: Path) -> str:
    """The digest of the image's manifest after buildah has pushed it to a registry without TLS."""
    engine = ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run")]
    if driver := os.environ.get("STORAGE_DRIVER"):
        engine += ["--storage-driver", driver]
    isolated = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    source = f"oci-archive:{image / 'image.tar'}"
    pull = [*engine, "pull", "--quiet", source]
    name = subprocess.run(pull, env=isolated, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    push = [*engine, "push", "--quiet", "--tls-verify=false", "--digestfile", str(folder / "digest")]
    subprocess.run([*push, name, f"docker://{reference}"], env=isolated, check=True)
    return (folder / "digest").read_text().strip()


def test_the_image_the_bill_and_the_chart_leave_as_the_workflow_says(
    image: Path, figure: Figure, tmp_path: Path
) -> None:
    helm = built("helm") / "helm"
    with run_registry(tmp_path / "registry") as registry:
        (tmp_path / "buildah").mkdir()
        digest = pushed_image(image, f"{registry.host}/ftl-operator:{VERSION}", tmp_path / "buildah")

        bill = ROOT / "dist" / "ftl-operator.cdx.json"
        bill.unlink(missing_ok=True)
        run_step("image", "Write the bill of materials")
        assert json.loads(bill.read_text())["bomFormat"] == "CycloneDX"

        package = ROOT / "dist" / f"ftl-operator-{VERSION}.tgz"
        package.unlink(missing_ok=True)
        run_step("chart", "Package the chart for this image", DIGEST=digest)

        # The workflow's own Python has none of our packages.
        push = [
            Path(sys.base_prefix) / "bin" / "python3",
            "-I",
            ROOT / "scripts" / "release.py",
            "push",
            package,
        ]
        chart = f"oci://{registry.host}/charts"
        done = subprocess.run(
            [*push, chart, "--plain-http"], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        )
        assert done.stdout.startswith("sha256:")

        rendered = subprocess.run(
            [
                *(helm, "template", "x", f"{chart}/ftl-operator", "--plain-http", "--version", VERSION),
                *("--kube-version", "1.34.0", "--set", "publish.repository=r.example.com/apps"),
                *("--set", f"image.repository={registry.host}/ftl-operator"),
            ],
            env={**os.environ, "HOME": str(tmp_path)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        (deployment,) = (
            document
            for document in yaml.safe_load_all(rendered)
            if document and document["kind"] == "Deployment"
        )
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"{registry.host}/ftl-operator@{digest}"
        found = requests.get(
            f"http://{registry.host}/v2/ftl-operator/manifests/{digest}",
            headers={"Accept": IMAGE_MANIFEST},
            timeout=30,
        )
        assert found.status_code == 200, found.text
    figure("digest of the image in a registry, which the released chart names", digest)
    figure("digest of the chart in it", done.stdout.strip())
    figure("components in the bill of materials", len(json.loads(bill.read_text())["components"]))
