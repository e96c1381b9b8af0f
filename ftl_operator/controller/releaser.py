"""What an app should run: known at once when nothing changed, planned and published when something did.

"Nothing changed" costs one HEAD request per reference. It survives a restart with an empty cache, because the
digest of all inputs stands in `status.history` beside the image that was made from them.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ftl_operator.api.app import FtlApp, UpdatePolicy
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.conditions import ConditionState, ConditionType
from ftl_operator.api.names import INPUTS_ANNOTATION, SOURCES_ANNOTATION, TRIGGER_ANNOTATION, NamespacedName
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.cluster.cache import Cache, Snapshot
from ftl_operator.cluster.client import TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError, WriteGate
from ftl_operator.component.inspector import Inspector
from ftl_operator.component.tool import Component
from ftl_operator.controller.circuit_breaker import CircuitBreakers
from ftl_operator.controller.inspection_pool import InspectionPool, Job
from ftl_operator.controller.pull_secrets import OperatorCredentials, PullSecrets, ReadObject
from ftl_operator.controller.telemetry import metrics
from ftl_operator.errors import ClusterError, FtlError, Reason, SpecError, WaitingError
from ftl_operator.manifests.spinapp import Release, pod_sources
from ftl_operator.oci.descriptor import Artifact, Layer
from ftl_operator.oci.reference import Digest, Reference, Repository, parse_reference
from ftl_operator.pipeline.findings import auth_finding, facts_of, resolved_finding
from ftl_operator.pipeline.plan import (
    Inputs,
    Observe,
    Plan,
    Source,
    Stages,
    build,
    error_field,
    inputs_of,
    inspect_all,
    publish,
    repository_of,
    resolve_all,
)
from ftl_operator.pipeline.resolve import sources
from ftl_operator.registry.client import Registry
from ftl_operator.settings import Settings

_log = logging.getLogger(__name__)

HEAD_SECONDS = 5.0
"""How long an answer to "what does this tag mean" serves other apps with the same login."""
MAX_HEADS = 10_000

Authorize = Callable[[FtlApp], GatewayAuth | None]
"""The auth stage's edge: checks `spec.auth`; None for a public app."""


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """What to run, and what the status says of it if that is newly known."""

    release: Release
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CachedRelease:
    """A release that was planned and told in the status.

    Args:
        of: The app's uid, generation and trigger: another app has another release.
        pods: The digest of what its pods read.
        spin_version: The Spin that its executor declared.
        result: The release.
        until: When it is planned anew, by the planner's clock.
    """

    of: tuple[str, int, str]
    pods: str
    spin_version: str
    result: ReleaseResult
    until: float

    def is_of(self, pods: str, spin_version: str, now: float) -> bool:
        """Whether it still holds, with these inputs at this time."""
        return (self.pods, self.spin_version) == (pods, spin_version) and now < self.until


