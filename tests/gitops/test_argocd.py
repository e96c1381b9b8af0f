"""Argo CD's health check and actions, run by Lua on every status that the operator can write."""

import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.gitops.lua import INTERPRETERS, run
from tests.gitops.states import GENERATION, app, distinct

ARGOCD = Path(__file__).parents[2] / "gitops" / "argocd"
PROGRAMS = sorted(ARGOCD.rglob("*.lua"))
CONFIG = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]


@pytest.fixture(params=["lua5.1", pytest.param("gopher-lua", marks=pytest.mark.needs("gopher-lua"))])
def lua(request, tmp_path):
    """Runs a program of ours on objects."""
    return lambda program, objects: run(INTERPRETERS[request.param](), program, objects, tmp_path)


def conditions(item):
    return {found["type"]: found for found in (item.get("status") or {}).get("conditions", ())}


def expected(item):
    """The health by the words of kstatus."""
    held = {kind for kind, found in conditions(item).items() if found["status"] == "True"}
    if item["spec"].get("suspend"):
        return "Suspended"
    if (item.get("status") or {}).get("observedGeneration") != item["metadata"]["generation"]:
        return "Progressing"
    if "Stalled" in held:
        return "Degraded"
    return "Progressing" if "Reconciling" in held else "Healthy"


def test_health_follows_from_every_status(lua):
    states = distinct()
    found = lua(ARGOCD / "health.lua", states)
    assert len(states) > 150
    assert [health["status"] for health in found] == [expected(item) for item in states]
    assert {health["status"] for health in found} == {"Suspended", "Progressing", "Degraded", "Healthy"}


def test_an_app_is_healthy_only_when_it_is_ready(lua):
    states = distinct()
    for item, health in zip(states, lua(ARGOCD / "health.lua", states), strict=True):
        ready = conditions(item).get("Ready", {}).get("status")
        assert health["status"] != "Healthy" or ready == "True"
        assert health["status"] != "Degraded" or ready == "False"


def test_what_is_wrong_is_said_in_the_operators_words(lua):
    states = [item for item in distinct() if expected(item) == "Degraded"]
    for item, health in zip(states, lua(ARGOCD / "health.lua", states), strict=True):
        stalled = conditions(item)["Stalled"]
        assert health["message"] == f"{stalled['reason']}: {stalled['message']}"


@pytest.mark.parametrize(
    ("held", "status"),
    [
        ({"Ready": "False"}, "Degraded"),
        ({"Ready": "Unknown"}, "Progressing"),
        ({}, "Progressing"),
        ({"Ready": "True", "Stalled": "False", "Reconciling": "False"}, "Healthy"),
    ],
)
def test_another_operators_status_is_read_with_care(lua, held, status):
    listed = [{"type": kind, "status": value} for kind, value in held.items()]
    item = app({"observedGeneration": GENERATION, "conditions": listed}, suspend=False)
    assert lua(ARGOCD / "health.lua", [item])[0]["status"] == status


@pytest.mark.parametrize("suspend", [True, False])
def test_actions_are_offered_where_they_do_something(lua, suspend):
    (found,) = lua(ARGOCD / "actions/discovery.lua", [app({}, suspend=suspend)])
    disabled = {name for name, action in found.items() if action["disabled"]}
    assert set(found) == {"reconcile", "suspend", "resume"}
    assert disabled == ({"reconcile", "suspend"} if suspend else {"resume"})


def test_reconcile_sets_the_annotation_that_the_operator_echoes(lua):
    before = app({}, suspend=False)
    annotated = app({}, suspend=False)
    annotated["metadata"]["annotations"] = {"team": "agents"}
    for item, after in zip(
        [before, annotated], lua(ARGOCD / "actions/reconcile.lua", [before, annotated]), strict=True
    ):
        value = after["metadata"]["annotations"].pop("ftl.tools/reconcile")
        assert datetime.fromisoformat(value).tzinfo is not None
        assert after["metadata"]["annotations"] == item["metadata"].get("annotations", {})
        assert after["spec"] == item["spec"]


def test_suspend_and_resume_undo_each_other(lua):
    item = app(None, suspend=False)
    (suspended,) = lua(ARGOCD / "actions/suspend.lua", [item])
    assert suspended == app(None, suspend=True)
    (resumed,) = lua(ARGOCD / "actions/resume.lua", [suspended])
    assert resumed == item


def test_the_config_map_holds_these_very_programs():
    assert CONFIG["resource.customizations.health.ftl.tools_FtlApp"] == (ARGOCD / "health.lua").read_text()
    actions = yaml.safe_load(CONFIG["resource.customizations.actions.ftl.tools_FtlApp"])
    assert actions["discovery.lua"] == (ARGOCD / "actions/discovery.lua").read_text()
    found = {action["name"]: action["action.lua"] for action in actions["definitions"]}
    assert found == {
        path.stem: path.read_text() for path in (ARGOCD / "actions").iterdir() if path.stem != "discovery"
    }


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_sets_no_global_and_uses_only_what_argo_cd_gives(program):
    listing = subprocess.run(["luac5.1", "-l", "-p", program], capture_output=True, text=True, check=True)
    touched = set(re.findall(r"(GET|SET)GLOBAL\s.*; (\w+)", listing.stdout))
    assert touched
    # Nor a method of a text: Argo CD opens no string library, and every method here would be one of it.
    assert not re.search(r"\bSELF\b", listing.stdout)
    assert {name for verb, name in touched if verb == "SET"} == set()
    assert {name for verb, name in touched if verb == "GET"} <= {"obj", "ipairs", "require"}
