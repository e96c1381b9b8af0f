"""Before anything is deployed: does the issuer answer, do its keys fit, does the policy decide as tested?

What comes out (`GatewayAuth`) is what the gateway will judge by, so nothing that was not checked reaches it.
An app that is not public and has no usable rule stops here (fail closed).
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, AuthSpec, GatewayAuth
from ftl_operator.api.fields import KeyReference
from ftl_operator.api.names import NamespacedName
from ftl_operator.errors import COME_BACK, ComponentError, FtlError, Reason, SpecError, WaitingError
from ftl_operator.fair_share import FairShare, Turn
from ftl_operator.issuer.fetch import IssuerClient, IssuerSettings
from ftl_operator.issuer.keys import check_public_key
from ftl_operator.issuer.metadata import (
    ClusterDocument,
    Issuer,
    find_cluster_issuer,
    find_issuer,
)
from ftl_operator.ttl_cache import TtlCache

ReadKey = Callable[[str, str], str]
"""Reads a key of a ConfigMap in the app's namespace, given both names. Raises SpecError if there is none."""
CheckPolicy = Callable[[NamespacedName, bytes], bytes]
"""Has the gateway's own engine evaluate a policy for an app: `host.sandbox.check_policy` with the gateway
bound. May raise WaitingError."""

CHECKED_SECONDS = 300.0
"""How long an issuer or a policy that was checked is not checked again, and at the longest one that failed:
less than a resync, so that each resync checks them."""
FAILED_SECONDS = 15.0
"""How long an issuer that failed is not asked again, however many apps name it; doubled by each further
failure. A policy fails for good, for the same text gives the same answer."""


class Preflight:
    """Checks what apps say about tokens. Safe for threads; what was found is kept for a while.

    Args:
        settings: Which issuers may be asked, and how.
        check_policy: Evaluates policies.
        cluster: Reads the API server's documents about its own issuer; None outside a cluster.
        askers: How many issuers are asked at once: each may be silent until its deadline. They are shared
            between namespaces by `fair_share`.
        clock: Monotonic seconds.

    Raises:
        IssuerError: The settings' CA file cannot be used.
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
        self._client = IssuerClient(settings)
        self._flights = Singleflight(askers, clock)
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
            WaitingError: The issuer is being asked for another app, as many others as may be are being asked,
                or the policy is being checked.
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
        key = NamespacedName(app.metadata.namespace, app.metadata.name)
        policy, data = self._policy(key, auth, read)
        issuer = self._issuer(key.namespace, auth)
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
            api_keys=auth.api_keys is not None,
            advertised_scopes=auth.advertised_scopes,
            token_types=auth.token_types,
            warnings=issuer.warnings if issuer else (),
        )

    def _issuer(self, tenant: str, auth: AuthSpec) -> Issuer | None:
        if not auth.accepts_tokens:
            return None
        algorithms = tuple(name.value for name in auth.algorithms)
        if auth.public_key is not None:
            check_public_key(auth.public_key, algorithms)
            return None
        # All of it: a question about another's issuer with a key URL of one's own is a question of one's own.
        question = (auth.issuer, auth.jwks_uri, algorithms)
        known = self._issuers.get(question)
        if known is not None:
            return known.result()
        with self._flights.enter(tenant, question):
            try:
                found = self._find(auth, algorithms)
            except FtlError as error:
                self._issuers.fail(tenant, question, error, FAILED_SECONDS, CHECKED_SECONDS)
                raise
        self._issuers.put(tenant, question, found, CHECKED_SECONDS)
        return found

    def _find(self, auth: AuthSpec, algorithms: tuple[str, ...]) -> Issuer:
        is_named_only = auth.issuer is not None and auth.jwks_uri is None
        if (
            self._cluster is not None
            and auth.issuer is not None
            and is_named_only
            and _in_cluster(auth.issuer)
        ):
            found = find_cluster_issuer(auth.issuer, algorithms, self._cluster)
            if found is not None:
                return found
        return find_issuer(auth.issuer, auth.jwks_uri, algorithms, self._client)

    def _policy(self, key: NamespacedName, auth: AuthSpec, read: ReadKey) -> tuple[str, str]:
        if auth.policy is None:
            return "", ""
        rego = _text(read, auth.policy.rego, auth.policy.config_map_key_ref, "spec.auth.policy")
        data = ""
        if auth.policy_data is not None:
            source = auth.policy_data
            data = _text(read, source.json_text, source.config_map_key_ref, "spec.auth.policyData")
        inputs = [json.loads(test.input) for test in auth.policy_tests]
        request = json.dumps({"policy": rego, "data": data, "inputs": inputs}).encode()
        decisions = self._decide(key, request)
        for index, (test, allowed) in enumerate(zip(auth.policy_tests, decisions, strict=True)):
            if allowed is not test.allow:
                decided = "allows" if allowed else "denies"
                raise SpecError(
                    f"the policy {decided} the case {test.name!r}, which says the opposite",
                    reason=Reason.POLICY_TEST_FAILED,
                    field=f"spec.auth.policyTests[{index}]",
                )
        return rego, data

    def _decide(self, key: NamespacedName, request: bytes) -> tuple[bool, ...]:
        question = hashlib.sha256(request).digest()
        known = self._decisions.get(question)
        if known is not None:
            return known.result()
        try:
            decisions = _decisions(self._check_policy(key, request))
        except FtlError as error:
            self._decisions.fail(key.namespace, question, error, CHECKED_SECONDS, CHECKED_SECONDS)
            raise
        self._decisions.put(key.namespace, question, decisions, CHECKED_SECONDS)
        return decisions


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
            return auth.names_callers
        case Access.ORG:
            return auth.organization is not None
        case Access.CUSTOM:
            return auth.policy is not None
        case _:
            return False


def _decisions(raw: bytes) -> tuple[bool, ...]:
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
    """The issuers that are being asked: each once at a time, each namespace within its share.

    Args:
        slots: How many are asked at once.
        clock: Monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._share = FairShare(slots, clock)
        self._turns: dict[Hashable, Turn] = {}
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, tenant: str, question: Hashable) -> Iterator[None]:
        """Ask a question in the body. Raises WaitingError if it is being asked, or there is no room."""
        with self._lock:
            asked = self._turns.get(question)
            if asked is not None or not self._share.may_take(tenant):
                # The longer it takes, the less often it is looked at.
                taken = self._clock() - asked.began if asked is not None else 0.0
                seconds = max(COME_BACK, taken) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
                raise WaitingError("the issuer is asked as soon as others have answered", seconds)
            turn = self._turns[question] = self._share.take(tenant)
        try:
            yield
        finally:
            with self._lock:
                del self._turns[question]
                self._share.give_back(turn)
