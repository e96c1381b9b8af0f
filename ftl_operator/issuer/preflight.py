"""Before anything is deployed: does the issuer answer, do its keys fit, does the policy decide as tested?

What comes out (`GatewayAuth`) is what the gateway will judge by, so nothing that was not checked reaches it.
An app that is not public and has no usable rule stops here (fail closed).
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, AuthSpec, GatewayAuth
from ftl_operator.api.fields import KeyReference
from ftl_operator.errors import COME_BACK, ComponentError, FtlError, Reason, SpecError, WaitingError
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.metadata import (
    ClusterDocument,
    Issuer,
    check_public_key,
    find_cluster_issuer,
    find_issuer,
)

Found = TypeVar("Found")

ReadKey = Callable[[str, str], str]
"""Reads a key of a ConfigMap in the app's namespace, given both names. Raises SpecError if there is none."""
CheckPolicy = Callable[[bytes], bytes]
"""Has the gateway's own engine evaluate a policy: `host.sandbox.check_policy` with the gateway bound."""

ISSUER_SECONDS = 300.0
"""How long an issuer that was found good is not asked again: less than a resync, so that each one looks."""
FAILURE_SECONDS = 15.0
"""How long an issuer that failed is not asked again, however many apps name it."""
MAX_KEPT = 1024


