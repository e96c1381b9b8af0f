"""The API server refuses what the CRD's rules forbid, and accepts valid FtlApps."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.api import Api, ApiError, Object
from e2e.cluster.control_plane import Cluster

ROOT = Path(__file__).parents[2]
INVALID = yaml.safe_load((ROOT / "tests" / "data" / "invalid.yaml").read_text(encoding="utf-8"))
COLLECTION = "/apis/ftl.tools/v1alpha1/namespaces/{}/ftlapps"

pytestmark = pytest.mark.usefixtures("operator")


def dry_run(api: Api, document: Object, namespace: str = "default") -> Object:
    """Have the API server judge a new FtlApp without keeping it. Raises ApiError where it refuses."""
    path = f"{COLLECTION.format(namespace)}?dryRun=All&fieldValidation=Strict"
    answer: Object = api.request("POST", path, document)
    return answer


def ftlapp(case: Object) -> Object:
    fields = {**INVALID["valid"], **case.get("spec", {})}
    return {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "case", **case.get("metadata", {})},
        "spec": {name: value for name, value in fields.items() if value is not None},
    }


@pytest.mark.parametrize("case", INVALID["cases"], ids=lambda case: case["name"])
def test_what_the_crd_says(cluster: Cluster, case: dict[str, Any]) -> None:
    words = case["words"] if case["cluster"] is True else case["cluster"]
    if words is False:
        dry_run(cluster.api, ftlapp(case))
        return
    with pytest.raises(ApiError) as caught:
        dry_run(cluster.api, ftlapp(case))
    assert words in caught.value.message
    assert caught.value.status in (400, 422)


def test_valid_apps_are_taken_as_they_are(cluster: Cluster) -> None:
    reference = yaml.safe_load((ROOT / "examples" / "reference.yaml").read_text(encoding="utf-8"))
    reference["metadata"].pop("namespace")
    for document in (ftlapp({}), reference):
        taken = dry_run(cluster.api, document)
        # No default may be written into a spec, or GitOps tools would see a difference.
        assert taken["spec"] == document["spec"]
