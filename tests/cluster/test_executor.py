"""What the operator reads from a SpinApp's status if there is no Deployment."""

import pytest

from ftl_operator.cluster.executor import SpinAppStatus, executor_of, report_of


def spin_app(executor="external", **status):
    return {"metadata": {"name": "a", "generation": 2}, "spec": {"executor": executor}, "status": status}


def available(status="True", **more):
    return {"type": "Available", "status": status, "reason": "Scheduled", "message": "fine", **more}


def test_a_deployment_is_made_unless_the_executor_says_that_it_is_not():
    assert executor_of({"spec": {"createDeployment": True}}).makes_deployment
    assert not executor_of({"spec": {"createDeployment": False}}).makes_deployment
    assert executor_of({}).makes_deployment


@pytest.mark.parametrize(
    ("image", "annotation", "version"),
    [
        ("ghcr.io/spinframework/spin:v4.1.0", None, "4.1.0"),
        ("localhost:5000/spin:4.1", None, "4.1"),
        ("ghcr.io/spinframework/spin:4.1.0-pre0@sha256:" + "a" * 64, None, "4.1.0-pre0"),
        ("ghcr.io/spinframework/spin:latest", None, ""),
        ("ghcr.io/spinframework/spin:4", None, ""),
        ("ghcr.io/spinframework/spin:canary-4.1", None, ""),
        ("localhost:5000/spin", None, ""),
        ("ghcr.io/spinframework/spin@sha256:" + "4" * 64, None, ""),
        ("ghcr.io/spinframework/spin:v3.6.3", "4.1.0", "4.1.0"),
        ("ghcr.io/spinframework/spin:v3.6.3", "soon", "3.6.3"),
        (None, "4.1.0", "4.1.0"),
        (None, "4.1 " + "x" * 5000, ""),
        (None, None, ""),
    ],
)
def test_the_spin_of_an_executor_is_what_its_annotation_or_the_tag_of_its_image_declares(
    image, annotation, version
):
    body = {
        "metadata": {"annotations": {"ftl.tools/spin-version": annotation} if annotation else None},
        "spec": {"deploymentConfig": {"spinImage": image} if image else None},
    }
    assert executor_of(body).spin_version == version


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"conditions": [{"type": "Progressing", "status": "True"}]},
        # spin-operator's words about the Deployment that an executor made before.
        {"activeScheduler": "containerd-shim-spin", "conditions": [available()], "readyReplicas": 2},
    ],
)
def test_a_status_that_says_nothing_of_now_leaves_it_open(status):
    report = report_of(spin_app(**status))
    assert report == SpinAppStatus()
    assert report.may_serve
    assert "nothing yet" in str(report)


def test_the_words_of_whoever_wrote_it_are_kept():
    report = report_of(spin_app(conditions=[available()], readyReplicas=3, activeScheduler="external"))
    assert (report.available, report.ready, report.may_serve) == ("True", 3, True)
    assert str(report) == "the SpinApp's status says: Scheduled: fine"
    assert not report_of(spin_app(conditions=[available("False")])).may_serve


@pytest.mark.parametrize(("seen", "is_current"), [(1, False), (2, True), (None, True)])
def test_a_condition_about_an_earlier_generation_is_not_about_what_runs(seen, is_current):
    more = {} if seen is None else {"observedGeneration": seen}
    report = report_of(spin_app(conditions=[available(**more)]))
    assert (report.is_current, report.may_serve) == (is_current, is_current)
