"""Every kopf handler: what the watches hear goes into the cache, and which apps to look at into the queue.

Only `on.event` is used. kopf then writes nothing: no finalizer that could hold up a deletion when the
operator is gone, and no annotation of its own. Handlers are coroutines that never wait; the work is done by
workers (`operator.py`).
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
"""Objects per page of a first listing: the most that are held as parsed JSON at once, per kind."""
HEARTBEAT_SECONDS = 5.0
"""How often the event loop proves that it runs."""

SELECTORS: Mapping[Api, tuple[str, str]] = {
    **{api: (SELECTOR, "") for api in kinds.OWNED if api != kinds.CONFIG_MAP},
    kinds.FTL_APP: ("", ""),
    kinds.SPIN_APP_EXECUTOR: ("", ""),
    kinds.DEPLOYMENT: (POD_LABEL, ""),
    kinds.CONFIG_MAP: ("", ""),
    # Helm keeps every release in a Secret of up to a megabyte; no app reads one.
    kinds.SECRET: ("", "type!=helm.sh/release.v1"),
}
"""Label and field selector of every kind that is watched."""

_log = logging.getLogger(__name__)


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf compares nothing: only the cache does, and copies of every object would cost most of a restart."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """kopf keeps nothing in objects: no handler of its kinds with a progress is used."""

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
    """When the event loop last ran, and when a watch last heard anything. Monotonic seconds."""

    def __init__(self) -> None:
        self.beat = time.monotonic()

    async def run(self) -> None:
        """Beat for as long as the loop runs."""
        while True:
            self.beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)


def registry_of(
    cache: Cache, queue: WorkQueue, heart: EventLoopHeartbeat, kubeconfig: Path | None
) -> kopf.OperatorRegistry:
    """All handlers.

    Args:
        cache: Remembers what was seen.
        queue: Told which apps to look at.
        heart: Beats with the event loop.
        kubeconfig: How to log in; None for the pod's ServiceAccount or the user's default.
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
        # kopf waits five seconds for whatever still runs.
        for beat in beats:
            beat.cancel()

    for api in SELECTORS:
        _watch(api, registry, cache, queue)
    return registry


def framework_settings(*, clusterwide: bool) -> kopf.OperatorSettings:
    """Kopf's settings: no writes of its own, small pages, server-side selection.

    Args:
        clusterwide: Whether the operator may list CRDs and namespaces, and so notice new ones.
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
