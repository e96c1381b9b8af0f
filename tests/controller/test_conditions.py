"""The conditions of an FtlApp in every state, as kstatus, `kubectl wait`, Helm and Argo CD read them."""

from datetime import UTC, datetime, timedelta

import pytest

from ftl_operator.api.conditions import PIPELINE, ConditionType, false, true, unknown
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.deployment import Rollout
from ftl_operator.controller.status import conditions
from ftl_operator.controller.status.inputs import StatusInput
from ftl_operator.errors import ClusterError, IssuerError, Reason, RegistryError, SpecError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
IMAGE = "r.dev/apps/a@sha256:1"
STAGES = {condition: true("fine") for condition in PIPELINE}
SEEN = true("the running app answers for 2 tools", Reason.TOOLS_VERIFIED)


def rollout(desired=2, total=2, updated=2, available=2, *, serves=True, observed=3):
    return Rollout(IMAGE, 3, observed, desired, total, updated, available, available, serves, "5d41", "")


def outcome(generation=1, **more):
    """What a reconcile did, as arguments of `StatusInput`."""
    return {"generation": generation, "stages": STAGES, "facts": {"image": IMAGE}, **more}


def observed(**more):
    """What the cluster runs, likewise."""
    return more


def next_status(old, done, seen, now):
    """The next status of a status, both as documents."""
    given = StatusInput(old=FtlAppStatus.parse(old), now=now, **done, **seen)
    return conditions.next_status(given).document()


def finding(status, condition):
    return FtlAppStatus.parse(status).condition(condition)


def ready(now=NOW):
    """An app that was brought up and asked."""
    return next_status({}, outcome(), observed(rollout=rollout(), probe=SEEN), now)


def kstatus(status, generation=1):
    """What kstatus computes (sigs.k8s.io/cli-utils, `pkg/kstatus`, the generic rules)."""
    if status.get("observedGeneration") != generation:
        return "InProgress"
    held = {item["type"]: item["status"] for item in status["conditions"]}
    if held.get("Stalled") == "True":
        return "Failed"
    if held.get("Reconciling") == "True" or held.get("Ready") != "True":
        return "InProgress"
    return "Current"


def said(status, condition=ConditionType.READY):
    found = finding(status, condition)
    return None if found is None else (found.status, found.reason.value)


def test_an_app_that_runs_and_answers_is_current():
    status = ready()
    assert kstatus(status) == "Current"
    assert [item["type"] for item in status["conditions"]] == [
        *PIPELINE,
        ConditionType.AVAILABLE,
        ConditionType.VERIFIED,
        ConditionType.READY,
    ]
    assert all(item["status"] == "True" for item in status["conditions"])
    assert all(item["observedGeneration"] == 1 for item in status["conditions"])
    assert (status["replicas"], status["readyReplicas"]) == (2, 2)


def test_looking_again_changes_nothing():
    status = ready()
    assert next_status(status, outcome(), observed(rollout=rollout()), LATER) == status


def test_a_condition_keeps_its_time_until_its_status_changes():
    status = next_status(ready(), outcome(), observed(rollout=rollout(available=0, serves=False)), LATER)
    times = {item["type"]: item["lastTransitionTime"] for item in status["conditions"]}
    assert times["Resolved"] == "2026-01-01T00:00:00Z"
    assert times["Available"] == times["Ready"] == times["Reconciling"] == "2026-01-01T00:05:00Z"


@pytest.mark.parametrize(
    ("seen", "available", "why"),
    [
        (observed(), ("False", "Progressing"), ("False", "Progressing")),
        (
            observed(rollout=rollout(available=0, serves=False)),
            ("False", "RollingOut"),
            ("False", "RollingOut"),
        ),
        (
            observed(rollout=rollout(available=0, serves=False), cause="pod a: ErrImagePull"),
            ("False", "PodsFailing"),
            ("False", "PodsFailing"),
        ),
        (observed(rollout=rollout(observed=2)), ("False", "RollingOut"), ("False", "RollingOut")),
        (
            observed(rollout=rollout(total=3, updated=1), cause="pod b: CrashLoopBackOff"),
            ("True", "MinimumReplicasAvailable"),
            ("False", "RollingOut"),
        ),
        (
            observed(rollout=rollout(), is_current=False),
            ("True", "MinimumReplicasAvailable"),
            ("False", "RollingOut"),
        ),
    ],
)
def test_a_rollout_is_in_progress(seen, available, why):
    status = next_status({}, outcome(), seen, NOW)
    assert said(status, ConditionType.AVAILABLE) == available
    assert said(status) == why
    assert said(status, ConditionType.RECONCILING) == ("True", "Progressing")
    assert kstatus(status) == "InProgress"
    if "cause" in seen:
        assert seen["cause"] in finding(status, ConditionType.READY).message


