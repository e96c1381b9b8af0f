"""The pipeline, on one screen: resolve, inspect, authorize, compose, publish.

`up` and `render` run it as `plan`. The controller runs the same stages and skips those whose inputs did not
change. Everything from outside the process comes through `Inputs`, and nothing is written before `publish`.
`Stages` times each stage and collects its condition.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from ftl_operator import __version__
from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.conditions import ConditionState, ConditionType, false, true, unknown
from ftl_operator.component.tool import Component
from ftl_operator.errors import FtlError, SpecError, WaitingError
from ftl_operator.oci.descriptor import Artifact, Layer, LocalArtifact
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.local import local_artifact
from ftl_operator.oci.reference import Digest, FileReference, Reference, Repository, parse_repository
from ftl_operator.pipeline.compose import ComposeSettings, LockedApp, compose
from ftl_operator.pipeline.findings import (
    auth_finding,
    inspected_finding,
    published_finding,
    resolved_finding,
)
from ftl_operator.pipeline.gateway.catalog import served_tools
from ftl_operator.pipeline.image import build_image
from ftl_operator.pipeline.resolve import ResolvedApp, ResolvedTool, resolve, sources
from ftl_operator.registry.client import PublishedApp, Registry
from ftl_operator.settings import Settings

Source = Artifact | LocalArtifact


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the pipeline needs from outside the process. Each function may raise an FtlError.

    Args:
        find: Finds the artifact of a pinned or tagged reference; the text chooses a component in it.
        inspect: Inspects a component and lists its tools; the text names it in messages.
        authorize: Checks `spec.auth` and returns what the gateway needs to verify tokens; None if public.
        gateway: The operator's own gateway component.
        login: The operator's own login component, for the apps that have one.
        spin_version: The version of Spin that the app's executor declares, such as `4.1.0`; empty if it
            declares none; None without a cluster.
    """

    find: Callable[[Reference, str | None], Artifact]
    inspect: Callable[[Source, str], Component]
    authorize: Callable[[FtlApp], GatewayAuth | None]
    gateway: Layer
    login: Layer | None = None
    spin_version: str | None = None

    @property
    def own(self) -> ComposeSettings:
        """The operator's own components."""
        return ComposeSettings(self.gateway, self.login)


@dataclass(frozen=True, slots=True)
class Plan:
    """An app that is ready to be published: the results of all stages, and the image with its digest."""

    resolved: ResolvedApp
    components: Mapping[Digest, Component]
    auth: GatewayAuth | None
    locked: LockedApp
    image: OciImage

    @property
    def issuer_urls(self) -> tuple[str, ...]:
        """URLs that the gateway and the login connect to."""
        return self.auth.outbound_urls if self.auth is not None else ()


Observe = Callable[[str, float, FtlError | None], None]
"""Called after a stage with its name, its seconds and its error."""


