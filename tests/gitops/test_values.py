"""The examples give the chart values that its schema accepts."""

from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, ROOT, template

pytestmark = pytest.mark.needs("helm")

GITOPS = Path(__file__).parents[2] / "gitops"


def chart_and_values(path):
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "Application":
            return document["spec"]["source"]["path"], document["spec"]["source"]["helm"]["valuesObject"]
        if document["kind"] == "HelmRelease":
            return document["spec"]["chart"]["spec"]["chart"], document["spec"]["values"]
    raise AssertionError(f"{path} installs no chart")


@pytest.mark.parametrize("tool", ["argocd", "flux"])
def test_the_operator_is_installed_by_its_chart(tool, tmp_path):
    chart, values = chart_and_values(GITOPS / tool / "operator.yaml")
    assert ROOT / chart == CHART
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    assert template(tmp_path, "--values", file)
