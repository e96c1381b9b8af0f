"""The pipeline, on one screen: resolve, inspect, authorize, compose, publish.

`up`, `render` and the controller run the same one.
`plan` gathers what the outside knows (`Inputs`) and hands it to the pure stages; nothing is written before
`publish`. Each stage is entered through a `Stages`, which times it and keeps what it found for the
conditions.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from ftl_operator.pipeline.resolve import ResolvedApp, resolve, sources
from ftl_operator.registry.client import PublishedApp, Registry
from ftl_operator.settings import Settings

Source = Artifact | LocalArtifact


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the pipeline asks of the outside. Each may raise an FtlError.

    Args:
        find: What a pinned or tagged reference is, given the component to choose in it.
        inspect: What a component is and which tools it has; the text names it in messages.
        authorize: What the gateway needs to judge tokens, checked; None for a public app.
        gateway: The operator's own gateway component.
    """

    find: Callable[[Reference, str | None], Artifact]
    inspect: Callable[[Source, str], Component]
    authorize: Callable[[FtlApp], GatewayAuth | None]
    gateway: Layer


@dataclass(frozen=True, slots=True)
class Plan:
    """An app ready to be published: all its stages, and the image whose digest is known."""

    resolved: ResolvedApp
    components: Mapping[Digest, Component]
    auth: GatewayAuth | None
    locked: LockedApp
    image: OciImage

    @property
    def issuer_urls(self) -> tuple[str, ...]:
        """URLs that the gateway itself connects to."""
        return (self.auth.jwks_uri,) if self.auth is not None and self.auth.jwks_uri else ()


Observe = Callable[[str, float, FtlError | None], None]
"""Called after a stage with its name, its seconds and its error."""


class Stages:
    """Enters stages, times them, and keeps what each one found.

    Args:
        observe: Called after each stage.
        clock: Seconds.
    """

    def __init__(
        self,
        observe: Observe = lambda _stage, _seconds, _error: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._observe = observe
        self._clock = clock
        self.findings: dict[ConditionType, ConditionState] = {}

    @contextmanager
    def enter(self, stage: str, condition: ConditionType | None = None) -> Iterator[list[ConditionState]]:
        """Run a stage in the body; it may put a finding into the list that it gets."""
        started = self._clock()
        found: list[ConditionState] = []
        try:
            yield found
        except FtlError as error:
            self._observe(stage, self._clock() - started, error)
            if condition is not None:
                self.findings[condition] = false(str(error), error.reason)
            raise
        except WaitingError as waiting:
            if condition is not None:
                self.findings[condition] = unknown(waiting.message)
            raise
        self._observe(stage, self._clock() - started, None)
        if condition is not None:
            self.findings[condition] = found[-1] if found else true("")


def plan(app: FtlApp, edges: Inputs, steps: Stages, directory: Path | None = None) -> Plan:
    """Run every stage up to the image.

    Args:
        app: The app.
        edges: The outside.
        steps: Keeps the findings.
        directory: What `file:PATH` is relative to; None refuses local files, as in a cluster.

    Raises:
        FtlError: Whatever stops a stage, naming the field.
    """
    with steps.enter("resolve", ConditionType.RESOLVED) as found:
        resolved = resolve(app, _find_all(app, edges, directory))
        found.append(resolved_finding(len(resolved.tools)))
    with steps.enter("inspect", ConditionType.INSPECTED) as found:
        components = _inspect_all(resolved, edges)
        found.append(inspected_finding(resolved, components))
    with steps.enter("auth", ConditionType.AUTH_READY) as found:
        auth = edges.authorize(app)
        found.append(auth_finding(auth))
    with steps.enter("compose", ConditionType.COMPOSED) as found:
        locked = compose(resolved, components, auth, ComposeSettings(edges.gateway))
        image = build_image(locked)
        found.append(true(f"the Spin application is {image.digest}"))
    return Plan(resolved, components, auth, locked, image)


def publish(planned: Plan, registry: Registry, target: Repository, steps: Stages) -> PublishedApp:
    """Have the image in a repository; nothing is sent that is there.

    It gets a tag of its own digest, for some registries collect what has none, and no tag ever moves.
    """
    with steps.enter("publish", ConditionType.PUBLISHED) as found:
        published = registry.push(planned.image, Reference(target, tag=_tag(planned.image.digest)))
        found.append(published_finding(Reference(target, digest=planned.image.digest)))
    return published


def repository_of(app: FtlApp, settings: Settings) -> Repository:
    """Where an app is published.

    Raises:
        SpecError: Neither the spec nor the operator's settings say it.
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
    app: FtlApp, digests: Mapping[Reference, Digest], auth: GatewayAuth | None, gateway: Digest
) -> Digest:
    """The digest of everything that decides the image, known before a byte of a component is read.

    The whole spec is in it, also what only concerns the cluster: after a failed rollout any change is worth
    another try. What is not in it is whether pods are wanted at all.
    """
    spec = app.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"suspend"})
    policy = "" if auth is None else f"{auth.policy}\0{auth.policy_data}"
    known = {
        "operator": __version__,
        "gateway": gateway,
        "name": app.metadata.name,
        "spec": spec,
        "digests": {str(reference): digest for reference, digest in digests.items()},
        "auth": None if auth is None else auth.document((), store_shared=False),
        "policy": policy,
    }
    return sha256(canonical(known).encode())


@contextmanager
def error_field(field: str) -> Iterator[None]:
    """Errors in the body are about this field, unless they say another."""
    try:
        yield
    except FtlError as error:
        error.field = error.field or field
        raise


def _find_all(app: FtlApp, edges: Inputs, directory: Path | None) -> dict[str, Source]:
    found: dict[str, Source] = {}
    wanted = sources(app, directory)
    chosen = {
        tool.source: (tool.component, f"spec.tools[{at}].image") for at, tool in enumerate(app.spec.tools)
    }
    for source, reference in wanted.items():
        component, field = chosen.get(source, (None, "spec.gateway.image"))
        with error_field(field):
            if isinstance(reference, FileReference):
                found[source] = local_artifact(reference.path, field)
            else:
                found[source] = edges.find(reference, component)
    return found


def _inspect_all(resolved: ResolvedApp, edges: Inputs) -> dict[Digest, Component]:
    components: dict[Digest, Component] = {}
    for index, tool in enumerate(resolved.tools):
        field = f"spec.tools[{index}].image"
        with error_field(field):
            component = edges.inspect(tool.source, f"{tool.spec.name} ({tool.pinned})")
        if component.tools:
            served_tools(tool.spec, f"spec.tools[{index}]", component)
        components[tool.digest] = component
    return components


def _tag(digest: Digest) -> str:
    return digest.replace(":", "-")[: len("sha256-") + 16]
