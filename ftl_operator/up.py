"""`up`: compose an FtlApp, publish it to a local image layout, and serve that very publication."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import watchfiles

from ftl_operator.console import Console
from ftl_operator.errors import FtlError, SpecError
from ftl_operator.host import HostApp, Limits, Request, Response, Server, serve
from ftl_operator.host.component import GuestError
from ftl_operator.layout import Layout
from ftl_operator.local import (
    Authorize,
    cache_directory,
    layer_files,
    local_edges,
    read_workspace,
    variables_of,
)
from ftl_operator.model import FtlApp
from ftl_operator.reconcile import Planned, Steps, plan, publish, repository_of
from ftl_operator.registry import Registry
from ftl_operator.resolve import LocalArtifact
from ftl_operator.settings import Settings

SETTLE_MILLISECONDS = 300
"""How long files must be quiet before a change is taken up: a build writes several times."""


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
class Ready:
    """An application that can be served, and the files that it was made from."""

    planned: Planned
    host: HostApp
    values: Mapping[str, str] = field(repr=False)
    files: frozenset[Path]


class Switch:
    """Serves one application after another on the same port; no request is lost in between."""

    def __init__(self, app: HostApp) -> None:
        self._app = app
        self._retired: list[HostApp] = []

    def handle(self, request: Request) -> Response:
        """Serve a request with the application of this moment."""
        return self._app.handle(request)

    def replace(self, app: HostApp) -> None:
        """Serve the next requests with another application; those under way end with theirs."""
        old, self._app = self._app, app
        self._retired.append(old)
        # By then every request of it has ended or passed its time limit.
        timer = threading.Timer(Limits().time + 1, old.close)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Release everything."""
        for app in (*self._retired, self._app):
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
    ready = prepare(options, registry, console)
    switch = Switch(ready.host)
    with _listening(switch, options) as server:
        _announce(ready, server, options, console)
        try:
            if watch:
                _follow(ready, switch, options, (registry, console))
            else:
                threading.Event().wait()
        except KeyboardInterrupt:
            console.note("stopped")
        finally:
            switch.close()


def prepare(options: UpOptions, registry: Registry, console: Console) -> Ready:
    """Compose, publish to the local layout, load from there, and compile.

    Raises:
        FtlError: Whatever stops a stage.
    """
    workspace = read_workspace(options.file)
    app = options.adjust(workspace.app)
    with console.step(f"composing {app.metadata.name}"):
        edges = local_edges(workspace, registry, options.authorize, console.progress)
        planned = plan(app, edges, Steps(), workspace.directory)
        files = layer_files(planned.image.layers, registry)
    layout = Layout(cache_directory() / "up" / app.metadata.namespace / app.metadata.name)
    layout.publish(planned.image, files, app.metadata.name)
    values = variables_of(planned.locked, workspace, options.variables)
    host = HostApp(
        layout.application(),
        layout.blob,
        variables=values,
        state_dir=options.state_dir,
        log=lambda component, line: console.note(f"[{component}] {line}"),
    )
    try:
        with console.step("compiling"):
            host.prepare()
    except GuestError as error:
        host.close()
        raise SpecError(str(error)) from error
    return Ready(planned, host, values, _local_files(planned))


def client_configuration(name: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """`mcp.json` as MCP clients take it."""
    server: dict[str, Any] = {"type": "http", "url": url}
    if headers:
        server["headers"] = dict(headers)
    return {"mcpServers": {name: server}}


def up_in_spin(options: UpOptions, registry: Registry, console: Console) -> int:
    """Publish to the app's own repository and serve from there with the `spin` on PATH.

    Returns:
        The exit code of `spin`.

    Raises:
        FtlError: There is no `spin` on PATH, the spec does not say where to publish, or a stage fails.
    """
    spin = shutil.which("spin")
    if spin is None:
        raise SpecError("--host spin needs 'spin' on PATH; without it, use the embedded host")
    workspace = read_workspace(options.file)
    with console.step(f"composing {workspace.app.metadata.name}"):
        edges = local_edges(workspace, registry, options.authorize, console.progress)
        planned = plan(options.adjust(workspace.app), edges, Steps(), workspace.directory)
    published = publish(planned, registry, repository_of(planned.resolved.app, Settings()), Steps())
    values = variables_of(planned.locked, workspace, options.variables)
    # In the environment and not among the arguments, which everybody on the machine can read.
    environment = {f"SPIN_VARIABLE_{name.upper()}": value for name, value in values.items()}
    command = [spin, "up", "--from", str(published.reference)]
    command += ["--listen", f"{options.address}:{options.port}"]
    try:
        return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
    except KeyboardInterrupt:
        return 0


@contextmanager
def _listening(switch: Switch, options: UpOptions) -> Iterator[Server]:
    try:
        server = serve(switch, options.address, options.port)
    except OSError as error:
        switch.close()
        where = f"{options.address}:{options.port}"
        raise SpecError(f"cannot listen on {where}: {error.strerror}; choose another with --port") from error
    with server:
        yield server


def _announce(ready: Ready, server: Server, options: UpOptions, console: Console) -> None:
    app, url = ready.planned.resolved.app, f"{server.url}/mcp"
    tools = [tool.full_name for tool in ready.planned.locked.tools]
    configuration = client_configuration(app.metadata.name, url, options.headers(app))
    document = {
        "url": url,
        "image": ready.planned.image.digest,
        "tools": tools,
        "dynamic": list(ready.planned.locked.dynamic),
        "client": configuration,
    }

    def text() -> str:
        lines = [f"{click.style(app.metadata.name, bold=True)} serves {url}", ""]
        lines += [f"  {tool}" for tool in tools]
        lines += [f"  {name}__… (asked at run time)" for name in ready.planned.locked.dynamic]
        lines += ["", "Paste into your client's mcp.json:", "", json.dumps(configuration, indent=2)]
        return "\n".join([*lines, "", "Ctrl-C stops."])

    console.result(document, text)


def _local_files(planned: Planned) -> frozenset[Path]:
    sources = [tool.source for tool in planned.resolved.tools]
    return frozenset(source.path for source in sources if isinstance(source, LocalArtifact))


def _follow(ready: Ready, switch: Switch, options: UpOptions, edges: tuple[Registry, Console]) -> None:
    registry, console = edges
    if options.file == "-":
        raise SpecError("--watch needs a file; standard input cannot change")
    own = Path(options.file).resolve()
    while True:
        files = {own, *ready.files}
        # Folders and not files: editors and compilers replace a file, and the new one is not watched.
        folders = {path.parent for path in files}
        for changes in watchfiles.watch(*folders, debounce=SETTLE_MILLISECONDS, recursive=False):
            if files.isdisjoint(Path(path).resolve() for _, path in changes):
                continue
            try:
                fresh = prepare(options, registry, console)
            except FtlError as error:
                console.error(error)
                console.note("the last good version keeps serving")
                continue
            if (fresh.planned.image, fresh.values) == (ready.planned.image, ready.values):
                fresh.host.close()
                continue
            switch.replace(fresh.host)
            console.note(f"now serving {fresh.planned.image.digest}")
            ready = fresh
            break
        else:
            return
