"""The published versions of an app: which one runs, and what became of those before it. Pure.

A version that does not become ready in time is rolled back: the last good one runs in its place until the
spec or an input changes. A change shows as another digest of the inputs than that of the failed version.
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
    """A published application and the digest of everything that it was made from."""

    image: str
    inputs: str
    generation: int


def chosen(history: Sequence[HistoryEntry], wanted: Version) -> str:
    """The image to run: the wanted one, or if that failed with these very inputs, the last good one."""
    failed = any(
        entry.result == Result.ROLLED_BACK and (entry.image, entry.inputs) == (wanted.image, wanted.inputs)
        for entry in history
    )
    return (_last_good(history, wanted.image) or wanted.image) if failed else wanted.image


def applied(history: Sequence[HistoryEntry], running: str, wanted: Version, now: datetime) -> History:
    """The history once `running` was applied; `wanted` differs from it after a rollback."""
    if history and running != wanted.image:
        return tuple(history)
    newest = history[0] if history else None
    if newest and newest.image == running and newest.result != Result.ROLLED_BACK:
        # Other inputs that make the same image are no new version, and no reason to plan again after a
        # restart.
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
    """The history once every pod of `image` is ready."""
    return tuple(
        entry.model_copy(update={"result": Result.SERVING.value}) if _rolls_out(entry, image) else entry
        for entry in history
    )


def restarted(history: Sequence[HistoryEntry], now: datetime) -> History:
    """The history when pods come back after a suspension: the time to become ready starts anew."""
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
    """The history once `image` missed its deadline; None if there is no good version to go back to."""
    if _last_good(history, image) is None:
        return None
    update = {"result": Result.ROLLED_BACK.value, "message": message[:MESSAGE_LENGTH]}
    return tuple(entry.model_copy(update=update) if _rolls_out(entry, image) else entry for entry in history)


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
        # It never served, so it is nothing to go back to.
        message = "replaced before it was ready"
        return entry.model_copy(update={"result": Result.ROLLED_BACK.value, "message": message})
    return entry


def _age(entry: HistoryEntry, now: datetime) -> float:
    return (now - datetime.fromisoformat(entry.time)).total_seconds()
