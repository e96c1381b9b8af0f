"""`up`: composes an FtlApp, publishes it to a local image layout, and serves it from there."""

import contextlib
import errno
import hashlib
import json
import re
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import SEALING_KEY
from ftl_operator.cli.console import Console
from ftl_operator.cli.environment import cache_directory
from ftl_operator.cli.local_login import LocalLogin
from ftl_operator.cli.workspace import (
    AppFile,
    Authorize,
    layer_files,
    local_files,
    local_inputs,
    read_app_file,
    variables_of,
)
from ftl_operator.errors import ComponentError, Reason, SpecError
from ftl_operator.host import HostApp, Limits, Request, Response, Server, bind, url_of
from ftl_operator.host.component import GuestError
from ftl_operator.oci.layout import Layout
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.plan import Plan, Stages, plan
from ftl_operator.registry.client import Registry

_PARAMETER = re.compile(r'(\w+)="([^"\\]*)"')

WAIT_SECONDS = 0.5
"""How long it may take until Ctrl-C is noticed."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `up`.

    Args:
        file: The FtlApp file, or `-`.
        address: The address to listen on.
        port: The port; 0 takes any free one.
        variables: Values by the name of the application's variable.
        state_dir: The folder for key-value stores; None drops them at the end.
        adjust: Changes the app before it is composed, as the local issuer does.
        authorize: Checks the app's issuer and policy.
        headers: Returns the headers that a client must send; they are printed for its configuration.
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
    """An app that is ready to load: its plan, the files of its layers, and the values of its variables."""

    planned: Plan
    layers: Mapping[Digest, Path]
    values: Mapping[str, str] = field(repr=False)

    def same_as(self, other: "Composed") -> bool:
        """Whether it would serve the same."""
        return (self.planned.image.digest, self.values) == (other.planned.image.digest, other.values)


class Switch:
    """Serves one application after another on the same port without losing a request.

    Args:
        app: The first application.
        console: Prints calls that are refused because of their token.
    """

    def __init__(self, app: HostApp, console: Console) -> None:
        self._app = app
        self._console = console
        self._retired: set[HostApp] = set()

    def handle(self, request: Request) -> Response:
        """Serve a request with the present application."""
        response = self._app.handle(request)
        if response.status in (401, 403):
            path = request.target.partition("?")[0]
            self._console.note(f"refused {request.method} {path} with {response.status}{_why(response)}")
        return response

    def replace(self, app: HostApp) -> None:
        """Serve later requests with another application; those under way end with the old one."""
        old, self._app = self._app, app
        self._retired.add(old)
        # By then every request to the old one has ended or exceeded its time limit.
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


def _why(response: Response) -> str:
    """The reason in the answer's challenge (RFC 6750 §3); it contains no part of the token."""
    challenge = dict(response.headers).get("www-authenticate", b"").decode("latin-1")
    told = dict(_PARAMETER.findall(challenge))
    words = [told[name] for name in ("error", "error_description") if name in told]
    if not words and response.status == 401:
        words = ["no token"]
    return f": {', '.join(words)}" if words else ""


def up(options: UpOptions, registry: Registry, console: Console, *, watch: bool) -> None:
    """Serve until interrupted.

    Args:
        options: The options of `up`.
        registry: The registries for the tools.
        console: Prints progress.
        watch: Whether to compose again when the file or a local component changes.

    Raises:
        FtlError: The app cannot be composed, or the port is taken. Later errors, while watching, are only
            printed.
    """
    from ftl_operator.cli.watch import Stamps, follow

    with ExitStack() as stack:
        if watch and options.state_dir is None:
            # Stored data must survive a change of the app, as it survives new pods in a cluster.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ftl-operator-"))
            options = replace(options, state_dir=Path(folder))
        # Bind first, because composing takes minutes. Nobody can connect until the app serves.
        bound = stack.enter_context(contextlib.closing(_bound(options)))
        # Two apps may share a folder of stores, and tools may write into the gateway's store.
        sealing_key = {SEALING_KEY: secrets.token_hex(32)}
        options = replace(options, variables={**sealing_key, **options.variables})
        # Stamped before the file is read, so that a change in between is noticed.
        own = Stamps.of([Path(options.file)])
        login = LocalLogin(options.file, url_of(bound))
        app_file = login.prepare(read_app_file(options.file))
        seen = own | Stamps.of(local_files(app_file))
        composed = compose(app_file, options, registry, console)
        switch = Switch(load(composed, options, console), console)
        stack.callback(switch.close)
        server = stack.enter_context(_serving(switch, bound, options))

        def announce(composed: Composed) -> None:
            _announce(composed, server, options, console, login)

        try:
            # Announced inside the `with`, so that Ctrl-C works as soon as the text mentions it.
            announce(composed)
            while not watch:
                # Short waits, because the kernel may deliver Ctrl-C to another thread, which would not end
                # one.
                time.sleep(WAIT_SECONDS)

            def again(app_file: AppFile) -> None:
                nonlocal composed
                fresh = compose(login.prepare(app_file), options, registry, console)
                if fresh.same_as(composed):
                    console.note(f"nothing changes: still serving {fresh.planned.image.digest}")
                    return
                switch.replace(load(fresh, options, console))
                before, composed = composed, fresh
                console.note(f"now serving {fresh.planned.image.digest}{_difference(before, fresh)}")
                if console.output == "json":
                    announce(fresh)

            follow(options.file, seen, again, console)
        except KeyboardInterrupt:
            console.note("stopped")