def test_what_rolled_out_is_not_ready_before_it_was_asked():
    status = next_status({}, outcome(), observed(rollout=rollout()), NOW)
    assert said(status, ConditionType.VERIFIED) == ("Unknown", "Progressing")
    assert kstatus(status) == "InProgress"
    asked = next_status(status, outcome(), observed(rollout=rollout(), probe=SEEN), NOW)
    assert kstatus(asked) == "Current"


def test_a_new_image_and_changed_pods_are_asked_again():
    for change in ({"facts": {"image": "r.dev/apps/a@sha256:2"}}, {"rolls": True}):
        status = next_status(ready(), outcome(**change), observed(rollout=rollout()), NOW)
        assert said(status, ConditionType.VERIFIED) == ("Unknown", "Progressing")


def test_a_silent_tool_is_named_and_the_app_not_ready():
    silent = false("these components do not answer: weather: no answer", Reason.TOOLS_SILENT)
    status = next_status(ready(), outcome(), observed(rollout=rollout(), probe=silent), NOW)
    assert said(status) == ("False", "ToolsSilent")
    assert said(status, ConditionType.RECONCILING) == ("True", "ProgressingWithRetry")
    assert "weather" in finding(status, ConditionType.READY).message


def test_an_app_that_the_operator_cannot_reach_is_ready_with_that_said():
    deaf = unknown("the app could not be asked", Reason.NOT_VERIFIED)
    status = next_status({}, outcome(), observed(rollout=rollout(), probe=deaf), NOW)
    assert said(status, ConditionType.VERIFIED) == ("Unknown", "NotVerified")
    assert kstatus(status) == "Current"


@pytest.mark.parametrize(
    "error",
    [
        RegistryError("r.dev does not answer"),
        IssuerError("login.dev does not answer"),
        ClusterError("the API server does not answer"),
    ],
)
def test_an_outage_leaves_a_running_app_ready_with_the_reason_shown(error):
    failed = {ConditionType.RESOLVED: false(str(error), error.reason)}
    status = next_status(ready(), outcome(stages=failed, error=error), observed(rollout=rollout()), LATER)
    assert kstatus(status) == "Current"
    assert said(status) == ("True", error.reason.value)
    assert said(status, ConditionType.RESOLVED) == ("False", error.reason.value)
    assert str(error) in finding(status, ConditionType.READY).message
    well = next_status(status, outcome(), observed(rollout=rollout()), LATER)
    assert said(well) == ("True", "Succeeded")


def test_an_outage_during_a_change_is_in_progress():
    error = RegistryError("r.dev does not answer")
    status = next_status(ready(), outcome(2, stages={}, error=error), observed(rollout=rollout()), LATER)
    assert kstatus(status, 2) == "InProgress"
    assert said(status, ConditionType.RECONCILING) == ("True", "ProgressingWithRetry")
    assert said(status, ConditionType.RESOLVED) == ("Unknown", "Progressing")


def test_a_tag_that_does_not_exist_stalls_unless_an_app_runs_from_it():
    error = RegistryError("no such tag", reason=Reason.REFERENCE_NOT_FOUND, field="spec.tools[0].image")
    status = next_status({}, outcome(stages={}, facts={}, error=error), observed(), NOW)
    assert kstatus(status) == "Failed"
    assert "spec.tools[0].image" in finding(status, ConditionType.STALLED).message
    gone = next_status(ready(), outcome(error=error), observed(rollout=rollout()), LATER)
    assert kstatus(gone) == "Current"


def test_an_outage_is_no_excuse_for_pods_that_fail():
    error = RegistryError("r.dev does not answer")
    down = observed(rollout=rollout(available=0, serves=False), cause="pod a: OOMKilled")
    status = next_status(ready(), outcome(error=error), down, LATER)
    assert kstatus(status) == "InProgress"


def test_a_mistake_in_the_spec_stalls_and_names_the_field():
    error = SpecError("there is no tool of that name", field="spec.tools[0].include[1]")
    failed = {ConditionType.RESOLVED: true("fine"), ConditionType.COMPOSED: false(str(error), error.reason)}
    status = next_status(ready(), outcome(2, stages=failed, error=error), observed(rollout=rollout()), LATER)
    assert kstatus(status, 2) == "Failed"
    assert said(status) == said(status, ConditionType.COMPOSED) == ("False", "InvalidSpec")
    assert "spec.tools[0].include[1]" in finding(status, ConditionType.STALLED).message
    assert said(status, ConditionType.PUBLISHED) == ("Unknown", "Progressing")
    mended = next_status(status, outcome(3), observed(rollout=rollout(), probe=SEEN), LATER)
    assert kstatus(mended, 3) == "Current"
    assert said(mended, ConditionType.STALLED) is None


def test_a_running_inspection_is_in_progress():
    waiting = outcome(
        stages={ConditionType.RESOLVED: true("fine")}, facts={}, waiting="weather is being inspected"
    )
    status = next_status({}, waiting, observed(), NOW)
    assert kstatus(status) == "InProgress"
    assert finding(status, ConditionType.RECONCILING).message == "weather is being inspected"
    assert said(status, ConditionType.VERIFIED) is None