class Preflight:
    """Checks what apps say about tokens. Safe for threads; what was found is kept for a while.

    Args:
        settings: Which issuers may be asked, and how.
        check_policy: Evaluates policies.
        cluster: Reads the API server's documents about its own issuer; None outside a cluster.
        askers: How many issuers are asked at once: each may be silent until its timeout.
        clock: Seconds.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        check_policy: CheckPolicy,
        cluster: ClusterDocument | None = None,
        *,
        askers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._asking = Singleflight(askers, clock)
        self._check_policy = check_policy
        self._cluster = cluster
        self._issuers: TtlCache[Issuer] = TtlCache(clock)
        self._decisions: TtlCache[tuple[bool, ...]] = TtlCache(clock)

    def authorize(self, app: FtlApp, read: ReadKey) -> GatewayAuth | None:
        """Check an app's `access` and `auth`.

        Args:
            app: The app.
            read: Reads the ConfigMaps that its policy may be in.

        Returns:
            What its gateway needs; None exactly for a public app.

        Raises:
            SpecError: No usable rule, a key or policy that is not usable, or a policy test that fails.
            IssuerError: The issuer may not be asked, does not answer, or does not fit.
            WaitingError: It, or as many others as may be at once, is being asked for another app.
        """
        access, auth = app.spec.access, app.spec.auth
        if access is Access.PUBLIC:
            return None
        if auth is None or not _has_rule(access, auth):
            raise SpecError(
                f"access: {access} and no rule says who may call",
                reason=Reason.NO_USABLE_RULE,
                field="spec.auth",
            )
        policy, data = self._policy(auth, read)
        issuer = self._issuer(auth)
        organization = auth.organization
        return GatewayAuth(
            access=access,
            issuer=auth.issuer,
            audiences=auth.audiences,
            algorithms=tuple(name.value for name in auth.algorithms),
            jwks_uri=issuer.jwks_uri if issuer else None,
            public_key=auth.public_key,
            jwks=issuer.jwks if issuer else None,
            required_scopes=auth.required_scopes,
            allowed_subjects=auth.allowed_subjects,
            organization=None
            if organization is None
            else {
                "claim": organization.claim,
                "value": organization.value,
                "members": list(organization.members),
            },
            policy=policy,
            policy_data=data,
            leeway_seconds=auth.leeway_seconds,
            authorization_servers=(auth.issuer,) if auth.issuer else (),
            server_metadata=issuer.metadata if issuer else None,
            warnings=issuer.warnings if issuer else (),
        )

    def _issuer(self, auth: AuthSpec) -> Issuer | None:
        algorithms = tuple(name.value for name in auth.algorithms)
        if auth.public_key is not None:
            check_public_key(auth.public_key, algorithms)
            return None

        def find() -> Issuer:
            with self._asking.enter(auth.issuer or auth.jwks_uri or ""):
                if (
                    self._cluster is not None
                    and auth.issuer
                    and auth.jwks_uri is None
                    and _in_cluster(auth.issuer)
                ):
                    found = find_cluster_issuer(auth.issuer, algorithms, self._cluster)
                    if found is not None:
                        return found
                return find_issuer(auth.issuer, auth.jwks_uri, algorithms, self._settings)

        return self._issuers.get((auth.issuer, auth.jwks_uri, algorithms), find)

    def _policy(self, auth: AuthSpec, read: ReadKey) -> tuple[str, str]:
        if auth.policy is None:
            return "", ""
        rego = _text(read, auth.policy.rego, auth.policy.config_map_key_ref, "spec.auth.policy")
        data = ""
        if auth.policy_data is not None:
            source = auth.policy_data
            data = _text(read, source.json_text, source.config_map_key_ref, "spec.auth.policyData")
        inputs = [json.loads(test.input) for test in auth.policy_tests]
        request = json.dumps({"policy": rego, "data": data, "inputs": inputs}).encode()
        key = hashlib.sha256(request).digest()
        decisions = self._decisions.get(key, lambda: _decide(self._check_policy(request)))
        for index, (test, allowed) in enumerate(zip(auth.policy_tests, decisions, strict=True)):
            if allowed is not test.allow:
                decided = "allows" if allowed else "denies"
                raise SpecError(
                    f"the policy {decided} the case {test.name!r}, which says the opposite",
                    reason=Reason.POLICY_TEST_FAILED,
                    field=f"spec.auth.policyTests[{index}]",
                )
        return rego, data


def gateway_policies(gateway: Path) -> CheckPolicy:
    """Evaluate policies in this gateway component, run in the sandbox."""
    from ftl_operator.host.sandbox.parent import check_policy

    return lambda request: check_policy(gateway, request)


def _text(read: ReadKey, text: str | None, reference: KeyReference | None, where: str) -> str:
    if reference is None:
        return text or ""
    try:
        return read(reference.name, reference.key)
    except SpecError as error:
        raise SpecError(error.message, reason=error.reason, field=f"{where}.configMapKeyRef") from None


def _in_cluster(issuer: str) -> bool:
    # Other names of a cluster's issuer, as managed clusters have them, are public and asked like any issuer.
    host = urlsplit(issuer).hostname or ""
    return host == "kubernetes.default" or host.startswith("kubernetes.default.svc")


def _has_rule(access: Access, auth: AuthSpec) -> bool:
    # The model says the same; a deployment must not depend on where a spec was parsed.
    match access:
        case Access.PRIVATE:
            return bool(auth.allowed_subjects) or auth.policy is not None
        case Access.ORG:
            return auth.organization is not None
        case Access.CUSTOM:
            return auth.policy is not None
        case _:
            return False


def _decide(raw: bytes) -> tuple[bool, ...]:
    try:
        answer: Mapping[str, Any] = json.loads(raw)
        error, decisions = answer["error"], answer["decisions"]
    except (ValueError, LookupError, TypeError):
        raise ComponentError(
            "the gateway gives no answer about the policy", reason=Reason.COMPONENT_FAILED
        ) from None
    if error is not None:
        raise SpecError(str(error)[:1000], reason=Reason.POLICY_INVALID, field="spec.auth.policy")
    return tuple(decision is True for decision in decisions)


class Singleflight:
    """The issuers that are being asked: each once at a time, and so many at once."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, issuer: str) -> Iterator[None]:
        """Ask an issuer in the body. Raises WaitingError if somebody else is at it, or if too many are."""
        with self._lock:
            now = self._clock()
            if issuer in self._since or len(self._since) >= self._most:
                # The longer it takes, the less often it is looked at.
                taken = now - self._since.get(issuer, now)
                seconds = max(COME_BACK, taken) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
                raise WaitingError(f"{issuer} is asked as soon as others have answered", seconds)
            self._since[issuer] = now
        try:
            yield
        finally:
            with self._lock:
                del self._since[issuer]


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Found]):
    until: float
    value: Found | None
    error: FtlError | None


class TtlCache(Generic[Found]):
    """Values by key, found at most once in a while; failures are kept too, for a shorter one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[object, _Kept[Found]] = {}
        self._lock = threading.Lock()

    def get(self, key: object, find: Callable[[], Found]) -> Found:
        """What `find` gives or raises, now or a moment ago."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.until <= now:
            try:
                kept = _Kept(now + ISSUER_SECONDS, find(), None)
            except FtlError as error:
                kept = _Kept(now + FAILURE_SECONDS, None, error)
            self._keep(key, kept, now)
        if kept.error is not None:
            raise kept.error.with_traceback(None)
        return cast("Found", kept.value)

    def _keep(self, key: object, kept: _Kept[Found], now: float) -> None:
        with self._lock:
            if len(self._kept) >= MAX_KEPT:
                self._kept = {key: old for key, old in self._kept.items() if old.until > now}
            if len(self._kept) < MAX_KEPT:
                self._kept[key] = kept
