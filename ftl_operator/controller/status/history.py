"""The published versions of an app: the running one, and the fate of the earlier ones. Pure.

A version that does not become ready in time is rolled back: the last good one runs in its place until the
spec or an input changes, that is, until the digest of the inputs differs from the failed version's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ftl_operator.api.conditions import Result, timestamp
from ftl_operator.api.status import HistoryEntry

History = tuple[HistoryEntry, ...]

MESSAGE_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Version:
    """A published application and the digest of its inputs."""

    image: str
    inputs: str
    generation: int


def chosen(history: Sequence[HistoryEntry], wanted: Version) -> str:
    """The image to run: the wanted one, or the last good one if that failed with the same inputs."""
    failed = any(
        entry.result == Result.ROLLED_BACK and (entry.image, entry.inputs) == (wanted.image, wanted.inputs)
        for entry in history
    )
    return (_last_good(history, wanted.image) or wanted.image) if failed else wanted.image


def applied(history: Sequence[HistoryEntry], running: str, wanted: Version, now: datetime) -> History:
    """The history after `running` was applied; `wanted` differs from it after a rollback."""
    if history and running != wanted.image:
        return tuple(history)
    newest = history[0] if history else None
    if newest and newest.image == running and newest.result != Result.ROLLED_BACK:
        # Other inputs that make the same image are no new version. Their digest is recorded so that a restart
        # does not build again.
        same = newest.model_copy(update={"inputs": wanted.inputs, "generation": wanted.generation})
        return (same, *history[1:])
    entry = HistoryEntry(
        image=running,
        generation=wanted.generation,
        time=timestamp(now),
        result=Result.ROLLING_OUT,
        inputs=wanted.inputs,
    )
    return (entry, *(_superseded(old) for old in history))


def serving(history: Sequence[HistoryEntry], image: str) -> History:
    """The history after every pod of `image` became ready."""
    return tuple(
        entry.model_copy(update={"result": Result.SERVING.value}) if _rolls_out(entry, image) else entry
        for entry in history
    )


def restarted(history: Sequence[HistoryEntry], now: datetime) -> History:
    """The history when pods come back after a suspension: the deadline counts from now."""
    return tuple(
        entry.model_copy(update={"time": timestamp(now)}) if entry.result == Result.ROLLING_OUT else entry
        for entry in history
    )


def seconds_left(
    history: Sequence[HistoryEntry], image: str, deadline_seconds: float, now: datetime
) -> float | None:
    """Seconds that `image` still has to become ready; None if it is not rolling out."""
    for entry in history:
        if _rolls_out(entry, image):
            return deadline_seconds - _age(entry, now)
    return None


def elapsed(history: Sequence[HistoryEntry], image: str, now: datetime) -> float:
    """Seconds since `image` was applied; 0 if it was not."""
    return next((max(0.0, _age(entry, now)) for entry in history if entry.image == image), 0.0)


def failed(history: Sequence[HistoryEntry], image: str, message: str) -> History | None:
    """The history after `image` missed its deadline; None if there is no good version to roll back to."""
    if _last_good(history, image) is None:
        return None
    update = {"result": Result.ROLLED_BACK.value, "message": message[:MESSAGE_LENGTH]}
    return tuple(entry.model_copy(update=update) if _rolls_out(entry, image) else entry for entry in history)


def failure(history: Sequence[HistoryEntry], image: str) -> str:
    """Why an image was rolled back; empty if it was not."""
    failures = (entry for entry in history if entry.image == image and entry.result == Result.ROLLED_BACK)
    return next((entry.message for entry in failures), "")


def trimmed(history: Sequence[HistoryEntry], limit: int) -> History:
    """The newest entries; the last good one is kept even if it is older."""
    kept = list(history[:limit])
    good = next((entry for entry in history if _is_good(entry)), None)
    if good is not None and good not in kept:
        kept[-1] = good
    return tuple(kept)


def _last_good(history: Sequence[HistoryEntry], but: str) -> str | None:
    return next((entry.image for entry in history if _is_good(entry) and entry.image != but), None)


def _is_good(entry: HistoryEntry) -> bool:
    return entry.result in (Result.SERVING, Result.SUPERSEDED)


def _rolls_out(entry: HistoryEntry, image: str) -> bool:
    return entry.image == image and entry.result == Result.ROLLING_OUT


def _superseded(entry: HistoryEntry) -> HistoryEntry:
    if entry.result == Result.SERVING:
        return entry.model_copy(update={"result": Result.SUPERSEDED.value})
    if entry.result == Result.ROLLING_OUT:
        # It never served, so a rollback must not choose it.
        message = "replaced before it was ready"
        return entry.model_copy(update={"result": Result.ROLLED_BACK.value, "message": message})
    return entry


def _age(entry: HistoryEntry, now: datetime) -> float:
    return (now - datetime.fromisoformat(entry.time)).total_seconds()
