"""How `up`, `render` and `publish` judge `access`: with the spec's own issuer, or with a local one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ftl_operator.compose import GatewayAuth
from ftl_operator.errors import Reason, SpecError
from ftl_operator.local import Authorize
from ftl_operator.model import Access, FtlApp


@dataclass(frozen=True, slots=True)
class Authorization:
    """How an app's callers are judged on this machine.

    Args:
        adjust: What is changed of the app before it is composed.
        authorize: Checks its issuer and policy.
        headers: What a client must send.
    """

    adjust: Callable[[FtlApp], FtlApp]
    authorize: Authorize
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def authorize(app: FtlApp, config: Callable[[str, str], str]) -> GatewayAuth | None:
    """Check the app's issuer and policy."""
    del config
    if app.spec.access is Access.PUBLIC:
        return None
    raise SpecError("only public apps yet", reason=Reason.NO_USABLE_RULE)


@contextmanager
def authorization(*, use_dev_issuer: bool) -> Iterator[Authorization]:
    """What judges callers while the body runs."""
    del use_dev_issuer
    yield Authorization(lambda app: app, authorize)
