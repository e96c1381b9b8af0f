"""The embedded host: runs WASI 0.2 HTTP components in-process on wasmtime, as Spin would.

It serves three purposes with one implementation: asking a component for its tools in a sandbox
(`sandbox`), `ftl-operator up` (`app`, `server`), and tests. Nothing else imports wasmtime.
"""

from .app import HostApp
from .engine import Code
from .limits import Limits, SandboxLimits
from .messages import Request, Response
from .server import Server, serve

__all__ = ["Code", "HostApp", "Limits", "Request", "Response", "SandboxLimits", "Server", "serve"]