class Stages:
    """Runs the stages of one plan, times them, and collects their conditions.

    A stage may run in several parts. As a context manager, a `Stages` reports each stage once, when it exits.

    Args:
        observe: Called with each stage's name, its seconds and its error.
        clock: Seconds.
    """

    def __init__(
        self,
        observe: Observe = lambda _stage, _seconds, _error: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._observe = observe
        self._clock = clock
        self._findings: dict[ConditionType, ConditionState] = {}
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, FtlError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stage, seconds in self._seconds.items():
            self._observe(stage, seconds, self._errors.get(stage))

    @property
    def findings(self) -> Mapping[ConditionType, ConditionState]:
        """The conditions of the stages so far."""
        return MappingProxyType(dict(self._findings))

    def keep(self, findings: Mapping[ConditionType, ConditionState]) -> None:
        """Take over the conditions of an earlier run."""
        self._findings |= findings

    @contextmanager
    def run(self, stage: str, condition: ConditionType) -> Iterator[list[ConditionState]]:
        """Run a stage, or a part of it, in the body. The body may append its condition to the list."""
        started = self._clock()
        found: list[ConditionState] = []
        try:
            yield found
        except FtlError as error:
            self._errors[stage] = error
            self._findings[condition] = false(str(error), error.reason)
            raise
        except WaitingError as waiting:
            self._findings[condition] = unknown(waiting.message)
            raise
        else:
            self._findings[condition] = found[-1] if found else true("")
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + self._clock() - started


def plan(app: FtlApp, inputs: Inputs, stages: Stages, directory: Path | None = None) -> Plan:
    """Run every stage up to the image.

    Args:
        app: The app.
        inputs: What comes from outside the process.
        stages: Collects the conditions.
        directory: The folder for `file:PATH`; None refuses local files, as in a cluster.

    Raises:
        FtlError: A stage failed; the error names the field.
    """
    with stages.run("resolve", ConditionType.RESOLVED) as found:
        resolved = resolve_all(app, inputs, directory)
        found.append(resolved_finding(len(resolved.tools)))
    components = inspect_all(resolved, inputs, stages)
    with stages.run("auth", ConditionType.AUTH_READY) as found:
        auth = inputs.authorize(app)
        found.append(auth_finding(auth))
    return build(resolved, components, auth, inputs.own, stages)


def resolve_all(app: FtlApp, inputs: Inputs, directory: Path | None = None) -> ResolvedApp:
    """Find the artifact of every reference of an app.

    Raises:
        FtlError: A reference cannot be found or used; the error names the field.
    """
    found: dict[str, Source] = {}
    chosen = {
        tool.source: (tool.component, f"spec.tools[{at}].image") for at, tool in enumerate(app.spec.tools)
    }
    for source, reference in sources(app, directory).items():
        component, field = chosen.get(source, (None, "spec.gateway.image"))
        with error_field(field):
            if isinstance(reference, FileReference):
                found[source] = local_artifact(reference.path, field)
            else:
                found[source] = inputs.find(reference, component)
    return resolve(app, found)


def inspect_all(resolved: ResolvedApp, inputs: Inputs, stages: Stages) -> dict[Digest, Component]:
    """Run the stage that inspects every component of an app.

    Raises:
        FtlError: A component is not usable, or needs what its entry does not grant.
    """
    with stages.run("inspect", ConditionType.INSPECTED) as found:
        components = {
            tool.identity: _inspect(tool, index, inputs) for index, tool in enumerate(resolved.tools)
        }
        found.append(inspected_finding(resolved, components, inputs.spin_version))
    return components


def build(
    resolved: ResolvedApp,
    components: Mapping[Digest, Component],
    auth: GatewayAuth | None,
    own: ComposeSettings,
    stages: Stages,
) -> Plan:
    """Run the stage that composes the application and its image.

    Raises:
        FtlError: The tools do not go together.
    """
    with stages.run("compose", ConditionType.COMPOSED) as found:
        locked = compose(resolved, components, auth, own)
        image = build_image(locked)
        found.append(true(f"the Spin application is {image.digest}"))
    return Plan(resolved, components, auth, locked, image)


def publish(planned: Plan, registry: Registry, target: Repository, stages: Stages) -> PublishedApp:
    """Publish the image in a repository; blobs that are there are not sent again.

    The image's tag is its digest: some registries delete untagged images, and this tag never moves.
    """
    with stages.run("publish", ConditionType.PUBLISHED) as found:
        published = registry.push(planned.image, Reference(target, tag=_tag(planned.image.digest)))
        found.append(published_finding(Reference(target, digest=planned.image.digest)))
    return published


def repository_of(app: FtlApp, settings: Settings) -> Repository:
    """The repository that an app is published to.

    Raises:
        SpecError: Neither the spec nor the operator's settings name one.
    """
    if app.spec.publish.repository is not None:
        return parse_repository(app.spec.publish.repository, "spec.publish.repository")
    found = settings.default_repository(app.metadata.namespace, app.metadata.name)
    if found is None:
        raise SpecError(
            "the operator has no default repository, so write where to publish",
            field="spec.publish.repository",
        )
    return found


def inputs_of(
    app: FtlApp,
    digests: Mapping[Reference, Digest],
    auth: GatewayAuth | None,
    own: ComposeSettings,
    spin_version: str = "",
) -> Digest:
    """The digest of everything that determines the image. It needs no component's bytes.

    The whole spec is in it, with the fields that only concern the cluster: after a failed rollout, any change
    causes another try. Only `suspend` is left out. The executor's version of Spin is in it for the same
    reason, and because the condition `Inspected` mentions it.
    """
    spec = app.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"suspend"})
    policy = "" if auth is None else f"{auth.policy}\0{auth.policy_data}"
    known = {
        "operator": __version__,
        "gateway": own.gateway.descriptor.digest,
        "name": app.metadata.name,
        "spec": spec,
        "digests": {str(reference): digest for reference, digest in digests.items()},
        "auth": None if auth is None else auth.document(()),
        "policy": policy,
    }
    if auth is not None and auth.login is not None:
        known["login"] = {
            **auth.login.document(),
            "component": own.login.descriptor.digest if own.login is not None else None,
        }
    if spin_version:
        known["spin"] = spin_version
    return sha256(canonical(known).encode())


@contextmanager
def error_field(field: str) -> Iterator[None]:
    """Set the field of errors in the body, unless they name one."""
    try:
        yield
    except FtlError as error:
        error.field = error.field or field
        raise


def _inspect(tool: ResolvedTool, index: int, inputs: Inputs) -> Component:
    with error_field(f"spec.tools[{index}].image"):
        component = inputs.inspect(tool.source, f"{tool.spec.name} ({tool.pinned})")
    if component.tools:
        served_tools(tool.spec, f"spec.tools[{index}]", component)
    return component


def _tag(digest: Digest) -> str:
    return digest.replace(":", "-")[: len("sha256-") + 16]
