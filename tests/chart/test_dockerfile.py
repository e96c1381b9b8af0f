"""The image: its steps are carried out without a container engine, and what comes out is run."""

import subprocess

import pytest

from tests.chart.dockerfile import carry_out, environment_of, steps
from tests.chart.helm import ROOT, the, values


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


def test_the_environment_has_the_package_with_its_components_and_no_development_tool(image):
    (site,) = (image.root / "opt/ftl-operator/lib").glob("python*/site-packages")
    package = site / "ftl_operator"
    assert (package / "componentize.wasm").is_file()
    assert (package / "gateway.wasm").is_file()
    assert list(package.glob("__pycache__/*.pyc"))
    assert not [name for name in ("pytest", "mypy", "ruff", "mkdocs") if (site / name).exists()]


def test_the_chart_runs_what_the_image_runs_as_the_same_user(image, tmp_path):
    spec = the(values(tmp_path), "Deployment")["spec"]["template"]["spec"]
    assert spec["containers"][0]["command"] == image.command
    assert image.user == f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    writable = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert {image.environment["HOME"], image.environment["XDG_CACHE_HOME"]} <= writable


def test_the_image_has_the_python_and_the_uv_of_the_project():
    said = " ".join(f"{word} {rest}" for word, rest in steps(ROOT / "Dockerfile"))
    (uv,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("UV_VERSION")]
    assert f"astral-sh/uv:{uv.rpartition(' ')[2]} " in said
    assert said.count("FROM python:3.11-slim") == 2
