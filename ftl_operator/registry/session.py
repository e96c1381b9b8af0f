"""The HTTP session under the registry client: trust, proxies, pools, and words for what fails in it."""

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import requests
import requests.adapters
import urllib3.exceptions

from ftl_operator.errors import RegistryError

CHUNK = 1 << 16
UNTRUSTED = "the registry's certificate is not trusted"


def configure(
    session: requests.Session, connections: int, ca_file: Path | None, proxies: Mapping[str, str] | None
) -> None:
    """Prepare a session.

    Args:
        session: A fresh session.
        connections: How many connections to a host are kept.
        ca_file: PEM certificates to trust besides the system's and requests' own.
        proxies: Proxies by scheme; None takes them from the environment.

    Raises:
        RegistryError: If the file cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # an SSLError is one too
            why = f"the CA file {ca_file} cannot be used: {error.strerror or error}"
            raise RegistryError(why) from error
    session.mount("https://", _Adapter(connections, context))
    session.mount("http://", _Adapter(connections, context))
    # Without this, requests would send the logins of ~/.netrc to any host named there.
    session.auth = _unchanged
    # Even told not to follow redirects, requests would read the whole body of one and parse its target.
    session.get_redirect_target = _no_target  # type: ignore[method-assign,assignment]
    session.headers.update({"User-Agent": "ftl-operator", "Accept-Encoding": "identity"})
    if proxies is not None:
        session.trust_env = False
        session.proxies.update(proxies)


def failure_text(error: BaseException) -> str:
    """What went wrong with a connection, without the exception's own text, which holds the URL."""
    seen: BaseException | None = error
    text = "the connection to the registry failed"
    for _ in range(10):
        match seen:
            case ssl.SSLCertVerificationError():
                return f"{UNTRUSTED} ({seen.verify_message})"
            case ssl.SSLError():
                return "the registry does not speak TLS as expected; is it plain HTTP?"
            case socket.gaierror():
                return "the registry's name cannot be resolved"
            case ConnectionRefusedError():
                return "the registry refuses connections"
            case requests.exceptions.ProxyError() | urllib3.exceptions.ProxyError():
                text = "the connection through the proxy failed"
            case urllib3.exceptions.IncompleteRead():
                text = "the answer broke off"
            case TimeoutError() | requests.Timeout() | urllib3.exceptions.TimeoutError():
                text = "the registry does not answer in time"
        nested = [a for a in (seen.args if seen else ()) if isinstance(a, BaseException)]
        reason = getattr(seen, "reason", None)
        seen = (
            (reason if isinstance(reason, BaseException) else None)
            or (nested[0] if nested else None)
            or (seen.__cause__ or seen.__context__ if seen else None)
        )
        if seen is None:
            break
    return text


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _no_target(response: requests.Response) -> None:
    del response


class Deadlined:
    """A file that is read for a bounded time: a receiver that takes a byte a second ends."""

    def __init__(self, file: BinaryIO, seconds: float) -> None:
        self._file = file
        self._deadline = time.monotonic() + seconds

    def __len__(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """Read on. Raises TimeoutError after the deadline."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return self._file.read(size)


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, connections: int, context: ssl.SSLContext) -> None:
        self._context = context
        # A full pool opens a further connection and drops it afterwards, which is what a redirect needs.
        super().__init__(pool_connections=16, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001 - the overridden method's own signature
        **pool_kwargs: object,
    ) -> None:
        """Give the context to the pool of direct connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **pool_kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: object) -> object:
        """Give the context to the pool behind a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **proxy_kwargs)
