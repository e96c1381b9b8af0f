"""Authorization for `up`, `render` and `publish`: with the spec's own issuer, or with a local one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access
from ftl_operator.cli.dev_issuer import DevIssuer
from ftl_operator.cli.environment import GATEWAY_WASM, state_directory
from ftl_operator.cli.workspace import Authorize
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.preflight import Preflight


@dataclass(frozen=True, slots=True)
class TokenSource:
    """The authorization of callers on this machine.

    Args:
        adjust: Changes the app before it is composed.
        authorize: Checks its issuer and policy.
        headers: Returns the headers that a client must send to the app.
    """

    adjust: Callable[[FtlApp], FtlApp]
    authorize: Authorize
    headers: Callable[[FtlApp], Mapping[str, str]]


def authorize(ca_file: Path | None = None) -> Authorize:
    """Make the controller's check of an app's issuer and policy, with issuers on this machine allowed."""
    settings = IssuerSettings(developing=True, ca_file=ca_file)
    from ftl_operator.host.sandbox.parent import check_policy

    return Preflight(settings, lambda _, request: check_policy(GATEWAY_WASM, request)).authorize


@contextmanager
def authorization(ca_file: Path | None, *, use_dev_issuer: bool) -> Iterator[TokenSource]:
    """Provide the token source for the body; a local issuer serves its keys meanwhile."""
    check = authorize(ca_file)
    if not use_dev_issuer:
        yield TokenSource(lambda app: app, check, lambda _: {})
        return
    with dev_issuer().start() as issuer:

        def headers(app: FtlApp) -> Mapping[str, str]:
            auth = app.spec.auth
            if app.spec.access is Access.PUBLIC or (auth is not None and not auth.accepts_tokens):
                return {}
            return {"Authorization": f"Bearer {issuer.mint_for(app)}"}

        yield TokenSource(issuer.adjust, check, headers)


def dev_issuer() -> DevIssuer:
    """The local issuer of this user. It keeps its key and its address between runs."""
    return DevIssuer(state_directory() / "issuer")
