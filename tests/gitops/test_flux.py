"""Flux's health expressions, evaluated as CEL on every status that the operator can write."""

from functools import cache
from pathlib import Path

import cel
import pytest
import yaml

from tests.gitops.states import distinct

FLUX = Path(__file__).parents[2] / "gitops" / "flux"
(EXPRESSIONS,) = [
    document["spec"]["healthCheckExprs"][0]
    for document in yaml.safe_load_all((FLUX / "apps.yaml").read_text())
    if document["kind"] == "Kustomization"
]
ORDER = ("inProgress", "failed", "current")
"""The order in which Flux evaluates them: the first that holds decides."""


@cache
def program(kind):
    return cel.compile(EXPRESSIONS[kind])


def result(item):
    """What Flux makes of an object; None for one without a status, which it takes as not there yet."""
    if not item.get("status"):
        return None
    return next((kind for kind in ORDER if program(kind).execute(item)), None)


def kstatus(item):
    held = {found["type"] for found in item["status"]["conditions"] if found["status"] == "True"}
    if item["status"]["observedGeneration"] != item["metadata"]["generation"] or "Reconciling" in held:
        return "inProgress"
    return "failed" if "Stalled" in held else "current"


def test_the_expressions_agree_with_kstatus_on_every_status():
    states = [item for item in distinct() if item.get("status")]
    assert len(states) > 150
    assert [result(item) for item in states] == [kstatus(item) for item in states]
    assert {kstatus(item) for item in states} == set(ORDER)


def test_they_are_about_ftlapps():
    assert (EXPRESSIONS["apiVersion"], EXPRESSIONS["kind"]) == ("ftl.tools/v1alpha1", "FtlApp")


@pytest.mark.parametrize("path", sorted(FLUX.glob("*.yaml")), ids=lambda path: path.stem)
def test_sources_are_in_the_same_file(path):
    documents = list(yaml.safe_load_all(path.read_text()))
    named = {(item["kind"], item["metadata"]["name"]) for item in documents}
    for item in documents:
        chart = item["spec"].get("chart", {}).get("spec", {})
        source = item["spec"].get("sourceRef") or chart.get("sourceRef")
        if source:
            assert (source["kind"], source["name"]) in named
