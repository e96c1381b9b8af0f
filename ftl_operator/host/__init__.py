"""The embedded host: runs WASI 0.2 HTTP components in-process on wasmtime, as Spin would.

One implementation serves three purposes: inspecting components in a sandbox (`sandbox`), `ftl-operator up`
(`app`, `http/server`), and tests. Nothing else imports wasmtime.
"""

from ftl_operator.host.app import HostApp
from ftl_operator.host.engine.engine import Code
from ftl_operator.host.http.messages import Request, Response
from ftl_operator.host.http.server import Server, bind, serve, url_of
from ftl_operator.host.limits import Limits, SandboxLimits

__all__ = [
    "Code",
    "HostApp",
    "Limits",
    "Request",
    "Response",
    "SandboxLimits",
    "Server",
    "bind",
    "serve",
    "url_of",
]
