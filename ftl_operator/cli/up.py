"""`up`: compose an FtlApp, publish it to a local image layout, and serve that very publication."""

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
from ftl_operator.host import HostApp, Limits, Request, Response, Server, bind
from ftl_operator.host.component import GuestError
from ftl_operator.oci.layout import Layout
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.plan import Plan, Stages, plan
from ftl_operator.registry.client import Registry

_PARAMETER = re.compile(r'(\w+)="([^"\\]*)"')

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
    """Serves one application after another on the same port; no request is lost in between.

    Args:
        app: The first one.
        console: Told of calls that are refused for want of a good token.
    """

    def __init__(self, app: HostApp, console: Console) -> None:
        self._app = app
        self._console = console
        self._retired: set[HostApp] = set()

    def handle(self, request: Request) -> Response:
        """Serve a request with the application of this moment."""
        response = self._app.handle(request)
        if response.status in (401, 403):
            path = request.target.partition("?")[0]
            self._console.note(f"refused {request.method} {path} with {response.status}{_why(response)}")
        return response

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


def _why(response: Response) -> str:
    """What the answer's challenge (RFC 6750 §3) says is wrong with the token; it repeats nothing of it."""
    challenge = dict(response.headers).get("www-authenticate", b"").decode("latin-1")
    told = dict(_PARAMETER.findall(challenge))
    words = [told[name] for name in ("error", "error_description") if name in told]
    if not words and response.status == 401:
        words = ["no token"]
    return f": {', '.join(words)}" if words else ""


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
        # Before the work of minutes. Nobody can connect until the app serves.
        bound = stack.enter_context(contextlib.closing(_bound(options)))
        # Two apps may share a folder of stores, and tools may write where the gateway does.
        sealing_key = {SEALING_KEY: secrets.token_hex(32)}
        options = replace(options, variables={**sealing_key, **options.variables})
        # From before anything is read, so that a change while it is being read is seen.
        own = Stamps.of([Path(options.file)])
        app_file = read_app_file(options.file)
        seen = own | Stamps.of(local_files(app_file))
        composed = compose(app_file, options, registry, console)
        switch = Switch(load(composed, options, console), console)
        stack.callback(switch.close)
        server = stack.enter_context(_serving(switch, bound, options))

        def announce(composed: Composed) -> None:
            _announce(composed, server, options, console)

        try:
            # Within: once it is told that Ctrl-C stops, it does.
            announce(composed)
            while not watch:
                # No wait without end: a kernel may hand Ctrl-C to another thread, which would not end it.
                time.sleep(WAIT_SECONDS)

            def again(app_file: AppFile) -> None:
                nonlocal composed
                fresh = compose(app_file, options, registry, console)
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
    """Run the pipeline up to the image, and have all its bytes.

    Raises:
        FtlError: Whatever stops a stage.
    """
    app = options.adjust(app_file.app)
    with console.step(f"composing {app.metadata.name}"):
        inputs = local_inputs(app_file, registry, options.authorize, console.progress)
        planned = plan(app, inputs, Stages(), app_file.directory)
        values = variables_of(planned.locked, app_file, options.variables)
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
    """Which tools came and went, as the end of a line."""
    old, new = ({tool.full_name for tool in one.planned.locked.tools} for one in (before, after))
    parts = [f"+{name}" for name in sorted(new - old)] + [f"-{name}" for name in sorted(old - new)]
    return f" ({', '.join(parts)})" if parts else ""


def client_configuration(name: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """`mcp.json` as MCP clients take it."""
    server: dict[str, Any] = {"type": "http", "url": url}
    if headers:
        server["headers"] = dict(headers)
    return {"mcpServers": {name: server}}


def _bound(options: UpOptions) -> socket.socket:
    """The address, taken. Raises SpecError if it is somebody else's."""
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

    Apps of different names never see each other's. Two files with an app of the same name do not either: the
    folder belongs to the file that used it first, as long as that file exists.

    Args:
        state_dir: The folder that was given.
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
