"""The troubleshooting page has an entry for every condition and every reason."""

import re

import pytest

from ftl_operator.api.conditions import ConditionType
from ftl_operator.errors import Reason
from tests.chart.helm import ROOT

PAGE = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_a_reason_has_one_entry(reason):
    assert len(re.findall(rf"^(?:### {reason}|\| `{reason}` \|.*)$", PAGE, re.MULTILINE)) == 1


def test_there_is_no_entry_for_what_is_no_reason():
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) <= {reason.value for reason in Reason}


@pytest.mark.parametrize("condition", list(ConditionType), ids=str)
def test_a_condition_is_named(condition):
    assert f"`{condition}`" in PAGE
