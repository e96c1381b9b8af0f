"""The CRD's schema has the models' rules as far as Kubernetes can check them. e2e uses a real API server."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
import yaml
from pydantic import Field

from ftl_operator.api import crd
from ftl_operator.api.app import FtlApp
from ftl_operator.api.cel import RULES
from ftl_operator.api.fields import Part
from ftl_operator.yaml_writer import write_yaml
from tests.support.specs import INVALID, ftlapp

ROOT = Path(__file__).parents[2]


def test_generated_files_are_committed_as_they_are_generated() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def nodes(schema: dict[str, Any], at: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = [(at, schema)]
    for name, inner in schema.get("properties", {}).items():
        found += nodes(inner, f"{at}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += nodes(schema[key], f"{at}.{key}")
    return found


def test_the_schema_is_structural_and_bounded() -> None:
    for at, node in nodes(crd.object_schema()):
        assert "default" not in node, at
        assert not any(key.startswith("x-kubernetes-preserve") for key in node), at
        assert "type" in node or node.get("x-kubernetes-int-or-string"), at
        if node.get("type") == "array":
            assert "maxItems" in node, at
            assert node["x-kubernetes-list-type"] in ("atomic", "map"), at
            for key in node.get("x-kubernetes-list-map-keys", []):
                assert key in node["items"]["required"], at


def test_every_field_of_the_spec_is_described() -> None:
    undescribed = [
        at
        for at, node in nodes(crd.structural(crd.FtlAppSpec))
        if at and not at.endswith((".items", ".additionalProperties")) and not node.get("description")
    ]
    assert undescribed == []


def test_every_rule_has_a_case_that_breaks_it() -> None:
    said = {case["words"] if case["cluster"] is True else case["cluster"] for case in INVALID["cases"]}
    messages = {message for rules in RULES.values() for _, message in rules}
    assert messages - said == set()


def test_rules_stand_at_models_that_exist() -> None:
    used = [
        rule["message"]
        for _, node in nodes(crd.object_schema())
        for rule in node.get("x-kubernetes-validations", [])
    ]
    assert {message for rules in RULES.values() for _, message in rules} == set(used)


@pytest.mark.parametrize("field", [Annotated[str, Field()], Annotated[tuple[int, ...], Field()], int | bool])
def test_what_a_structural_schema_cannot_say_is_refused(field: Any) -> None:
    model = type("Loose", (Part,), {"__annotations__": {"field": field}})
    with pytest.raises(ValueError, match=r"Loose\.field"):
        crd.structural(model)


def test_the_editors_schema_takes_the_examples_and_marks_slips() -> None:
    check = jsonschema.Draft7Validator(crd.editor_schema())
    jsonschema.Draft7Validator.check_schema(crd.editor_schema())
    for path in ("examples/reference.yaml", "examples/quickstart/ftlapp.yaml"):
        document = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        assert list(check.iter_errors(document)) == []
        FtlApp.parse(document)
    slip = ftlapp({"tools": [{"name": "a", "image": "r.io/a:1", "allowedOutboundHost": []}]})
    assert [list(error.path) for error in check.iter_errors(slip)] == [["spec", "tools", 0]]


@pytest.mark.parametrize("file", ["crds/ftlapps.yaml", "charts/ftl-operator/files/ftlapps.yaml"])
def test_generated_yaml_has_no_anchors(file):
    events = yaml.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not [event for event in events if getattr(event, "anchor", None)]


def test_yaml_is_written_in_order_with_blocks_and_without_anchors():
    shared = {"b": 1, "a": "one\ntwo\n"}
    written = write_yaml([{"first": shared, "second": shared}])
    assert written == "first:\n  b: 1\n  a: |\n    one\n    two\nsecond:\n  b: 1\n  a: |\n    one\n    two\n"
