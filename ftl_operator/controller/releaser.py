"""Plans the release of an app: reuses the last one if no input changed, else builds and publishes a new one.

The check for changes costs one HEAD request per reference. It needs no build after a restart, because
`status.history` has the digest of all inputs beside the image that was made from them.
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
from ftl_operator.pipeline.compose import ComposeSettings
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
"""How long a tag's digest is cached for other apps that use the same credentials."""
MAX_HEADS = 10_000

Authorize = Callable[[FtlApp], GatewayAuth | None]
"""Checks `spec.auth`. Returns None for a public app."""


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """The release to run, and the fields of the status that planning it has changed."""

    release: Release
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CachedRelease:
    """A release that was planned and that the status shows.

    Args:
        of: The app's uid, generation and trigger; the release is valid for these only.
        pods: The digest of the Secrets and ConfigMaps that its pods read.
        spin_version: The version of Spin that its executor declared.
        result: The release.
        until: When it expires, by the planner's clock.
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
    """The result of planning an app's release.

    Args:
        app: The app, parsed; None if its spec is invalid.
        result: The release to run: a new one, or the last one during an outage.
        stages: The conditions of the stages that ran.
        error: The error of a stage.
        waiting: What a stage waits for.
        fresh: The release for later reconciles to reuse, once the status shows it.
    """

    app: FtlApp | None = None
    result: ReleaseResult | None = None
    stages: Mapping[ConditionType, ConditionState] = field(default_factory=dict)
    error: FtlError | None = None
    waiting: WaitingError | None = None
    fresh: CachedRelease | None = None


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the planner needs from outside the process.

    Args:
        read: Reads an object of the cluster.
        registry: Registries, without credentials.
        operator: The operator's own credentials. They are used for its own publish repository only; otherwise
            anyone who may write an FtlApp could read and write with the operator's rights.
        inspector: Inspects components.
        authorize: Checks `spec.auth`.
        gateway: The operator's own gateway component.
        login: The operator's own login component.
        write_gate: Is held while an app is published.
        ensure_executor: Checks the app's executor; creates a missing one if the settings allow it.
        make_secrets: Creates missing Secrets of the app's gateway and login if the settings allow it.
    """

    read: ReadObject
    registry: Registry
    operator: OperatorCredentials
    inspector: Inspector
    authorize: Authorize
    gateway: Layer
    login: Layer | None = None
    write_gate: WriteGate = field(default_factory=WriteGate)
    ensure_executor: Callable[[FtlApp], None] = lambda _: None
    make_secrets: Callable[[FtlApp], None] = lambda _: None

    @property
    def own(self) -> ComposeSettings:
        """The operator's own components."""
        return ComposeSettings(self.gateway, self.login)