@dataclass(frozen=True, slots=True)
class Planned:
    """What came of planning an app's release.

    Args:
        app: The app, parsed; None if it cannot be.
        result: What to run: newly planned, or through an outage the last one.
        stages: What the stages that ran found.
        error: What stopped a stage.
        waiting: What a stage waits for.
        fresh: What later reconciles may go by, once the status tells it.
    """

    app: FtlApp | None = None
    result: ReleaseResult | None = None
    stages: Mapping[ConditionType, ConditionState] = field(default_factory=dict)
    error: FtlError | None = None
    waiting: WaitingError | None = None
    fresh: CachedRelease | None = None


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the way to a release asks of the world outside the process.

    Args:
        read: Reads an object of the cluster.
        registry: Registries, without anybody's credentials.
        operator: The operator's own logins; used for nothing but its own publish repository, for
            otherwise whoever may write an FtlApp could read and write what only the operator may.
        inspector: Inspects components.
        authorize: Checks `spec.auth`.
        gateway: The operator's own gateway component.
        write_gate: What every publication passes.
        ensure_executor: Checks the app's executor, and makes it if the operator is to and it is not there.
        make_secret: Makes the Secret of an app's gateway, if the operator is to make it and it is not there.
    """

    read: ReadObject
    registry: Registry
    operator: OperatorCredentials
    inspector: Inspector
    authorize: Authorize
    gateway: Layer
    write_gate: WriteGate = field(default_factory=WriteGate)
    ensure_executor: Callable[[FtlApp], None] = lambda _: None
    make_secret: Callable[[FtlApp], None] = lambda _: None


class ReleasePlanner:
    """Finds, or makes, what apps should run. Safe to use from several threads.

    Args:
        settings: The operator's settings.
        cache: What was seen of the cluster.
        dependencies: What planning asks of the world outside.
        inspections: Inspects components.
        breakers: Keep slow registries from holding workers.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        dependencies: Dependencies,
        inspections: InspectionPool,
        breakers: CircuitBreakers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._dependencies = dependencies
        self._inspections = inspections
        self._breakers = breakers
        self._clock = clock
        self._pull_secrets = PullSecrets(settings, cache, dependencies.read, dependencies.operator)
        self._heads: dict[tuple[Reference, tuple[str, ...]], tuple[float, Digest]] = {}
        self._releases: dict[NamespacedName, CachedRelease] = {}
        self._lock = threading.Lock()

    def plan(self, snapshot: Snapshot) -> Planned:
        """Find what the app should run, and have it published. Whatever stops that is in the result.

        Raises:
            NotLeaderError: Another replica acts.
        """
        with Stages(observe_stage(snapshot)) as stages:
            try:
                app = FtlApp.parse(snapshot.document)
            except SpecError as error:
                return Planned(error=error)
            try:
                self._dependencies.ensure_executor(app)
            except FtlError as error:
                return Planned(app, error=error)
            if app.spec.suspend:
                return Planned(app, _suspended(snapshot.spin_app, self._settings))
            try:
                known = self._known(snapshot)
                self._dependencies.make_secret(app)
                pods = self.pods_digest(app)
                spin_version = self._spin_version(app)
                if known is not None and known.is_of(pods, spin_version, self._clock()):
                    return Planned(app, known.result)
                result = self.release(app, snapshot.status, stages)
            except NotLeaderError:
                raise
            except WaitingError as waiting:
                return Planned(app, self._last(snapshot), stages.findings, waiting=waiting)
            except FtlError as error:
                # Through an outage the last release is kept up; nothing newer is known than what runs.
                last = self._last(snapshot) if error.retryable else None
                return Planned(app, last, stages.findings, error)
        until = self._clock() + interval_seconds(app, self._settings) * 0.9
        fresh = CachedRelease(_identity(snapshot), pods, spin_version, replace(result, facts={}), until)
        return Planned(app, result, stages.findings, fresh=fresh)

    def remember(self, key: NamespacedName, planned: Planned) -> None:
        """Let the next reconciles go by what was planned; only once the status tells it."""
        if planned.fresh is not None:
            self._releases[key] = planned.fresh

    def forget(self, key: NamespacedName) -> None:
        """The app is gone."""
        self._releases.pop(key, None)

    def release(self, app: FtlApp, status: FtlAppStatus, stages: Stages) -> ReleaseResult:
        """What the app should run now; published if it was not yet.

        Args:
            app: The app.
            status: Its status as it is.
            stages: Times the stages and keeps what they find.

        Raises:
            FtlError: Whatever stops a stage.
            WaitingError: A component is being inspected, or a registry is busy.
        """
        pods = self.pods_digest(app)
        pulling = self._dependencies.registry.with_credentials(self._pull_secrets.pull(app))
        with stages.run("resolve", ConditionType.RESOLVED) as found:
            digests = self._digests(app, pulling, status, fresh=_is_asked_for(app, status))
            found.append(resolved_finding(len(app.spec.tools)))
        with stages.run("auth", ConditionType.AUTH_READY) as found:
            auth = self._dependencies.authorize(app)
            found.append(auth_finding(auth))
        gateway = self._dependencies.gateway.descriptor.digest
        inputs = inputs_of(app, digests, auth, gateway, self._spin_version(app))
        issuer_urls = (auth.jwks_uri,) if auth is not None and auth.jwks_uri else ()
        image = _made_from(status, inputs)
        if image is not None:
            stages.keep(_kept(status))
            return ReleaseResult(Release(image, inputs, pods, issuer_urls))
        target = repository_of(app, self._settings)
        edges = self._edges(app, pulling, digests)
        with stages.run("resolve", ConditionType.RESOLVED) as found:
            resolved = resolve_all(app, edges)
            found.append(resolved_finding(len(resolved.tools)))
        components = inspect_all(resolved, edges, stages)
        planned = build(resolved, components, auth, edges.gateway, stages)
        self._publish(app, planned, target, stages)
        release = Release(Reference(target, digest=planned.image.digest), inputs, pods, issuer_urls)
        return ReleaseResult(release, facts_of(planned.resolved, planned.components, planned.locked))

    def _known(self, snapshot: Snapshot) -> CachedRelease | None:
        known = self._releases.get(snapshot.key)
        return known if known is not None and known.of == _identity(snapshot) else None

    def _spin_version(self, app: FtlApp) -> str:
        """The version of Spin that the app's executor declares; empty if it declares none."""
        executor = self._cache.executor(app.metadata.namespace, app.spec.runtime.executor)
        return "" if executor is None else executor.spin_version

    def _last(self, snapshot: Snapshot) -> ReleaseResult | None:
        known = self._known(snapshot)
        return known.result if known is not None else None

    def pods_digest(self, app: FtlApp) -> str:
        """A digest of the Secrets and ConfigMaps that the app's pods read; empty if they read none.

        Raises:
            ClusterError: One of them, or a key of it, does not exist.
        """
        digests = set()
        for source in pod_sources(app, self._settings):
            seen = self._cache.source(source.kind, app.metadata.namespace, source.name)
            if seen is None or (source.key and source.key not in seen.keys):
                key = f" with the key {source.key!r}" if seen is not None else ""
                raise ClusterError(
                    f"there is no {source.kind} {source.name!r}{key} in the namespace",
                    reason=Reason.SOURCE_NOT_FOUND,
                    field=source.field,
                )
            digests.add(f"{source.kind}/{source.name}={seen.digest}")
        return hashlib.sha256(",".join(sorted(digests)).encode()).hexdigest()[:16] if digests else ""

    def _digests(
        self, app: FtlApp, registry: Registry, status: FtlAppStatus, *, fresh: bool
    ) -> dict[Reference, Digest]:
        held = {} if fresh else _held_digests(app, status)
        logins = self._pull_secrets.known_by(app)
        digests: dict[Reference, Digest] = {}
        for source, reference in sources(app).items():
            if not isinstance(reference, Reference) or reference in digests:
                continue
            if source in held:
                digests[reference] = held[source]
                continue
            with error_field(_field_of(app, source)):
                namespace = app.metadata.namespace
                digests[reference] = self._digest(namespace, reference, registry, logins, fresh=fresh)
        return digests

    def _digest(
        self,
        namespace: str,
        reference: Reference,
        registry: Registry,
        logins: tuple[str, ...],
        *,
        fresh: bool,
    ) -> Digest:
        """What a reference means now; a thousand apps that name it after a restart ask once in a while."""
        place = (reference, logins)
        with self._lock:
            kept = self._heads.get(place)
        if kept is not None and not fresh and time.monotonic() < kept[0]:
            return kept[1]
        with self._breakers.enter(namespace, reference.repository.registry):
            digest = registry.digest(reference)
        with self._lock:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[place] = (time.monotonic() + HEAD_SECONDS, digest)
        return digest

    def _edges(self, app: FtlApp, registry: Registry, digests: Mapping[Reference, Digest]) -> Inputs:
        inspector = self._dependencies.inspector
        key = NamespacedName(app.metadata.namespace, app.metadata.name)

        def find(reference: Reference, component: str | None) -> Artifact:
            with self._breakers.enter(key.namespace, reference.repository.registry):
                found = registry.artifact(reference.pinned(digests[reference]), component)
            return Artifact(reference, found.manifest_digest, found.layer, found.component_id)

        def is_readable(source: Source) -> bool:
            return not isinstance(source, Artifact) or registry.is_proven(
                source.reference.repository, source.layer.digest
            )

        def inspect(source: Source, where: str) -> Component:
            # A digest is no secret: what is known of a component is for those who can read it themselves.
            known = inspector.known(source.layer, where) if is_readable(source) else None
            if known is not None or not isinstance(source, Artifact):
                return known or inspector.inspect(source, where, registry.blob)

            def fetch() -> None:
                with self._breakers.enter(key.namespace, source.reference.repository.registry):
                    registry.blob(source.reference.repository, source.layer)

            # Apps of other logins may not reach the same digest: only who asks alike shares the answer.
            subject = (source.reference.repository, source.layer.digest, self._pull_secrets.known_by(app))
            what = f"{where} is being inspected ({source.layer.size / 1_000_000:.1f} MB)"
            return self._inspections.run(
                Job(key, subject, what, lambda: inspector.inspect(source, where, registry.blob), fetch)
            )

        return Inputs(
            find, inspect, self._dependencies.authorize, self._dependencies.gateway, self._spin_version(app)
        )

    def _publish(self, app: FtlApp, planned: Plan, target: Repository, stages: Stages) -> None:
        registry = self._dependencies.registry.with_credentials(
            self._pull_secrets.push(app, target), self._pull_secrets.pull(app)
        )
        namespace = app.metadata.namespace
        with self._dependencies.write_gate.write(), self._breakers.enter(namespace, target.registry):
            publish(planned, registry, target, stages)


