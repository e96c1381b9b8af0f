"""The image: the test carries out its steps without a container engine, and runs the result."""

import re
import subprocess
from contextlib import closing

import pytest

from tests.chart.dockerfile import carry_out, environment_of, steps
from tests.chart.helm import ROOT, the, values
from tests.support import confined
from tests.support.empty_cluster import EmptyCluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return carry_out(ROOT, tmp_path_factory.mktemp("image"))


def files(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_the_operator_starts_and_writes_nothing_into_the_image(image, arguments):
    before = files(image.root)
    environment = environment_of(image) | {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    done = subprocess.run(
        [*image.command, *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ftl" in done.stdout
    assert files(image.root) == before


@pytest.mark.parametrize("uid", [confined.IMAGES_UID, confined.OPENSHIFTS_UID])
def test_what_the_image_holds_gets_ready_as_a_uid_that_nobody_knows(image, uid, tmp_path_factory, tmp_path):
    confined.demand(tmp_path_factory.mktemp("confined"))
    before = files(image.root)
    environment = {name: environment_of(image)[name] for name in ("PATH", "PYTHONUNBUFFERED")}
    with closing(EmptyCluster()) as cluster:
        confined.run_operator(image.command, environment, tmp_path, uid, cluster)
    assert files(image.root) == before


def test_the_environment_has_the_package_with_its_components_and_no_development_tool(image):
    (site,) = (image.root / "opt/ftl-operator/lib").glob("python*/site-packages")
    package = site / "ftl_operator"
    assert (package / "componentize.wasm").is_file()
    assert (package / "gateway.wasm").is_file()
    assert list(package.glob("__pycache__/*.pyc"))
    assert not [name for name in ("pytest", "mypy", "ruff", "mkdocs") if (site / name).exists()]


@pytest.mark.needs("helm")
def test_the_chart_runs_what_the_image_runs_as_the_same_user(image, tmp_path):
    spec = the(values(tmp_path), "Deployment")["spec"]["template"]["spec"]
    assert spec["containers"][0]["command"] == image.command
    assert image.user == f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    writable = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert {image.environment["HOME"], image.environment["XDG_CACHE_HOME"]} <= writable


def test_everything_that_is_downloaded_has_a_digest():
    said = steps(ROOT / "Dockerfile")
    bases = {rest.partition(" AS ")[0] for word, rest in said if word == "FROM"}
    assert bases == {"${BASE}"}
    (argument,) = [rest for word, rest in said if word == "ARG"]
    base = argument.removeprefix("BASE=")
    assert re.fullmatch(r"python:3\.11[.0-9]*-slim-[a-z]+@sha256:[0-9a-f]{64}", base)
    assert not [rest for word, rest in said if word == "COPY" and re.search("--from=(?!build )", rest)]
    assert not [rest for word, rest in said if word == "ADD"]
    runs = " ".join(rest for word, rest in said if word == "RUN")
    assert runs.count("pip install") == runs.count("--require-hashes") == 1
    assert runs.count("uv sync") == runs.count("--frozen") == 2
    assert not re.search("curl|wget|apt-get", runs)


def test_uv_is_pinned_by_hash():
    text = (ROOT / "scripts/uv.txt").read_text()
    assert re.search(r"^uv==\d+\.\d+\.\d+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+$", text, re.MULTILINE)
