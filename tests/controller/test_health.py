import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Gauge

from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.telemetry.health import HealthServer


@pytest.fixture
def wrong():
    return {"live": "", "ready": "not the leader yet"}


@pytest.fixture
def url(wrong):
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    server = HealthServer(
        ("127.0.0.1", 0), registry, live=lambda: wrong["live"], ready=lambda: wrong["ready"]
    )
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_shown(url):
    status, text = ask(url + "/metrics")
    assert status == 200
    assert "answer 42.0" in text


def test_liveness_and_readiness_say_what_is_wrong(url, wrong):
    assert ask(url + "/healthz") == (200, "ok")
    assert ask(url + "/readyz") == (503, "not the leader yet")
    wrong |= {"live": "no watch event for 200 s", "ready": ""}
    assert ask(url + "/healthz") == (503, "no watch event for 200 s")
    assert ask(url + "/readyz?verbose") == (200, "ok")
    assert ask(url + "/")[0] == 404


def test_every_metric_is_documented_and_named_alike():
    for family in metrics.REGISTRY.collect():
        assert family.documentation
        assert family.name.startswith(("ftl_operator_", "process_", "python_"))


def test_apps_are_counted_by_condition():
    ready, stalled = ("Ready", "True", "Succeeded"), ("Stalled", "True", "InvalidSpec")
    metrics.count_apps(lambda: [((ready,), 3), ((ready,), 1), ((stalled,), 0)])
    try:
        names = ("condition", "status", "reason")
        value = metrics.REGISTRY.get_sample_value
        assert value("ftl_operator_apps") == 3
        assert value("ftl_operator_tools") == 4
        assert value("ftl_operator_app_conditions", dict(zip(names, ready, strict=True))) == 2
        assert value("ftl_operator_app_conditions", dict(zip(names, stalled, strict=True))) == 1
    finally:
        metrics.count_apps(list)