class ReleasePlanner:
    """Plans the releases of apps. Safe to use from several threads.

    Args:
        settings: The operator's settings.
        cache: The watched objects.
        dependencies: What planning needs from outside the process.
        inspections: Runs inspections of components.
        breakers: Keep slow registries from blocking workers.
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
        """Plan the release of an app, and publish it if it is new. The result has any other error.

        Raises:
            NotLeaderError: Another replica leads.
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
                self._dependencies.make_secrets(app)
                pods = self._pods_digest(app, stages)
                spin_version = self._spin_version(app)
                if known is not None and known.is_of(pods, spin_version, self._clock()):
                    return Planned(app, known.result)
                result = self.release(app, snapshot.status, stages)
            except NotLeaderError:
                raise
            except WaitingError as waiting:
                return Planned(app, self._last(snapshot), stages.findings, waiting=waiting)
            except FtlError as error:
                # During an outage the last release keeps running: no newer one is known.
                last = self._last(snapshot) if error.retryable else None
                return Planned(app, last, stages.findings, error)
        until = self._clock() + interval_seconds(app, self._settings) * 0.9
        fresh = CachedRelease(_identity(snapshot), pods, spin_version, replace(result, facts={}), until)
        return Planned(app, result, stages.findings, fresh=fresh)

    def remember(self, key: NamespacedName, planned: Planned) -> None:
        """Let later reconciles reuse this plan. Call it only once the status shows the plan."""
        if planned.fresh is not None:
            self._releases[key] = planned.fresh

    def forget(self, key: NamespacedName) -> None:
        """Drop what is cached of a deleted app."""
        self._releases.pop(key, None)

    def release(self, app: FtlApp, status: FtlAppStatus, stages: Stages) -> ReleaseResult:
        """Find the app's release; build and publish it if no earlier one has the same inputs.

        Args:
            app: The app.
            status: Its present status.
            stages: Times the stages and collects their conditions.

        Raises:
            FtlError: A stage failed.
            WaitingError: A component is being inspected, or a registry is busy.
        """
        pods = self.pods_digest(app)
        pulling = self._dependencies.registry.with_credentials(self._pull_secrets.pull(app))
        with stages.run("resolve", ConditionType.RESOLVED) as found:
            digests = self._digests(app, pulling, status, fresh=_wants_fresh_digests(app, status))
            found.append(resolved_finding(len(app.spec.tools)))
        with stages.run("auth", ConditionType.AUTH_READY) as found:
            auth = self._dependencies.authorize(app)
            found.append(auth_finding(auth))
        own = self._dependencies.own
        inputs_digest = inputs_of(app, digests, auth, own, self._spin_version(app))
        issuer_urls = auth.outbound_urls if auth is not None else ()
        image = _image_built_from(status, inputs_digest)
        if image is not None:
            stages.keep(_build_conditions(status))
            return ReleaseResult(Release(image, inputs_digest, pods, issuer_urls))
        target = repository_of(app, self._settings)
        inputs = self._inputs(app, pulling, digests)
        with stages.run("resolve", ConditionType.RESOLVED) as found:
            resolved = resolve_all(app, inputs)
            found.append(resolved_finding(len(resolved.tools)))
        components = inspect_all(resolved, inputs, stages)
        planned = build(resolved, components, auth, own, stages)
        self._publish(app, planned, target, stages)
        release = Release(Reference(target, digest=planned.image.digest), inputs_digest, pods, issuer_urls)
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

    def _pods_digest(self, app: FtlApp, stages: Stages) -> str:
        try:
            return self.pods_digest(app)
        except ClusterError as error:
            if error.field.startswith("spec.auth."):
                with stages.run("auth", ConditionType.AUTH_READY):
                    raise
            raise

    def pods_digest(self, app: FtlApp) -> str:
        """Digest the Secrets and ConfigMaps that the app's pods read; empty if they read none.

        Raises:
            ClusterError: A Secret or ConfigMap, or a key in one, does not exist.
        """
        digests = set()
        for source in pod_sources(app, self._settings):
            seen = self._cache.source(source.kind, app.metadata.namespace, source.name)
            if seen is None or (source.key and source.key not in seen.keys):
                key = f" with the key {source.key!r}" if seen is not None else ""
                raise ClusterError(
                    f"there is no {source.kind} {source.name!r}{key} in the namespace"
                    f"{_ADVICE.get(source.field, '')}",
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
        """The digest of a reference, cached for `HEAD_SECONDS`: a thousand apps may share it at a restart."""
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

    def _inputs(self, app: FtlApp, registry: Registry, digests: Mapping[Reference, Digest]) -> Inputs:
        inspector = self._dependencies.inspector
        key = NamespacedName(app.metadata.namespace, app.metadata.name)

        def find(reference: Reference, component: str | None) -> Artifact:
            with self._breakers.enter(key.namespace, reference.repository.registry):
                found = registry.artifact(reference.pinned(digests[reference]), component)
            return replace(found, reference=reference)

        def is_readable(source: Source) -> bool:
            return not isinstance(source, Artifact) or registry.is_proven(
                source.reference.repository, source.layer.digest
            )

        def inspect(source: Source, where: str) -> Component:
            # A digest is no secret. A cached inspection is only for apps that can pull the component
            # themselves.
            known = inspector.known(source, where) if is_readable(source) else None
            if known is not None or not isinstance(source, Artifact):
                return known or inspector.inspect(source, where, registry.blob)

            def fetch() -> None:
                with self._breakers.enter(key.namespace, source.reference.repository.registry):
                    registry.blob(source.reference.repository, source.layer)

            # Other credentials may not reach this digest: only apps with the same ones share the result.
            subject = (source.reference.repository, source.identity, self._pull_secrets.known_by(app))
            what = f"{where} is being inspected ({source.layer.size / 1_000_000:.1f} MB)"
            return self._inspections.run(
                Job(key, subject, what, lambda: inspector.inspect(source, where, registry.blob), fetch)
            )

        return Inputs(
            find,
            inspect,
            self._dependencies.authorize,
            self._dependencies.gateway,
            self._dependencies.login,
            self._spin_version(app),
        )

    def _publish(self, app: FtlApp, planned: Plan, target: Repository, stages: Stages) -> None:
        registry = self._dependencies.registry.with_credentials(
            self._pull_secrets.push(app, target), self._pull_secrets.pull(app)
        )
        namespace = app.metadata.namespace
        with self._dependencies.write_gate.write(), self._breakers.enter(namespace, target.registry):
            publish(planned, registry, target, stages)


_ADVICE = {
    "spec.auth.login.secretRef": "; 'ftl-operator login secret' makes it",
    "spec.auth.login.users.secretRef": "; 'ftl-operator user add' makes its lines",
}
"""What helps if a Secret is missing, by the field that names it."""
_BUILD_STAGES = (ConditionType.INSPECTED, ConditionType.COMPOSED, ConditionType.PUBLISHED)
"""The stages that are skipped when no input changed."""


def _image_built_from(status: FtlAppStatus, inputs: str) -> Reference | None:
    """The newest image in the history, if these inputs made it and every build stage succeeded."""
    newest = next(iter(status.history), None)
    if newest is None or newest.inputs != inputs:
        return None
    kept = _build_conditions(status)
    is_complete = all(condition in kept and kept[condition].status == "True" for condition in _BUILD_STAGES)
    return parse_reference(newest.image) if is_complete else None


def _build_conditions(status: FtlAppStatus) -> dict[ConditionType, ConditionState]:
    """The conditions that the build stages left in the status."""
    found = {condition: status.condition(condition) for condition in _BUILD_STAGES}
    return {condition: kept for condition, kept in found.items() if kept is not None}


def _wants_fresh_digests(app: FtlApp, status: FtlAppStatus) -> bool:
    """Whether tags must be resolved now, because the spec or the trigger annotation changed."""
    trigger = app.metadata.annotations.get(TRIGGER_ANNOTATION, "")
    return (
        status.observed_generation != app.metadata.generation or status.last_handled_reconcile_at != trigger
    )


def _held_digests(app: FtlApp, status: FtlAppStatus) -> dict[str, Digest]:
    """Digests that `updatePolicy: hold` keeps."""
    if app.spec.update_policy is not UpdatePolicy.HOLD:
        return {}
    pinned = {component.name: component.image for component in status.components}
    named = sources(app)
    return {
        tool.source: Digest(pinned[tool.name].rpartition("@")[2])
        for tool in app.spec.tools
        # Of this very tag, or the digest that the spec itself names: another one decides.
        if f"{pinned.get(tool.name, '')}@sha256:".startswith(f"{named[tool.source]}@sha256:")
    }


def _field_of(app: FtlApp, source: str) -> str:
    for index, tool in enumerate(app.spec.tools):
        if tool.source == source:
            return f"spec.tools[{index}].image"
    return "spec.gateway.image"


def _identity(snapshot: Snapshot) -> tuple[str, int, str]:
    return snapshot.app.uid, snapshot.app.generation, snapshot.app.trigger


def _suspended(spin_app: Mapping[str, Any] | None, settings: Settings) -> ReleaseResult | None:
    """The release of a suspended app: the one that its SpinApp has."""
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
    """Return a function that measures the stages of one reconcile and logs their errors."""

    def observe(stage: str, seconds: float, error: FtlError | None) -> None:
        metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        if error is not None and not isinstance(error, (NotLeaderError, TerminatingError)):
            metrics.ERRORS.labels(stage, error.reason).inc()
            fields = {**snapshot.log_fields, "stage": stage, "reason": error.reason}
            _log.warning("%s: %s", stage, error, extra=fields)

    return observe
