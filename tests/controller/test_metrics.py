"""Names that tenants choose do not create an unbounded number of series."""

import pytest

from ftl_operator.controller.telemetry.metrics import REGISTRY, REGISTRY_REQUESTS, registry_observer


@pytest.fixture(autouse=True)
def fresh():
    REGISTRY_REQUESTS.clear()
    yield
    REGISTRY_REQUESTS.clear()


def labels():
    (family,) = [family for family in REGISTRY.collect() if family.name == "ftl_operator_registry_requests"]
    return {sample.labels["registry"]: sample.value for sample in family.samples}


def test_registries_that_nobody_lists_are_one_series():
    observe = registry_observer(("ghcr.io", "*"))
    for number in range(2000):
        observe(f"name-{number}.evil.dev", "resolve", "Succeeded", 0)
    observe("not a host", "resolve", "Succeeded", 0)
    observe("ghcr.io", "resolve", "Succeeded", 0)
    assert labels() == {"other": 2001, "ghcr.io": 1}


@pytest.mark.parametrize(
    ("registry", "label"),
    [
        ("eu.acme.dev", "*.acme.dev"),
        ("us.acme.dev:8443", "*.acme.dev"),
        ("ghcr.io:443", "ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("127.0.0.1:5001", "other"),
        ("acme.dev", "other"),
    ],
)
def test_the_entry_that_allows_a_registry_is_its_label(registry, label):
    registry_observer(("127.0.0.1:5000", "*.acme.dev", "ghcr.io"))(registry, "resolve", "Succeeded", 0)
    assert labels() == {label: 1}
