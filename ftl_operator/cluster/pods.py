"""Finds out why pods do not become ready: from their status, their events, and Spin's error in the log. Pure.

A kubelet writes much of it into events only: a node without Spin's runtime handler, a missing Secret that is
a volume, the answer that a probe got. A component that Spin cannot link is in the container's log only, for a
container has no termination message unless the program writes one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Pod = Mapping[str, Any]
Event = Mapping[str, Any]
"""An event of `events.k8s.io/v1`; those that a kubelet writes as `v1` have `note` for `message` there."""

PATIENCE_SECONDS = 5.0
"""How old a pod that is not ready must be before its events are read."""
START_SECONDS = 30.0
"""How long a container may run without being ready before that counts as a failure."""

_QUIET = (None, "ContainerCreating", "PodInitializing")
"""The reasons for which a container waits in a pod without a known problem."""
_PROGRESS = ("Pulling", "Pulled", "Created", "Started")
"""Events of a pod whose sandbox and volumes exist: earlier problems are over."""
_ASIDE = ("BackOff", "DNSConfigForming", "FailedScheduling", "FailedToRetrieveImagePullSecret", "Unhealthy")
"""Warnings that do not prevent a container's creation, or that the pod's status explains better."""
_SIGNALLED = 128
"""From this exit code on a signal ended the program, so it printed no error."""

_STATUS_CHARACTERS = 500
_NOTE_CHARACTERS = 300
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_KILLED = re.compile(r"failed (liveness|startup) probe")
_EXIT_STATUS = re.compile(r"Error: exit status: \d+")
_NOT_EXECUTED = re.compile(r"exec \S+: .+")


@dataclass(frozen=True, slots=True)
class Crash:
    """A container that ended by itself and left no message.

    Args:
        container: Its name.
        is_previous: Whether a newer container runs, or waits to run, in its place.
    """

    container: str
    is_previous: bool


def failing_pods(pods: Iterable[Pod], now: datetime) -> list[Pod]:
    """The pods that should be ready and are not. The newest is first, because it runs the newest template.

    Args:
        pods: Pods of one app. Those that are being deleted are ignored.
        now: The time, to distinguish a pod that starts from one that fails.
    """
    failing = [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and not _is_ready(pod)
        and (_seconds_since(_created(pod), now) >= PATIENCE_SECONDS or pod_cause(pod, now))
    ]
    return sorted(failing, key=_created, reverse=True)


def has_events(pod: Pod) -> bool:
    """Whether the events of a pod may tell more than its status: a kubelet has the pod and keeps trying."""
    return bool((pod.get("spec") or {}).get("nodeName")) and _status(pod).get("phase") != "Failed"


def crash(pod: Pod) -> Crash | None:
    """The container whose log has the reason of its end; None if there is none."""
    for container, _ in _containers(pod):
        state = container.get("state") or {}
        ended = _ended(container)
        if ended and not ended.get("message") and 0 < int(ended.get("exitCode", 0)) < _SIGNALLED:
            return Crash(str(container.get("name", "")), is_previous="terminated" not in state)
    return None


def pod_cause(pod: Pod, now: datetime, events: Sequence[Event] = (), log: str = "") -> str:
    """Why a pod does not become ready, as the cluster words it; empty if the cause is unknown.

    Args:
        pod: The pod.
        now: The time, to distinguish a container that starts from one that fails.
        events: The pod's events, if they were read.
        log: The end of the log of the container that `crash` names, if it was read. Only Spin's own error is
            used, because the rest is the output of tools.
    """
    known = sorted(events, key=_seen_at, reverse=True)
    cause = (
        _given_up(pod)
        or _unscheduled(pod)
        or _container_cause(pod, known, log)
        or _creation_cause(pod, known)
        or _probe_cause(pod, now, known)
        or _readiness_cause(pod, known)
    )
    if not cause:
        return ""
    node = (pod.get("spec") or {}).get("nodeName")
    place = f" on node {node}" if node else ""
    return f"pod {pod['metadata']['name']}{place}: {cause}"


def last_words(log: str) -> str:
    """Spin's error message at the end of a log; empty if the log ends differently.

    Spin prints `Error: …`, then perhaps an empty line, `Caused by:` and the chain of causes
    (`print_error_chain` in its `src/bin/spin.rs`); its parent process adds `Error: exit status: 1`. A
    container runtime writes `exec PATH: exec format error` where Spin's program cannot be run at all.
    """
    lines = [_ESCAPE.sub("", line).strip() for line in log.splitlines()]
    said = [line for line in lines if line and not _EXIT_STATUS.fullmatch(line)]
    start = max((number for number, line in enumerate(said) if line.startswith("Error: ")), default=None)
    if start is None:
        return said[-1] if said and _NOT_EXECUTED.fullmatch(said[-1]) else ""
    block = said[start:]
    # Only a chain of causes follows an error of Spin; any other text means that a tool printed it.
    return " ".join(block) if len(block) == 1 or block[1] == "Caused by:" else ""


def _given_up(pod: Pod) -> str:
    status = _status(pod)
    if status.get("phase") != "Failed" or not status.get("reason"):
        return ""
    return _join(status["reason"], status.get("message", ""))


def _unscheduled(pod: Pod) -> str:
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False":
        return ""
    return _join(condition.get("reason", ""), condition.get("message", ""))


def _container_cause(pod: Pod, events: Sequence[Event], log: str) -> str:
    for container, is_init in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = _ended(container)
        if container.get("ready") or (is_init and ended and not ended.get("exitCode")):
            continue
        if waiting.get("reason") in _QUIET and not ended:
            continue
        cause = _join(waiting.get("reason", ""), waiting.get("message", ""))
        if ended:
            why = _join(ended.get("reason", ""), ended.get("message", ""))
            cause = _join(cause, f"last exit code {ended.get('exitCode')}" + (f" ({why})" if why else ""))
        more = (_pull_note(waiting, events), _killed_by(events) if ended else "", _spin_says(log))
        return "; ".join(part for part in (cause, *more) if part)
    return "Failed" if _status(pod).get("phase") == "Failed" else ""


def _pull_note(waiting: Mapping[str, Any], events: Sequence[Event]) -> str:
    """What events add to the container's status about an image that is not pulled."""
    if "Image" not in str(waiting.get("reason", "")):
        return ""
    notes = [_note(event) for event in events if event.get("reason") == "FailedToRetrieveImagePullSecret"]
    message = str(waiting.get("message", ""))
    if message.startswith("Back-off") and "Err" not in message:
        # Older kubelets repeat only the image's name in the status.
        notes += [_note(event) for event in events if _note(event).startswith("Failed to pull image")]
    return "; ".join(dict.fromkeys(notes[:2]))