_MADE = (ConditionType.INSPECTED, ConditionType.COMPOSED, ConditionType.PUBLISHED)
"""The stages that are left out when nothing changed."""


def _made_from(status: FtlAppStatus, inputs: str) -> Reference | None:
    """The image that was made from exactly these inputs, if the status is about them."""
    newest = next(iter(status.history), None)
    if newest is None or newest.inputs != inputs:
        return None
    kept = _kept(status)
    is_whole = all(condition in kept and kept[condition].status == "True" for condition in _MADE)
    return parse_reference(newest.image) if is_whole else None


def _kept(status: FtlAppStatus) -> dict[ConditionType, ConditionState]:
    """What the stages that are left out found when they ran."""
    found = {condition: status.condition(condition) for condition in _MADE}
    return {condition: kept for condition, kept in found.items() if kept is not None}


def _is_asked_for(app: FtlApp, status: FtlAppStatus) -> bool:
    """Whether somebody wants to know what tags mean right now, by a new spec or by the annotation."""
    trigger = app.metadata.annotations.get(TRIGGER_ANNOTATION, "")
    return (
        status.observed_generation != app.metadata.generation or status.last_handled_reconcile_at != trigger
    )


def _held_digests(app: FtlApp, status: FtlAppStatus) -> dict[str, Digest]:
    """Digests that `updatePolicy: hold` keeps."""
    if app.spec.update_policy is not UpdatePolicy.HOLD:
        return {}
    pinned = {component.name: component.image for component in status.components}
    return {
        tool.source: Digest(pinned[tool.name].rpartition("@")[2])
        for tool in app.spec.tools
        if "@sha256:" in pinned.get(tool.name, "")
        and pinned[tool.name].startswith(tool.image.partition("@")[0])
    }


