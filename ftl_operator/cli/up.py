"""`up`: compose an FtlApp, publish it to a local image layout, and serve that very publication."""

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ftl_operator.api.app import FtlApp
from ftl_operator.cli.console import Console
from ftl_operator.cli.environment import cache_directory
from ftl_operator.cli.workspace import (
    AppFile,
    Authorize,
    layer_files,
    local_edges,
    local_files,
    read_app_file,
    variables_of,
)
from ftl_operator.errors import ComponentError, Reason, SpecError
from ftl_operator.host import HostApp, Limits, Request, Response, Server, serve
from ftl_operator.host.component import GuestError
from ftl_operator.oci.layout import Layout
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.plan import Plan, Stages, plan
from ftl_operator.registry.client import Registry

WAIT_SECONDS = 0.5
"""How long Ctrl-C may take to be seen."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `up` was asked for.

    Args:
        file: The FtlApp file, or `-`.
        address: Where to listen.
        port: Which port; 0 takes any free one.
        variables: Values by the name of the application's variable.
        state_dir: Where key-value stores are kept; None forgets them at the end.
        adjust: Changes the app before it is composed, as the local issuer does.
        authorize: Checks the app's issuer and policy.
        headers: What a client must send, given the app; it is printed for the client's configuration.
    """

    file: str
    address: str
    port: int
    variables: Mapping[str, str] = field(repr=False)
    state_dir: Path | None
    adjust: Callable[[FtlApp], FtlApp]
    authorize: Authorize
    headers: Callable[[FtlApp], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Composed:
    """An app ready to be loaded: its stages, its layers' bytes on disk, its variables' values."""

    planned: Plan
    layers: Mapping[Digest, Path]
    values: Mapping[str, str] = field(repr=False)

    def same_as(self, other: "Composed") -> bool:
        """Whether it would serve the very same."""
        return (self.planned.image.digest, self.values) == (other.planned.image.digest, other.values)


class Switch:
    """Serves one application after another on the same port; no request is lost in between."""

    def __init__(self, app: HostApp) -> None:
        self._app = app
        self._retired: set[HostApp] = set()

    def handle(self, request: Request) -> Response:
        """Serve a request with the application of this moment."""
        return self._app.handle(request)

    def replace(self, app: HostApp) -> None:
        """Serve the next requests with another application; those under way end with theirs."""
        old, self._app = self._app, app
        self._retired.add(old)
        # By then every request of it has ended or passed its time limit.
        timer = threading.Timer(Limits().time + 1, self._release, (old,))
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Release everything."""
        for app in (*self._retired, self._app):
            app.close()

    def _release(self, app: HostApp) -> None:
        self._retired.discard(app)
        app.close()


def up(options: UpOptions, registry: Registry, console: Console, *, watch: bool) -> None:
    """Serve until interrupted.

    Args:
        options: What to serve and where.
        registry: Where references are looked up.
        console: Where to say what happens.
        watch: Whether to compose again when the file or a local component changes.

    Raises:
        FtlError: The app cannot be composed, or the port is taken. Later errors, while watching, are only
            said.
    """
    from ftl_operator.cli.watch import Stamps, follow

    with ExitStack() as stack:
        if watch and options.state_dir is None:
            # What a tool has stored must outlive a change of the app, as it does where pods are replaced.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ftl-operator-"))
            options = replace(options, state_dir=Path(folder))
        # From before anything is read, so that a change while it is being read is seen.
        own = Stamps.of([Path(options.file)])
        workspace = read_app_file(options.file)
        seen = own | Stamps.of(local_files(workspace))
        composed = compose(workspace, options, registry, console)
        switch = Switch(load(composed, options, console))
        stack.callback(switch.close)
        server = stack.enter_context(_listening(switch, options))

        def announce(composed: Composed) -> None:
            _announce(composed, server, options, console)

        try:
            # Within: once it is told that Ctrl-C stops, it does.
            announce(composed)
            while not watch:
                # No wait without end: a kernel may hand Ctrl-C to another thread, which would not end it.
                time.sleep(WAIT_SECONDS)

            def again(workspace: AppFile) -> None:
                nonlocal composed
                fresh = compose(workspace, options, registry, console)
                if not fresh.same_as(composed):
                    switch.replace(load(fresh, options, console))
                    composed = fresh
                    console.note(f"now serving {fresh.planned.image.digest}")
                    if console.output == "json":
                        announce(fresh)

            follow(options.file, seen, again, console)
        except KeyboardInterrupt:
            console.note("stopped")


def compose(workspace: AppFile, options: UpOptions, registry: Registry, console: Console) -> Composed:
    """Run the pipeline up to the image, and have all its bytes.

    Raises:
        FtlError: Whatever stops a stage.
    """
    app = options.adjust(workspace.app)
    with console.step(f"composing {app.metadata.name}"):
        edges = local_edges(workspace, registry, options.authorize, console.progress)
        planned = plan(app, edges, Stages(), workspace.directory)
        values = variables_of(planned.locked, workspace, options.variables)
        return Composed(planned, layer_files(planned.image.layers, registry), values)


def load(composed: Composed, options: UpOptions, console: Console) -> HostApp:
    """Publish to the local layout, load from there, and compile.

    Raises:
        FtlError: A component changed meanwhile or cannot be compiled.
    """
    app, image = composed.planned.resolved.app, composed.planned.image
    # Two files may hold apps of one name; each has its own layout.
    place = hashlib.sha256(f"{app.metadata.namespace}\0{Path(options.file).resolve()}".encode()).hexdigest()
    layout = Layout(cache_directory() / "up" / f"{app.metadata.name}-{place[:12]}")
    layout.publish(image, composed.layers, app.metadata.name)
    host = HostApp(
        layout.application(image.digest),
        layout.blob,
        variables=composed.values,
        state_dir=options.state_dir,
        log=console.log,
    )
    try:
        with console.step("compiling"):
            host.prepare()
    except GuestError as error:
        host.close()
        raise ComponentError(str(error)) from error
    except BaseException:
        host.close()
        raise
    return host


def client_configuration(name: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """`mcp.json` as MCP clients take it."""
    server: dict[str, Any] = {"type": "http", "url": url}
    if headers:
        server["headers"] = dict(headers)
    return {"mcpServers": {name: server}}


@contextmanager
def _listening(switch: Switch, options: UpOptions) -> Iterator[Server]:
    try:
        server = serve(switch, options.address, options.port)
    except OSError as error:
        where = f"{options.address}:{options.port}"
        raise SpecError(
            f"cannot listen on {where}: {error.strerror or error}; choose another with --port",
            reason=Reason.CONFLICT,
        ) from error
    with server:
        yield server


def _announce(composed: Composed, server: Server, options: UpOptions, console: Console) -> None:
    locked, app = composed.planned.locked, composed.planned.resolved.app
    url = f"{server.url}/mcp"
    tools = [tool.full_name for tool in locked.tools]
    configuration = client_configuration(app.metadata.name, url, options.headers(app))
    document = {
        "url": url,
        "image": composed.planned.image.digest,
        "tools": tools,
        "dynamic": list(locked.dynamic),
        "client": configuration,
    }

    def text() -> str:
        lines = [f"{click.style(app.metadata.name, bold=True)} serves {url}", ""]
        lines += [f"  {tool}" for tool in tools]
        lines += [f"  {name}__… (asked at run time)" for name in locked.dynamic]
        lines += ["", "Paste into your client's mcp.json:", "", json.dumps(configuration, indent=2)]
        return "\n".join([*lines, "", "Ctrl-C stops."])

    console.result(document, text)
