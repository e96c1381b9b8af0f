"""Alerts and dashboard use metrics and labels that exist, and every alert has a section in the runbook."""

import json
import re

import promql_parser
import pytest
import yaml

from ftl_operator.api.conditions import ConditionType
from ftl_operator.errors import Reason
from scripts.observability import families
from tests.chart.helm import CHART, ROOT, the, values

FAMILIES = {family.name: family for family in families()}
SCRAPED = {"namespace", "pod", "instance", "job", "service", "container", "endpoint"}
"""Labels that Prometheus adds to every sample of a target that a ServiceMonitor selects."""
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"

ALERTS = [
    rule
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
QUERIES = [(rule["alert"], rule["expr"]) for rule in ALERTS] + [
    (f"{panel['title']} {target['refId']}", target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]


def parts(expression):
    """An expression and all that it is made of."""
    yield expression
    inner = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    inner += getattr(expression, "args", [])
    for part in inner:
        if part is not None and not isinstance(part, str):
            yield from parts(part)


def metric_of(name):
    """The metric of a sample's name, and the labels that its samples have."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    family = FAMILIES.get(name) or FAMILIES.get(base)
    assert family is not None, f"there is no metric {name}"
    assert name == family.name or family.type == "histogram"
    return {*family.labels, *SCRAPED, *(("le",) if name.endswith("_bucket") else ())}


def selectors(query):
    return [
        part for part in parts(promql_parser.parse(query)) if isinstance(part, promql_parser.VectorSelector)
    ]


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_asks_for_metrics_and_labels_that_exist(name, query):
    found = selectors(query)
    assert found
    known = set()
    for selector in found:
        labels = metric_of(selector.name)
        known |= labels
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
    for part in parts(promql_parser.parse(query)):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= known


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_compares_labels_with_values_that_occur(name, query):
    occurring = {
        "condition": {item.value for item in ConditionType},
        "status": {"True", "False", "Unknown"},
        "reason": {item.value for item in Reason},
        "outcome": {item.value for item in Reason},
    }
    for selector in selectors(query):
        for matcher in selector.matchers.matchers:
            if matcher.name in occurring:
                assert set(matcher.value.split("|")) <= occurring[matcher.name]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_about_with_labels_that_it_has(rule):
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    grouped = {
        label
        for part in parts(promql_parser.parse(rule["expr"]))
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None
        for label in part.modifier.labels
    }
    assert named <= grouped


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_section_in_the_runbook(rule):
    assert re.findall(rf"^## {rule['alert']}$", RUNBOOK.read_text(), re.MULTILINE) == [f"## {rule['alert']}"]


def test_the_runbook_has_no_section_without_an_alert():
    sections = re.findall(r"^## (Ftl\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in ALERTS]


@pytest.mark.needs("helm")
def test_the_chart_links_every_alert_to_its_section(tmp_path):
    url = "https://runbooks.example.com/ftl"
    made = values(tmp_path, "metrics.rules.enabled=true", f"metrics.rules.runbookUrl={url}/")
    rules = [rule for group in the(made, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == [rule["alert"] for rule in ALERTS]
    for made_rule, rule in zip(rules, ALERTS, strict=True):
        assert made_rule["annotations"].pop("runbook_url") == f"{url}#{rule['alert'].lower()}"
        assert made_rule == rule


@pytest.mark.needs("helm")
def test_the_chart_ships_the_dashboard_as_it_is(tmp_path):
    made = values(tmp_path, "metrics.dashboard.enabled=true")
    config = the(made, "ConfigMap", "ftl-operator-dashboard")
    assert json.loads(config["data"]["ftl-operator.json"]) == DASHBOARD
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_metric_of_ours_is_on_the_dashboard_or_in_an_alert():
    asked = {re.sub(r"_bucket$", "", selector.name) for _, query in QUERIES for selector in selectors(query)}
    ours = {name for name in FAMILIES if name.startswith("ftl_operator_")}
    assert ours - asked == set()
