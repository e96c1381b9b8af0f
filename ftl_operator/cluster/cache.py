"""In-memory cache of watched objects, indexed by FtlApp; workers read the cluster only from here.

A thousand apps own ten thousand objects, which as parsed JSON need more memory than the operator has. So the
cache stores each object as compressed JSON without unused fields, and a worker parses it when it needs it.
The cache decides nothing; it only tells which apps an event concerns. A standby replica fills it too, so that
it is warm when the replica becomes the leader.
"""

import json
import sys
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.conditions import Result
from ftl_operator.api.kinds import Api
from ftl_operator.api.names import DIGEST_ANNOTATION, TRIGGER_ANNOTATION, NamespacedName
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.deployment import Rollout, rollout_of
from ftl_operator.cluster.executor import Executor, SpinAppStatus, executor_of, report_of
from ftl_operator.cluster.secrets import (
    SecretVersion,
    Source,
    implied_sources,
    secret_version,
    sources_of,
)

Json = dict[str, Any]
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedApp:
    """An FtlApp, and the fields that decide whether an event needs a reconcile."""

    uid: str
    generation: int
    trigger: str
    resource_version: str
    deleting: bool
    sources: frozenset[Source]
    conditions: tuple[tuple[str, str, str], ...]
    tool_count: int
    rolling_since: str
    """When the present rollout began, in the status' time format; empty without one."""
    packed: bytes

    def read(self) -> Json:
        """The object."""
        return _unpack(self.packed)


@dataclass(frozen=True, slots=True)
class CachedObject:
    """An object that an FtlApp owns."""

    api: Api
    name: str
    uid: str
    owner: NamespacedName
    owner_uid: str
    version: int
    packed: bytes

    def read(self) -> Json:
        """The object without its status."""
        return _unpack(self.packed)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An FtlApp at the start of a reconcile. It does not change during the reconcile.

    Args:
        key: Its namespace and name.
        app: Its entry in the cache.
        document: The object as the API server sent it.
        status: Its status, parsed.
        spin_app: The SpinApp that it owns, without its status; None if there is none.
        now: When the reconcile began.
    """

    key: NamespacedName
    app: CachedApp
    document: Json
    status: FtlAppStatus
    spin_app: Json | None
    now: datetime

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that identify the app in a log line. `logging` reserves the field `name`."""
        return {"namespace": self.key.namespace, "app": self.key.name, "generation": self.app.generation}