def test_a_running_app_that_waits_for_its_turn_stays_ready():
    waiting = outcome(stages={}, facts={}, waiting="a new version waits until other apps are rolled out")
    status = next_status(ready(), waiting, observed(rollout=rollout()), LATER)
    assert kstatus(status) == "Current"
    assert "waits" in finding(status, ConditionType.READY).message


def test_scaled_to_zero_is_ready():
    status = next_status(ready(), outcome(), observed(rollout=rollout(0, 0, 0, 0, serves=True)), LATER)
    assert said(status, ConditionType.AVAILABLE) == said(status) == ("True", "ScaledToZero")
    assert said(status, ConditionType.VERIFIED) == ("True", "ToolsVerified")
    assert kstatus(status) == "Current"


@pytest.mark.parametrize("observed_generation", [2, 3])
def test_pods_that_stop_because_nothing_asks_for_them_are_not_counted_as_missing(observed_generation):
    stopping = rollout(0, 3, 3, 3, observed=observed_generation)
    status = next_status(ready(), outcome(), observed(rollout=stopping), LATER)
    assert said(status) == said(status, ConditionType.AVAILABLE) == ("True", "ScaledToZero")
    assert finding(status, ConditionType.READY).message == "nothing asks for a pod: the last 3 are stopping"
    assert kstatus(status) == "Current"


def test_a_deployment_that_is_to_have_pods_again_is_not_available_before_it_has_one():
    # Its controller calls a Deployment without pods available, and has not seen the change yet.
    back = observed(rollout=rollout(2, 0, 0, 0, serves=True))
    status = next_status(ready(), outcome(), back, LATER)
    assert said(status) == said(status, ConditionType.AVAILABLE) == ("False", "RollingOut")
    assert finding(status, ConditionType.READY).message == "0 of 2 pods are available"
    assert kstatus(status) == "InProgress"


def test_suspended_is_what_was_asked_for_once_the_last_pod_is_gone():
    asked = outcome(2, stages={}, suspended=True)
    stopping = next_status(ready(), asked, observed(rollout=rollout(desired=0, total=1, available=1)), NOW)
    assert kstatus(stopping, 2) == "InProgress"
    assert said(stopping, ConditionType.AVAILABLE) == ("False", "Progressing")
    stopped = next_status(stopping, asked, observed(rollout=rollout(0, 0, 0, 0)), NOW)
    assert said(stopped) == ("True", "Suspended")
    assert said(stopped, ConditionType.AVAILABLE) == ("False", "Suspended")
    assert said(stopped, ConditionType.COMPOSED) == ("True", "Succeeded")
    assert kstatus(stopped, 2) == "Current"
    never_ran = next_status({}, outcome(stages={}, facts={}, suspended=True), observed(), NOW)
    assert kstatus(never_ran) == "Current"


def test_a_version_that_was_taken_back_stalls_while_the_last_good_one_serves():
    back = observed(
        rollout=rollout(),
        rolled_back="r.dev/apps/a@sha256:2",
        failure="not ready in 600 s: pod a: ErrImagePull",
    )
    status = next_status(ready(), outcome(2), back, LATER)
    assert said(status) == ("False", "RolledBack")
    assert said(status, ConditionType.AVAILABLE) == ("True", "MinimumReplicasAvailable")
    assert kstatus(status, 2) == "Failed"
    for condition in (ConditionType.STALLED, ConditionType.READY):
        assert finding(status, condition).message == (
            "r.dev/apps/a@sha256:2 did not become ready (not ready in 600 s: pod a: ErrImagePull); "
            "the last good version serves and stays until the spec or a tool changes"
        )


def test_a_rollback_whose_pods_are_not_back_yet_does_not_say_that_they_serve():
    down = observed(rollout=rollout(available=0, serves=False), rolled_back="r.dev/apps/a@sha256:2")
    status = next_status(ready(), outcome(2), down, LATER)
    assert "the last good version is being brought back" in finding(status, ConditionType.STALLED).message


def test_notes_stand_in_ready():
    noted = outcome(notes=["spec.telemetry.serviceMonitor needs an API"])
    status = next_status({}, noted, observed(rollout=rollout(), probe=SEEN), NOW)
    assert finding(status, ConditionType.READY).message.endswith(
        "; spec.telemetry.serviceMonitor needs an API"
    )


def test_a_very_long_message_is_cut():
    status = next_status({}, outcome(error=SpecError("x" * 9000)), observed(), NOW)
    assert all(len(item["message"]) <= 2000 for item in status["conditions"])


def test_what_is_empty_is_left_out():
    status = next_status({"url": "http://a"}, outcome(facts={"url": "", "history": ()}), observed(), NOW)
    assert {"url", "history"} & set(status) == set()