def _killed_by(events: Sequence[Event]) -> str:
    """The probe because of which the kubelet killed a container, and the probe's answer."""
    killed = next(
        (_KILLED.search(_note(event)) for event in events if event.get("reason") == "Killing"), None
    )
    if killed is None:
        return ""
    answer = _probe_answer(killed[1], events)
    return f"killed because its {killed[1]} probe failed" + (f": {answer}" if answer else "")


def _spin_says(log: str) -> str:
    words = _shown(last_words(log), _NOTE_CHARACTERS)
    return f"its log ends with: {words}" if words else ""


def _creation_cause(pod: Pod, events: Sequence[Event]) -> str:
    """Why the containers of a pod are not even created: its sandbox, network or volumes."""
    begun = any("waiting" not in (container.get("state") or {}) for container, _ in _containers(pod))
    return "" if begun else _warning(events)


def _probe_cause(pod: Pod, now: datetime, events: Sequence[Event]) -> str:
    for container, _ in _containers(pod):
        since = ((container.get("state") or {}).get("running") or {}).get("startedAt")
        if not since or container.get("ready") or _seconds_since(since, now) <= START_SECONDS:
            continue
        if container.get("started"):
            state, answer = "it runs, but its readiness probe fails", _probe_answer("readiness", events)
        else:
            state = "it runs, but its startup probe has not succeeded yet: Spin compiles the components"
            answer = _probe_answer("startup", events)
        return f"{state}: {answer}" if answer else state
    return ""


def _readiness_cause(pod: Pod, events: Sequence[Event]) -> str:
    """Why a pod is not ready although the kubelet reported its containers as ready."""
    ready = _condition(pod, "Ready")
    running = [container.get("ready") for container, _ in _containers(pod)]
    if ready.get("status") != "False" or not running or not all(running):
        return ""
    # A lost node reports nothing; the node controller sets this to False and posts an event with the cause.
    return _join(ready.get("reason", ""), ready.get("message", "")) or _warning(events)


def _warning(events: Sequence[Event]) -> str:
    """The newest warning since the pod last made progress."""
    for event in events:
        if event.get("reason") in _PROGRESS:
            return ""
        if event.get("type") == "Warning" and event.get("reason") not in _ASIDE:
            return _join(str(event.get("reason", "")), _note(event))
    return ""


def _probe_answer(probe: str, events: Sequence[Event]) -> str:
    """The answer to a probe when it last failed."""
    start = f"{probe.capitalize()} probe "
    notes = (_note(event) for event in events if event.get("reason") == "Unhealthy")
    found = next((note for note in notes if note.startswith(start)), "")
    return found.partition(": ")[2]


def _note(event: Event) -> str:
    note = str(event.get("note", "")).removeprefix("(combined from similar events): ")
    return _shown(note, _NOTE_CHARACTERS)


def _seen_at(event: Event) -> tuple[str, bool]:
    """When an event was last seen. Kubelets write whole seconds; within one, progress counts as later."""
    times = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        (event.get("metadata") or {}).get("creationTimestamp"),
    )
    return next((str(time)[:19] for time in times if time), ""), event.get("reason") in _PROGRESS


def _status(pod: Pod) -> Mapping[str, Any]:
    return pod.get("status") or {}


def _condition(pod: Pod, kind: str) -> Mapping[str, Any]:
    conditions = _status(pod).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == kind), {})


def _containers(pod: Pod) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The status of each container, and whether it is an init container."""
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in _status(pod).get(name) or ():
            yield container, name == "initContainerStatuses"


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a container, or the one before it, ended; empty if none has."""
    states = (container.get("state") or {}, container.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})


def _is_ready(pod: Pod) -> bool:
    return _condition(pod, "Ready").get("status") == "True"


def _created(pod: Pod) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _seconds_since(time: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(time)).total_seconds() if time else float("inf")


def _join(first: str, second: str) -> str:
    return _shown(f"{first}: {second}" if first and second else first or second, _STATUS_CHARACTERS)


def _shown(text: str, characters: int) -> str:
    """Make a text of the cluster fit for a condition: one line, printable, short, no passwords of URLs."""
    line = _USER_INFO.sub("", " ".join(_ESCAPE.sub("", text).split()))
    cut = line if len(line) <= characters else line[: characters - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut)