def compose(app_file: AppFile, options: UpOptions, registry: Registry, console: Console) -> Composed:
    """Run the pipeline up to the image, and get the files of all layers.

    Raises:
        FtlError: A stage failed.
    """
    app = options.adjust(app_file.app)
    with console.step(f"composing {app.metadata.name}"):
        inputs = local_inputs(app_file, registry, options.authorize, console.progress)
        planned = plan(app, inputs, Stages(), app_file.directory)
        values = variables_of(planned.locked, app_file, options.variables)
        return Composed(planned, layer_files(planned.image.layers, registry), values)


def load(composed: Composed, options: UpOptions, console: Console) -> HostApp:
    """Publish to the local layout, load the app from there, and compile it.

    Raises:
        FtlError: A component has changed meanwhile or cannot be compiled.
    """
    app, image = composed.planned.resolved.app, composed.planned.image
    # Two files may have apps of the same name, so each file has its own layout.
    place = hashlib.sha256(f"{app.metadata.namespace}\0{Path(options.file).resolve()}".encode()).hexdigest()
    layout = Layout(cache_directory() / "up" / f"{app.metadata.name}-{place[:12]}")
    layout.publish(image, composed.layers, app.metadata.name)
    host = HostApp(
        layout.application(image.digest),
        layout.blob,
        variables=composed.values,
        state_dir=None if options.state_dir is None else state_folder(options.state_dir, app, options.file),
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


def _difference(before: Composed, after: Composed) -> str:
    """The added and removed tools, as the end of a line."""
    old, new = ({tool.full_name for tool in one.planned.locked.tools} for one in (before, after))
    parts = [f"+{name}" for name in sorted(new - old)] + [f"-{name}" for name in sorted(old - new)]
    return f" ({', '.join(parts)})" if parts else ""


def client_configuration(name: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Make `mcp.json` for MCP clients."""
    server: dict[str, Any] = {"type": "http", "url": url}
    if headers:
        server["headers"] = dict(headers)
    return {"mcpServers": {name: server}}


def _bound(options: UpOptions) -> socket.socket:
    """Bind the address. Raises SpecError if it is in use."""
    try:
        return bind(options.address, options.port)
    except OSError as error:
        raise _taken(options, error) from error


def _serving(switch: Switch, bound: socket.socket, options: UpOptions) -> Server:
    try:
        return Server(switch, bound)
    except OSError as error:
        raise _taken(options, error) from error


def _taken(options: UpOptions, error: OSError) -> SpecError:
    way_out = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--address"
    return SpecError(
        f"cannot listen on {options.address}:{options.port}: {error.strerror or error}; "
        f"choose another with {way_out}",
        reason=Reason.CONFLICT,
    )


def state_folder(state_dir: Path, app: FtlApp, file: str) -> Path:
    """The folder below `--state-dir` with the stores and databases of one app.

    Apps of different names have different folders. If two files have an app of the same name, the folder
    belongs to the file that used it first, as long as that file exists.

    Args:
        state_dir: The folder of the option.
        app: The app.
        file: Its file, or `-`.

    Raises:
        SpecError: The folder belongs to another file.
        OSError: It cannot be written.
    """
    folder = state_dir / app.metadata.namespace / app.metadata.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = str(Path(file).resolve()) if file != "-" else file
    mark = folder / "file"
    owner = mark.read_text(encoding="utf-8") if mark.exists() else own
    if owner != own and Path(owner).exists():
        raise SpecError(
            f"{folder} has the data of {owner}, which is another app of this name; "
            "choose another --state-dir, or another metadata.name",
            reason=Reason.CONFLICT,
        )
    mark.write_text(own, encoding="utf-8")
    return folder


def _announce(
    composed: Composed, server: Server, options: UpOptions, console: Console, login: LocalLogin
) -> None:
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
        **({"login": login.made} if login.made else {}),
    }

    def text() -> str:
        lines = [f"{click.style(app.metadata.name, bold=True)} serves {url}", ""]
        lines += [f"  {tool}" for tool in tools]
        lines += [f"  {name}__… (asked at run time)" for name in locked.dynamic]
        lines += ["", "Paste into your client's mcp.json:", "", json.dumps(configuration, indent=2)]
        lines += ["", *login.words] if login.words else []
        return "\n".join([*lines, "", "Ctrl-C stops."])

    console.result(document, text)
