"""Which published version runs, and what became of those before it. Pure.

A version that does not become ready in time is taken back: the last good one runs in its place until the
spec or an input changes, which is when the digest of the inputs differs from the one that failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ftl_operator.api.conditions import Result

Entry = dict[str, Any]
Entries = Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Version:
    """A published application and the digest of everything that it was made from."""

    image: str
    inputs: str
    generation: int


def chosen(entries: Entries, wanted: Version) -> str:
    """The image to run: the wanted one, or if that failed with these very inputs, the last good one."""
    failed = any(
        entry["result"] == Result.ROLLED_BACK
        and (entry["image"], entry.get("inputs", "")) == (wanted.image, wanted.inputs)
        for entry in entries
    )
    return (_last_good(entries, wanted.image) or wanted.image) if failed else wanted.image


def applied(entries: Entries, running: str, wanted: Version, now: datetime) -> list[Entry]:
    """The history once `running` was applied; `wanted` differs from it after a rollback."""
    if entries and running != wanted.image:
        return list(entries)
    newest = entries[0] if entries else None
    if newest and newest["image"] == running and newest["result"] != Result.ROLLED_BACK:
        # Other inputs that make the same image are no new version, and no reason to plan again after a
        # restart.
        same = {**newest, "inputs": wanted.inputs, "generation": wanted.generation}
        return [same, *entries[1:]]
    entry = {
        "image": running,
        "generation": wanted.generation,
        "time": _timestamp(now),
        "result": Result.ROLLING_OUT.value,
        "inputs": wanted.inputs,
    }
    return [entry, *(_superseded(old) for old in entries)]


def serving(entries: Entries, image: str) -> list[Entry]:
    """The history once every pod of `image` is ready."""
    return [
        {**entry, "result": Result.SERVING.value}
        if entry["image"] == image and entry["result"] == Result.ROLLING_OUT
        else entry
        for entry in entries
    ]


def restarted(entries: Entries, now: datetime) -> list[Entry]:
    """The history when pods come back after a suspension: the time to become ready starts anew."""
    return [
        {**entry, "time": _timestamp(now)} if entry["result"] == Result.ROLLING_OUT else entry
        for entry in entries
    ]


def seconds_left(entries: Entries, image: str, deadline_seconds: float, now: datetime) -> float | None:
    """How long `image` still has to become ready; None if it is not rolling out."""
    for entry in entries:
        if entry["image"] == image and entry["result"] == Result.ROLLING_OUT:
            return deadline_seconds - (now - _moment(entry["time"])).total_seconds()
    return None


def elapsed(entries: Entries, image: str, now: datetime) -> float:
    """Seconds since `image` was applied; 0 if it was not."""
    for entry in entries:
        if entry["image"] == image:
            return max(0.0, (now - _moment(entry["time"])).total_seconds())
    return 0.0


def failed(entries: Entries, image: str, message: str) -> list[Entry] | None:
    """The history once `image` missed its deadline; None if there is no good version to go back to."""
    if _last_good(entries, image) is None:
        return None
    return [
        {**entry, "result": Result.ROLLED_BACK.value, "message": message[:1000]}
        if entry["image"] == image and entry["result"] == Result.ROLLING_OUT
        else entry
        for entry in entries
    ]


def trimmed(entries: Entries, limit: int) -> list[Entry]:
    """The newest entries; the last good one is kept even if it is older."""
    kept = list(entries[:limit])
    good = next((entry for entry in entries if _is_good(entry)), None)
    if good is not None and good not in kept:
        kept[-1] = good
    return kept


def _last_good(entries: Entries, but: str) -> str | None:
    return next((entry["image"] for entry in entries if _is_good(entry) and entry["image"] != but), None)


def _is_good(entry: Entry) -> bool:
    return entry["result"] in (Result.SERVING, Result.SUPERSEDED)


def _superseded(entry: Entry) -> Entry:
    if entry["result"] == Result.SERVING:
        return {**entry, "result": Result.SUPERSEDED.value}
    if entry["result"] == Result.ROLLING_OUT:
        # It never served, so it is nothing to go back to.
        return {**entry, "result": Result.ROLLED_BACK.value, "message": "replaced before it was ready"}
    return entry


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