def _field_of(app: FtlApp, source: str) -> str:
    for index, tool in enumerate(app.spec.tools):
        if tool.source == source:
            return f"spec.tools[{index}].image"
    return "spec.gateway.image"


def _identity(snapshot: Snapshot) -> tuple[str, int, str]:
    return snapshot.app.uid, snapshot.app.generation, snapshot.app.trigger


def _suspended(spin_app: Mapping[str, Any] | None, settings: Settings) -> ReleaseResult | None:
    """What a suspended app keeps, with no pods: just what it had."""
    if spin_app is None:
        return None
    spec = spin_app["spec"]
    annotations = spin_app["metadata"].get("annotations") or {}
    return ReleaseResult(
        Release(
            settings.as_published(parse_reference(spec["image"])),
            annotations.get(INPUTS_ANNOTATION, ""),
            (spec.get("podAnnotations") or {}).get(SOURCES_ANNOTATION, ""),
        )
    )


def interval_seconds(app: FtlApp | None, settings: Settings) -> float:
    """Seconds between two reconciles of an app without any change."""
    own = app.spec.interval_seconds if app is not None else None
    return own or settings.resync_seconds


def observe_stage(snapshot: Snapshot) -> Observe:
    """Measures the stages of one reconcile, and logs what stops one."""

    def observe(stage: str, seconds: float, error: FtlError | None) -> None:
        metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        if error is not None and not isinstance(error, (NotLeaderError, TerminatingError)):
            metrics.ERRORS.labels(stage, error.reason).inc()
            fields = {**snapshot.log_fields, "stage": stage, "reason": error.reason}
            _log.warning("%s: %s", stage, error, extra=fields)

    return observe
