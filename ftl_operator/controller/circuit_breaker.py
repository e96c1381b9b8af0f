"""Keeps one slow or dead registry from holding the workers that other apps need.

A gate per registry lets in a few at once and asks the others to come back, instead of letting them wait;
and after a failure it stays shut for a while, so that a hundred apps of a dead registry cost one timeout
and not a hundred. A registry that has not answered yet, or not the last time, gets one visitor at a time,
and all such registries together hold half of the workers at most: however many of them are dead, the other
half is there for apps of registries that answer.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ftl_operator.errors import COME_BACK, RegistryError, WaitingError
from ftl_operator.registry.http import TransientError

FIRST_PAUSE = 5.0
"""Seconds a gate stays shut after the first failure; doubled by each further one."""
LONGEST_PAUSE = 60.0
"""The most seconds it stays shut."""
PATIENCE = 0.25
"""Seconds that one waits at a full gate; a registry that answers lets many through in that time. Of one that
has not answered yet, only its first visitor's first moments are waited for."""


@dataclass(slots=True)
class _Breaker:
    inside: int = 0
    since: float = 0.0
    """When the last one went in."""
    answers: bool = False
    """Whether the last one that came out had an answer."""
    failures: int = 0
    shut_until: float = 0.0


class CircuitBreakers:
    """A gate for every registry that was spoken to.

    Args:
        width: How many may be inside one gate at once, and inside all gates of registries that do not answer.
        clock: Monotonic seconds.
    """

    def __init__(self, width: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._width = width
        self._clock = clock
        self._lock = threading.Condition()
        self._gates: dict[str, _Breaker] = {}

    @contextlib.contextmanager
    def enter(self, registry: str) -> Iterator[None]:
        """Go through a registry's gate, do something, and come out.

        Raises:
            WaitingError: The gate is full.
            RegistryError: The gate is shut; it says when it opens.
        """
        self._in(registry)
        failure: TransientError | None = None
        try:
            yield
        except TransientError as error:
            # Only a registry that does not answer as it should shuts its gate; a refusal is about one app.
            failure = error
            raise
        finally:
            self._out(registry, failure)

    def _in(self, registry: str) -> None:
        with self._lock:
            gate = self._gates.setdefault(registry, _Breaker())
            left = gate.shut_until - self._clock()
            if left > 0:
                # Not the error that shut it, for that names another app's references.
                raise RegistryError(
                    f"the registry {registry} does not answer; it is asked again soon", retry_after=left
                )
            taken = 0.0 if gate.answers else self._clock() - self._newest(gate)
            if not self._lock.wait_for(lambda: self._has_room(gate), max(0.0, PATIENCE - taken)):
                # The longer it takes, the less often it is looked at.
                seconds = max(COME_BACK, taken) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
                raise WaitingError(f"{registry} is busy", seconds)
            gate.inside += 1
            gate.since = self._clock()

    def _strangers(self) -> list[_Breaker]:
        return [other for other in self._gates.values() if not other.answers]

    def _newest(self, gate: _Breaker) -> float:
        """When the one went in that a visitor of a registry that does not answer waits for."""
        inside = [gate] if gate.inside else [other for other in self._strangers() if other.inside]
        return max((other.since for other in inside), default=self._clock())

    def _has_room(self, gate: _Breaker) -> bool:
        if gate.answers:
            return gate.inside < self._width
        # One goes first; the others follow when it came out well.
        strangers = self._strangers()
        failing = sum(other.inside for other in strangers if other.failures)
        return (
            not gate.inside
            and sum(other.inside for other in strangers) < self._width
            # Those that failed before leave room for those that nobody has tried.
            and (not gate.failures or failing < max(1, self._width // 2))
        )

    def _out(self, registry: str, failure: TransientError | None) -> None:
        with self._lock:
            gate = self._gates[registry]
            gate.inside -= 1
            gate.answers = failure is None
            self._lock.notify_all()
            if failure is None:
                gate.failures, gate.shut_until = 0, 0.0
                return
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**gate.failures)
            gate.failures += 1
            gate.shut_until = self._clock() + max(pause, failure.retry_after or 0.0)