class Cache:
    """The watched objects, by app. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._apps: dict[NamespacedName, CachedApp] = {}
        self._owned: dict[NamespacedName, dict[tuple[Api, str], CachedObject]] = {}
        self._owner: dict[tuple[Api, str, str], NamespacedName] = {}
        self._rollouts: dict[NamespacedName, Rollout] = {}
        self._executors: dict[NamespacedName, Executor] = {}
        self._reports: dict[NamespacedName, SpinAppStatus] = {}
        self._sources: dict[tuple[str, str, str], SecretVersion] = {}
        self._places: dict[tuple[Api, str, str], int] = {}

    # For workers

    def app(self, key: NamespacedName) -> CachedApp | None:
        """The app, if it exists."""
        return self._apps.get(key)

    def snapshot(self, key: NamespacedName, now: datetime) -> Snapshot | None:
        """The app for a reconcile; None if it does not exist or is being deleted."""
        app = self.app(key)
        if app is None or app.deleting:
            return None
        document = app.read()
        status = FtlAppStatus.parse(document.get("status"))
        return Snapshot(key, app, document, status, self.spin_app(key, app.uid), now)

    def spin_app(self, key: NamespacedName, uid: str) -> Json | None:
        """The present SpinApp of the app with this uid, without its status."""
        found = self.owned(key, uid).get((kinds.SPIN_APP, key.name))
        return found.read() if found is not None else None

    def apps(self) -> list[tuple[NamespacedName, CachedApp]]:
        """Every app."""
        with self._lock:
            return list(self._apps.items())

    def rollouts(self, since: str) -> int:
        """How many apps have a rollout that began at `since` or later; a time in the status' format."""
        with self._lock:
            return sum(seen.rolling_since >= since for seen in self._apps.values() if seen.rolling_since)

    def owned(self, key: NamespacedName, uid: str) -> dict[tuple[Api, str], CachedObject]:
        """The objects that the app with this uid owns, by kind and name."""
        with self._lock:
            return {
                found: seen for found, seen in self._owned.get(key, {}).items() if seen.owner_uid in (uid, "")
            }

    def rollout(self, key: NamespacedName) -> Rollout | None:
        """The state of the app's Deployment, if there is one."""
        return self._rollouts.get(key)

    def executor(self, namespace: str, name: str) -> Executor | None:
        """A SpinAppExecutor; None if it does not exist."""
        return self._executors.get(NamespacedName(namespace, name))

    def report(self, key: NamespacedName) -> SpinAppStatus:
        """The status of the app's SpinApp."""
        return self._reports.get(key, SpinAppStatus())

    def source(self, kind: str, namespace: str, name: str) -> SecretVersion | None:
        """The version of a Secret or ConfigMap; None if it does not exist."""
        return self._sources.get((kind, namespace, name))

    def has_seen(self, api: Api, namespace: str, name: str, version: int) -> bool:
        """Whether the cache has this version of an object or a newer one."""
        return self._places.get((api, namespace, name), -1) >= version

    # For watches

    def observe_event(self, api: Api, body: Body, *, gone: bool = False) -> list[NamespacedName]:
        """Store or remove an object. Returns the apps to reconcile because of it."""
        metadata = body["metadata"]
        key = NamespacedName(metadata.get("namespace", ""), metadata["name"])
        place = (api, key.namespace, key.name)
        with self._lock:
            if gone:
                self._places.pop(place, None)
            else:
                self._places[place] = max(version_of(body), self._places.get(place, 0))
            if api == kinds.FTL_APP:
                return self._on_app(key, body, gone=gone)
            if api == kinds.DEPLOYMENT:
                return self._on_rollout(key, body, gone=gone)
            if api == kinds.SPIN_APP_EXECUTOR:
                return self._on_executor(key, body, gone=gone)
            woken = self._on_source(api, key, body, gone=gone) if api in _SOURCES else []
            if api in kinds.OWNED:
                reported = self._on_report(key, body, gone=gone) if api == kinds.SPIN_APP else []
                woken += self._on_owned(api, key, body, gone=gone) or reported
            return woken

    def _on_app(self, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        if gone:
            return [key] if self._apps.pop(key, None) else []
        metadata = body["metadata"]
        old = self._apps.get(key)
        is_older = old is not None and _number(old.resource_version) > version_of(body)
        if old is not None and is_older and old.uid == metadata["uid"]:
            return []
        status = body.get("status") or {}
        seen = CachedApp(
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            trigger=(metadata.get("annotations") or {}).get(TRIGGER_ANNOTATION, ""),
            resource_version=metadata.get("resourceVersion", ""),
            deleting="deletionTimestamp" in metadata,
            sources=frozenset((*sources_of(body.get("spec") or {}), *implied_sources(body))),
            conditions=_conditions(status),
            tool_count=int(status.get("toolCount", 0)),
            rolling_since=_rolling_since(status),
            packed=_pack(body, ()),
        )
        self._apps[key] = seen
        # The operator itself writes the status, so a change of the status needs no reconcile.
        changed = old is None or (old.uid, old.generation, old.trigger, old.deleting) != (
            seen.uid,
            seen.generation,
            seen.trigger,
            seen.deleting,
        )
        return [key] if changed else []

    def _on_owned(self, api: Api, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        place = (api, key.namespace, key.name)
        version = version_of(body)
        if not gone and self._is_newer(place, version):
            return []
        before = self._owner.pop(place, None)
        old = self._owned.get(before, {}).pop((api, key.name), None) if before else None
        if before and not self._owned[before]:
            del self._owned[before]
        owner = None if gone else owner_of(key.namespace, body["metadata"])
        if owner is None:
            return [before] if before else []
        uid = body["metadata"]["uid"]
        seen = CachedObject(api, key.name, uid, owner[0], owner[1], version, _pack(body, ("status",)))
        self._owner[place] = seen.owner
        self._owned.setdefault(seen.owner, {})[api, key.name] = seen
        same = old is not None and (old.owner, old.packed) == (seen.owner, seen.packed)
        return [] if same else [seen.owner]

    def _is_newer(self, place: tuple[Api, str, str], version: int) -> bool:
        """Whether the cache has a newer version: a write's result may come before an older watch event."""
        owner = self._owner.get(place)
        seen = self._owned.get(owner, {}).get((place[0], place[2])) if owner else None
        return seen is not None and seen.version > version

    def _on_rollout(self, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        # Deployment, SpinApp and FtlApp have the same name: spin-operator and this operator both keep it.
        old = self._rollouts.pop(key, None)
        if gone:
            return [key] if old and key in self._apps else []
        self._rollouts[key] = rollout_of(body)
        return [key] if old != self._rollouts[key] and key in self._apps else []

    def _on_report(self, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        old = self._reports.pop(key, SpinAppStatus())
        self._reports |= {} if gone else {key: report_of(body)}
        # Where there is a Deployment, its own watch tells more, and earlier.
        executor = NamespacedName(key.namespace, (body.get("spec") or {}).get("executor", ""))
        makes_deployment = self._executors.get(executor, Executor()).makes_deployment
        is_news = not makes_deployment and self._reports.get(key, old) != old
        return [key] if is_news and key in self._apps else []

    def _on_executor(self, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        old = self._executors.pop(key, None)
        self._executors |= {} if gone else {key: executor_of(body)}
        is_news = self._executors.get(key) != old
        return [app for app in self._apps if is_news and app.namespace == key.namespace]

    def _on_source(self, api: Api, key: NamespacedName, body: Body, *, gone: bool) -> list[NamespacedName]:
        place = (api.kind, key.namespace, key.name)
        old = self._sources.pop(place, None)
        new = None if gone else secret_version(body)
        if new is not None:
            self._sources[place] = new
        if old == new:
            return []
        named = (api.kind, key.name)
        return [
            app
            for app, seen in self._apps.items()
            if app.namespace == key.namespace and named in seen.sources
        ]


_SOURCES = (kinds.SECRET, kinds.CONFIG_MAP)


def owner_of(namespace: str, metadata: Body) -> tuple[NamespacedName, str] | None:
    """Find the FtlApp that owns an object: its name and uid, or None.

    An object without an owner reference is recognised by its labels and the digest annotation. The uid is
    then empty, and the next apply restores the reference.
    """
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("kind") == kinds.FTL_APP.kind and reference.get("apiVersion", "").startswith(
            f"{kinds.FTL_APP.group}/"
        ):
            return NamespacedName(namespace, reference["name"]), reference["uid"]
    instance = (metadata.get("labels") or {}).get("app.kubernetes.io/instance")
    # KEDA copies labels and annotations to the autoscaler that it makes and owns; that one is not ours.
    is_orphan = not metadata.get("ownerReferences")
    if is_orphan and instance and DIGEST_ANNOTATION in (metadata.get("annotations") or {}):
        return NamespacedName(namespace, instance), ""
    return None


def version_of(body: Body) -> int:
    """An object's resourceVersion as a number."""
    return _number(str(body["metadata"].get("resourceVersion", "")))


def _number(version: str) -> int:
    # The API calls it opaque (before 1.35), but in every API server it is an increasing number.
    return int(version) if version.isdecimal() else 0


def _rolling_since(status: Body) -> str:
    newest: Body = next(iter(status.get("history") or ()), {})
    return str(newest["time"]) if newest.get("result") == Result.ROLLING_OUT else ""


def _conditions(status: Body) -> tuple[tuple[str, str, str], ...]:
    # Interned, because a thousand apps have the same few texts.
    return tuple(
        (sys.intern(item["type"]), sys.intern(item["status"]), sys.intern(item["reason"]))
        for item in status.get("conditions") or ()
    )


def _pack(body: Body, without: tuple[str, ...]) -> bytes:
    kept = {name: value for name, value in body.items() if name not in without}
    left = ("managedFields", "resourceVersion") if without else ("managedFields",)
    kept["metadata"] = {name: value for name, value in body["metadata"].items() if name not in left}
    return zlib.compress(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode(), 1)


def _unpack(packed: bytes) -> Json:
    return dict(json.loads(zlib.decompress(packed)))
