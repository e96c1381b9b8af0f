"""Checks authorization before anything is deployed: the issuer's metadata and keys, the policy and its tests.

The result (`GatewayAuth`) is the gateway's configuration, so it contains nothing that was not checked. An app
that is not public and has no usable rule is refused (fail closed).
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, AuthSpec, GatewayAuth
from ftl_operator.api.fields import KeyReference
from ftl_operator.api.login import CheckedLogin, LoginUpstream, Upstream
from ftl_operator.api.names import LOGIN_JWKS_KEY, NamespacedName
from ftl_operator.errors import COME_BACK, ComponentError, FtlError, Reason, SpecError, WaitingError
from ftl_operator.fair_share import FairShare, Turn
from ftl_operator.issuer.fetch import IssuerClient, IssuerSettings
from ftl_operator.issuer.keys import check_public_key
from ftl_operator.issuer.login import (
    ALGORITHM,
    TOKEN_TYPE,
    find_upstream,
    login_url,
    login_warnings,
    public_keys,
)
from ftl_operator.issuer.metadata import (
    ClusterDocument,
    Issuer,
    find_cluster_issuer,
    find_issuer,
)
from ftl_operator.ttl_cache import TtlCache

ReadKey = Callable[[str, str], str]
"""Reads a key of an object in the app's namespace, given both names. Raises an FtlError if there is none."""
CheckPolicy = Callable[[NamespacedName, bytes], bytes]
"""Evaluates an app's policy with the gateway's own engine: `host.sandbox.check_policy` with the gateway
bound. May raise WaitingError."""

CHECKED_SECONDS = 300.0
"""How long the result of a check is cached; for failures the longest time. It is shorter than the resync
interval, so that each resync checks again."""
FAILED_SECONDS = 15.0
"""How long a failed issuer is not asked again, for all apps; doubled by each further failure. A policy's
failure is permanent, because the same text gives the same answer."""


class Preflight:
    """Checks the authorization of apps, and caches the results. Safe to use from several threads.

    Args:
        settings: Which issuers are allowed, and how to reach them.
        check_policy: Evaluates policies.
        cluster: Reads the API server's documents about its own issuer; None outside a cluster.
        askers: How many issuers are asked at once, since each may be silent until its deadline. `fair_share`
            divides these slots between namespaces.
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
        self._upstreams: TtlCache[Upstream] = TtlCache(clock)
        self._decisions: TtlCache[tuple[bool, ...]] = TtlCache(clock)

    def authorize(
        self, app: FtlApp, read: ReadKey, read_secret: ReadKey = lambda name, _: _no_secret(name)
    ) -> GatewayAuth | None:
        """Check an app's `access` and `auth`.

        Args:
            app: The app.
            read: Reads the ConfigMaps that may have its policy.
            read_secret: Reads the public keys of its login from their Secret; nothing else of a Secret is
                read.

        Returns:
            The authorization for its gateway; None exactly for a public app.

        Raises:
            SpecError: There is no usable rule, a key or policy is invalid, or a policy test fails.
            IssuerError: The issuer is not allowed, does not answer, or does not fit.
            WaitingError: The issuer is already being asked for another app, all slots are taken, or the
                policy is
                being checked.
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
        organization = auth.organization
        checked = GatewayAuth(
            access=access,
            issuer=auth.issuer,
            audiences=auth.audiences,
            algorithms=tuple(name.value for name in auth.algorithms),
            public_key=auth.public_key,
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
            api_keys=auth.api_keys is not None,
            advertised_scopes=auth.advertised_scopes,
            token_types=auth.token_types,
        )
        if auth.login is not None:
            return self._with_login(app, checked, read_secret)
        issuer = self._issuer(key.namespace, auth)
        if issuer is None:
            return checked
        return replace(
            checked,
            jwks_uri=issuer.jwks_uri,
            jwks=issuer.jwks,
            server_metadata=issuer.metadata,
            warnings=issuer.warnings,
        )

    def _with_login(self, app: FtlApp, checked: GatewayAuth, read_secret: ReadKey) -> GatewayAuth:
        """Complete what was checked of an app with a login of its own, which is its issuer."""
        auth, url = app.spec.auth, login_url(app)
        if auth is None or auth.login is None:
            raise ValueError("the app has no login")
        try:
            keys = public_keys(read_secret(auth.login.secret_of(app.metadata.name), LOGIN_JWKS_KEY))
        except FtlError as error:
            error.field = error.field or "spec.auth.login.secretRef"
            if error.reason is Reason.SOURCE_NOT_FOUND:
                error.message = f"{error.message}; 'ftl-operator login secret' makes it"
            raise
        upstream = None
        if auth.login.upstream is not None:
            upstream = self._upstream(app.metadata.namespace, auth.login.upstream)
        return replace(
            checked,
            issuer=url,
            audiences=tuple(dict.fromkeys((f"{url}/mcp", *checked.audiences))),
            algorithms=(ALGORITHM,),
            token_types=(TOKEN_TYPE,),
            jwks=keys,
            authorization_servers=(url,),
            login=CheckedLogin(url, auth.login.client_hosts, upstream),
            warnings=login_warnings(app),
        )

    def _upstream(self, tenant: str, spec: LoginUpstream) -> Upstream:
        question = spec
        known = self._upstreams.get(question)
        if known is not None:
            return known.result()
        with self._flights.enter(tenant, question):
            try:
                found = find_upstream(spec, self._client)
            except FtlError as error:
                self._upstreams.fail(tenant, question, error, FAILED_SECONDS, CHECKED_SECONDS)
                raise
        self._upstreams.put(tenant, question, found, CHECKED_SECONDS)
        return found

    def _issuer(self, tenant: str, auth: AuthSpec) -> Issuer | None:
        if not auth.accepts_tokens:
            return None
        algorithms = tuple(name.value for name in auth.algorithms)
        if auth.public_key is not None:
            check_public_key(auth.public_key, algorithms)
            return None
        # The key has all of it, so that an app with its own key URL does not share results with other apps.
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


def _no_secret(name: str) -> str:
    raise SpecError(f"the Secret {name!r} cannot be read here", reason=Reason.SOURCE_NOT_FOUND)


def _in_cluster(issuer: str) -> bool:
    # Managed clusters have a public issuer instead, which is asked like any other.
    host = urlsplit(issuer).hostname or ""
    return host == "kubernetes.default" or host.startswith("kubernetes.default.svc")


def _has_rule(access: Access, auth: AuthSpec) -> bool:
    # The model checks the same. This check makes sure that nothing is deployed without it.
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
    """Runs each request to an issuer once at a time, and limits each namespace to its share.

    Args:
        slots: How many requests run at once.
        clock: Monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._share = FairShare(slots, clock)
        self._turns: dict[Hashable, Turn] = {}
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, tenant: str, question: Hashable) -> Iterator[None]:
        """Make the request in the body. Raises WaitingError if it is under way or no slot is free."""
        with self._lock:
            asked = self._turns.get(question)
            if asked is not None or not self._share.may_take(tenant):
                # The longer the request takes, the less often others try.
                taken = self._clock() - asked.began if asked is not None else 0.0
                seconds = max(COME_BACK, taken) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
                raise WaitingError("the issuer is asked after other requests have ended", seconds)
            turn = self._turns[question] = self._share.take(tenant)
        try:
            yield
        finally:
            with self._lock:
                del self._turns[question]
                self._share.give_back(turn)
