"""The project's own papers and workflows: what they name exists, and what they run is what people run."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from builds import built
from ftl_operator.api.app import FtlApp

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def workflow(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def used(path: Path) -> list[str]:
    """Every action that a workflow uses, with the comment behind it."""
    return re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text(), re.MULTILINE)


@pytest.mark.needs("actionlint")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(
        [built("actionlint") / "actionlint", "-no-color"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.needs("actionlint")
def test_actionlint_finds_a_slip(tmp_path: Path) -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text()
    slip = tmp_path / "release.yml"
    slip.write_text(text.replace("needs: [check, image]", "needs: [chck, image]"))
    program = built("actionlint") / "actionlint"
    done = subprocess.run([program, slip], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chck" in done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_a_commit_and_says_which_version(path: Path) -> None:
    for action in used(path):
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_an_action_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action in used(path):
            name, _, version = action.partition("@")
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_a_job_says_what_else_it_needs(path: Path) -> None:
    document = workflow(path)
    assert document["permissions"] == {"contents": "read"}
    for name, job in document["jobs"].items():
        assert "uses" in job or "timeout-minutes" in job, name
        for step in job.get("steps", ()):
            if "checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_script_of_a_workflow_takes_values_by_variables_alone(path: Path) -> None:
    """What an expression puts into a script is run as the script's text, whoever wrote it."""
    for job in workflow(path)["jobs"].values():
        for step in job.get("steps", ()):
            assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_of_ours_exists(path: Path) -> None:
    text = path.read_text()
    runs = "\n".join(
        step.get("run", "") for job in workflow(path)["jobs"].values() for step in job.get("steps", ())
    )
    assert set(re.findall(r"^\s*make ([a-z-]+)", runs, re.MULTILINE)) <= TARGETS
    for name in re.findall(r"(?:^|[ (])((?:scripts|\.ci)/[\w.-]+)", runs, re.MULTILINE):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"hashFiles\((.*?)\)", text):
        for pattern in re.findall(r"'([^']+)'", name):
            assert any(ROOT.glob(pattern)), pattern


def test_ci_runs_on_the_images_own_base() -> None:
    base = re.search(r"python:3\.11\S+@sha256:[0-9a-f]{64}", (ROOT / "Dockerfile").read_text())
    assert base
    for path in (GITHUB / "workflows" / "ci.yml", ROOT / ".devcontainer" / "Dockerfile"):
        assert base[0] in path.read_text(), path


def test_hooks_and_devcontainer_run_what_make_has() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {hook["entry"].split()[-1] for hook in hooks} <= TARGETS
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert set(container["postCreateCommand"].removeprefix("make ").split()) <= TARGETS
    settings = container["customizations"]["vscode"]["settings"]
    for name in (*settings["rust-analyzer.linkedProjects"], *settings["yaml.schemas"]):
        assert (ROOT / name).is_file(), name


def test_owners_are_given_for_what_exists() -> None:
    lines = (GITHUB / "CODEOWNERS").read_text().splitlines()
    for line in lines:
        pattern = line.split()[0] if line and not line.startswith("#") else "*"
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), pattern


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_a_form_asks_each_thing_once(name: str) -> None:
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"])


def test_renovate_pins_actions_and_finds_what_builds_has() -> None:
    settings = json.loads((ROOT / "renovate.json").read_text())
    assert "helpers:pinGitHubActionDigests" in settings["extends"]
    targets = (ROOT / "builds" / "targets.py").read_text()
    for manager in settings["customManagers"]:
        for pattern in manager["matchStrings"]:
            assert re.search(pattern.replace("(?<", "(?P<"), targets), pattern


def test_the_charts_annotations_fit_the_chart() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "ftl-operator" / "Chart.yaml").read_text())
    told = {name: yaml.safe_load(text) for name, text in chart["annotations"].items()}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    values = yaml.safe_load((ROOT / "charts" / "ftl-operator" / "values.yaml").read_text())
    (image,) = told["artifacthub.io/images"]
    assert image["image"] == f"{values['image']['repository']}:{version}"
    crd = yaml.safe_load((ROOT / "crds" / "ftlapps.yaml").read_text())
    (named,) = told["artifacthub.io/crds"]
    assert named["name"] == crd["metadata"]["name"]
    assert named["version"] in [one["name"] for one in crd["spec"]["versions"]]
    kinds = {change["kind"] for change in told["artifacthub.io/changes"]}
    assert kinds <= {"added", "changed", "deprecated", "removed", "fixed", "security"}


def test_the_charts_example_is_an_app_that_the_operator_takes() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "ftl-operator" / "Chart.yaml").read_text())
    for example in yaml.safe_load(chart["annotations"]["artifacthub.io/crdsExamples"]):
        FtlApp.parse(example)


def test_papers_lead_to_what_exists() -> None:
    for path in sorted(ROOT.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name} leads to {target}"
