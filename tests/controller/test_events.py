from datetime import UTC, datetime

from ftl_operator.api.status import FtlAppStatus
from ftl_operator.controller.status.events import NOTE_LENGTH, Transition, event, events_between


def status(image="r@1", history=(), **conditions):
    return {
        "image": image,
        "history": list(history),
        "conditions": [
            {
                "type": name,
                "status": said[0],
                "reason": said[1],
                "message": said[2] if len(said) > 2 else "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for name, said in conditions.items()
        ],
    }


WELL = status(Ready=("True", "Succeeded"))


def told(old, new):
    found = events_between(FtlAppStatus.parse(old), FtlAppStatus.parse(new))
    return [(transition.kind, transition.reason) for transition in found]


def test_a_first_publication_and_a_first_success_are_told():
    assert told({}, WELL) == [("Normal", "Published"), ("Normal", "Succeeded")]


def test_the_same_state_in_other_words_is_not():
    assert told(WELL, status(Ready=("True", "Succeeded", "3 of 3 pods"))) == []
    assert told(WELL, status(Ready=("True", "RegistryUnavailable", "serving; r.dev does not answer"))) == []


def test_a_failure_is_told_once_and_again_when_its_reason_changes():
    failed = status(Ready=("False", "InvalidSpec", "spec.tools"))
    assert told(WELL, failed) == [("Warning", "InvalidSpec")]
    assert told(failed, failed) == []
    assert told(failed, status(Ready=("False", "PodsFailing"))) == [("Warning", "PodsFailing")]
    assert told(failed, WELL) == [("Normal", "Succeeded")]


def test_a_rollout_under_way_is_no_news():
    assert told(WELL, status(Ready=("False", "RollingOut"))) == []
    assert told(WELL, status(Ready=("False", "Progressing"))) == []


def test_a_silent_tool_is_news_of_its_own():
    silent = status(Verified=("False", "ToolsSilent"), Ready=("False", "ToolsSilent"))
    assert told(WELL, silent) == [("Warning", "ToolsSilent"), ("Warning", "ToolsSilent")]
    assert told(WELL, status(Verified=("Unknown", "NotVerified"), Ready=("True", "Succeeded"))) == []


def test_a_version_that_is_taken_back_is_told():
    rolling = {"image": "r@2", "generation": 2, "result": "RollingOut", "time": "2026-01-01T00:00:00Z"}
    back = rolling | {"result": "RolledBack", "message": "not ready in 600 s"}
    assert told(status(history=[rolling]), status(history=[back])) == [("Warning", "RolledBack")]
    assert told(status(history=[back]), status(history=[back])) == []


def test_an_event_has_what_the_api_wants():
    made = event(
        Transition("Warning", "RolledBack", "Rollback", "x" * 5000),
        {"namespace": "ns", "name": "a", "uid": "u", "resourceVersion": "7"},
        identity="pod-1",
        serial="1f",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert made["metadata"] == {"name": "a.1f", "namespace": "ns"}
    assert made["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert made["regarding"]["uid"] == "u"
    assert len(made["note"]) == NOTE_LENGTH
