"""All kopf handlers: they put watch events into the cache, and the apps to reconcile into the queue.

Only `on.event` is used, because kopf then writes nothing: neither a finalizer, which would block deletions
once the operator is gone, nor annotations. Handlers are coroutines that never wait; the workers in
`operator.py` do the work.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf

from ftl_operator.api import kinds
from ftl_operator.api.kinds import Api
from ftl_operator.api.names import POD_LABEL, SELECTOR
from ftl_operator.cluster.cache import Cache
from ftl_operator.controller.telemetry import metrics
from ftl_operator.controller.workqueue import WorkQueue

CHUNK = 200
"""Objects per page of the first listing. At most so many of a kind are in memory as parsed JSON at once."""
HEARTBEAT_SECONDS = 5.0
"""Seconds between two heartbeats of the event loop."""

SELECTORS: Mapping[Api, tuple[str, str]] = {
    **{api: (SELECTOR, "") for api in kinds.OWNED if api != kinds.CONFIG_MAP},
    kinds.FTL_APP: ("", ""),
    kinds.SPIN_APP_EXECUTOR: ("", ""),
    kinds.DEPLOYMENT: (POD_LABEL, ""),
    kinds.CONFIG_MAP: ("", ""),
    # Helm stores every release in a Secret of up to a megabyte, which no app reads.
    kinds.SECRET: ("", "type!=helm.sh/release.v1"),
}
"""Label and field selector of every kind that is watched."""

_log = logging.getLogger(__name__)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stops kopf from copying every object for comparison, which would dominate the time of a restart.

    Only the cache compares objects.
    """

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Stops kopf from storing progress in objects: no handler here has any."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None

    def purge(self, **_: object) -> None:
        return None

    def touch(self, **_: object) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class EventLoopHeartbeat:
    """When the event loop last ran, in monotonic seconds."""

    def __init__(self) -> None:
        self.beat = time.monotonic()

    async def run(self) -> None:
        """Record a heartbeat every `HEARTBEAT_SECONDS` while the loop runs."""
        while True:
            self.beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)


def registry_of(
    cache: Cache, queue: WorkQueue, heart: EventLoopHeartbeat, kubeconfig: Path | None
) -> kopf.OperatorRegistry:
    """Build the registry of all handlers.

    Args:
        cache: Gets every event.
        queue: Gets the apps to reconcile.
        heart: The heartbeat of the event loop.
        kubeconfig: How to log in; None for the pod's ServiceAccount or the user's default kubeconfig.
    """
    registry = kopf.OperatorRegistry()
    beats: set[asyncio.Task[None]] = set()

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf passes all it has
        if kubeconfig is not None:
            os.environ["KUBECONFIG"] = str(kubeconfig)
            return kopf.login_with_kubeconfig(**arguments)
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    @kopf.on.startup(registry=registry)
    async def start(**_: object) -> None:
        beats.add(asyncio.create_task(heart.run()))

    @kopf.on.cleanup(registry=registry)
    async def end(**_: object) -> None:
        # Otherwise kopf waits five seconds for this task to end.
        for beat in beats:
            beat.cancel()

    for api in SELECTORS:
        _watch(api, registry, cache, queue)
    return registry


def framework_settings(*, clusterwide: bool) -> kopf.OperatorSettings:
    """Kopf's settings: no writes, small pages, server-side selectors.

    Args:
        clusterwide: Whether the operator may list CRDs and namespaces, and so notices new ones.
    """
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = not clusterwide
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.watching.chunk_size = CHUNK
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.5
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    for api, (labels, fields) in SELECTORS.items():
        place = (api.group, api.version, api.plural)
        if labels:
            settings.watching.label_selectors[place] = labels
        if fields:
            settings.watching.field_selectors[place] = fields
    return settings


def _watch(api: Api, registry: kopf.OperatorRegistry, cache: Cache, queue: WorkQueue) -> None:
    @kopf.on.event(api.group, api.version, api.plural, registry=registry, id=api.plural)
    async def see(event: Mapping[str, Any], **_: object) -> None:
        metrics.LAST_EVENT.set_to_current_time()
        for key in cache.observe_event(api, event["object"], gone=event["type"] == "DELETED"):
            queue.add(key)
