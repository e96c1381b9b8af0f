"""resolve → inspect → authorize → compose → image, for one app: what the controller and the command line share.

The stages decide; whatever they need from outside comes in as `Edges`. Nothing is published or applied here.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ftl_operator.compose import ComposeSettings, LockedApp, compose
from ftl_operator.gateway_config import GatewayAuth
from ftl_operator.image import OciImage, build_image, sha256
from ftl_operator.inspect import Component
from ftl_operator.model import FtlApp
from ftl_operator.refs import Digest, FileReference, Reference
from ftl_operator.resolve import (
    WASM_LAYER,
    Artifact,
    Descriptor,
    Layer,
    LocalArtifact,
    ResolvedApp,
    resolve,
    sources,
)

GATEWAY_WASM = Path(__file__).parent / "gateway.wasm"
"""The prebuilt gateway component."""

Source = Artifact | LocalArtifact
StageHook = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Edges:
    """What the pipeline asks the outside.

    Args:
        look_up: What a reference stands for now; the second argument chooses one of several components.
        inspect: What a component is; the second argument says where it is from, for messages.
        authorize: What the gateway needs to judge tokens, or None if the app is public.
    """

    look_up: Callable[[Reference | FileReference, str | None], Source]
    inspect: Callable[[Source, str], Component]
    authorize: Callable[[FtlApp], GatewayAuth | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """An application ready to be published, and everything it was made from."""

    resolved: ResolvedApp
    components: Mapping[Digest, Component]
    auth: GatewayAuth | None
    locked: LockedApp
    image: OciImage


def plan(
    app: FtlApp, edges: Edges, directory: Path | None = None, stage: StageHook = lambda _: nullcontext()
) -> Plan:
    """Run the stages up to the image.

    Args:
        app: The app.
        edges: The outside.
        directory: What `file:PATH` is relative to; None (in a cluster) refuses local files.
        stage: Entered for the time of each stage, with its name.

    Raises:
        FtlError: Whatever a stage found, as it said it.
    """
    with stage("resolve"):
        found = {
            source: edges.look_up(reference, source.partition("#")[2] or None)
            for source, reference in sources(app, directory).items()
        }
        resolved = resolve(app, found)
    with stage("inspect"):
        components = {
            tool.digest: edges.inspect(tool.source, f"{tool.spec.name} ({tool.spec.image})")
            for tool in resolved.tools
        }
    with stage("authorize"):
        auth = edges.authorize(app)
    with stage("compose"):
        locked = compose(resolved, components, auth, ComposeSettings(own_gateway()))
        image = build_image(locked)
    return Plan(resolved, components, auth, locked, image)


@cache
def own_gateway() -> Layer:
    """The prebuilt gateway as a layer."""
    content = GATEWAY_WASM.read_bytes()
    return Layer(Descriptor(WASM_LAYER, sha256(content), len(content)), path=GATEWAY_WASM)
