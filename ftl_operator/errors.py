"""The errors, by who has to act.

    FtlError
    ├── SpecError        the author of the FtlApp; permanent until the spec changes
    ├── ComponentError   the author of a tool, or who chose its reference; permanent until a digest changes
    ├── InspectionError  the machine that inspects components; retried with backoff
    ├── RegistryError    the registry or its credentials; retried with backoff
    ├── IssuerError      the JWT issuer; retried with backoff
    └── ClusterError     the cluster (its API server, a missing API, a missing executor); retried with backoff

Every error has a documented `Reason`, which becomes a condition's reason and a metric's label, and the path
of the field that it is about. Messages never contain a credential or a Secret's value.
"""

import re
from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """The reasons of conditions. The text after each one is its documentation."""

    SUCCEEDED = "Succeeded"
    """The stage finished for the current generation."""
    PROGRESSING = "Progressing"
    """Work is under way."""
    RETRYING = "ProgressingWithRetry"
    """The last try failed with an error that may pass; it is retried with growing delays."""
    SUSPENDED = "Suspended"
    """`spec.suspend` is true: no pods run and nothing is reconciled."""
    INVALID_SPEC = "InvalidSpec"
    """A field of the spec is not usable. Change the field that the message names."""
    INVALID_REFERENCE = "InvalidReference"
    """A reference is not a full OCI reference with a tag or digest. Write `registry/repository:tag`."""
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    """The registry has no such tag or digest. Push it, or correct the reference."""
    REGISTRY_NOT_ALLOWED = "RegistryNotAllowed"
    """The operator's settings do not allow this registry. Ask the cluster's administrator."""
    REGISTRY_UNAUTHORIZED = "RegistryUnauthorized"
    """The registry refused the credentials. Check `imagePullSecrets` or `publish.secretRef`."""
    REGISTRY_UNAVAILABLE = "RegistryUnavailable"
    """The registry does not answer correctly. It is retried; a running app keeps serving."""
    DIGEST_MISMATCH = "DigestMismatch"
    """The registry sent bytes that do not match their digest. They are discarded."""
    UNSUPPORTED_ARTIFACT = "UnsupportedArtifact"
    """The artifact does not hold one WebAssembly component to choose. The message lists what it holds."""
    TOO_LARGE = "TooLarge"
    """Something exceeds its size limit."""
    INVALID_COMPONENT = "InvalidComponent"
    """The bytes are not a WebAssembly component or core module that can serve `wasi:http`."""
    COMPONENT_FAILED = "ComponentFailed"
    """The component trapped, exceeded its time or memory limit, or gave no usable list of its tools."""
    UNSUPPORTED_IMPORT = "UnsupportedImport"
    """The component imports an interface that Spin does not have, so no tool of the app would start."""
    INSPECTION_UNAVAILABLE = "InspectionUnavailable"
    """The machine that inspects components ran out of memory or disk. It is retried."""
    INVALID_TOOL = "InvalidTool"
    """A tool's metadata breaks a rule of the Model Context Protocol."""
    DUPLICATE_TOOL = "DuplicateTool"
    """Two tools would have the same name. Use `rename`, `include` or `exclude`."""
    DYNAMIC_TOOLS = "DynamicTools"
    """Some component could not be asked for its tools before deployment; the gateway asks it at run time."""
    PUBLIC_ACCESS = "PublicAccess"
    """`access: public`: there is no token to check."""
    NO_USABLE_RULE = "NoUsableRule"
    """The app is not public and no rule says who may call it, so it is not deployed (fail closed)."""
    ISSUER_NOT_ALLOWED = "IssuerNotAllowed"
    """The operator's settings do not allow this issuer. Ask the cluster's administrator."""
    HOST_NOT_ALLOWED = "HostNotAllowed"
    """The operator's settings do not allow this `route.host` here. Ask the cluster's administrator."""
    ISSUER_UNAVAILABLE = "IssuerUnavailable"
    """The issuer's metadata or keys cannot be read. It is retried; a running app keeps serving."""
    ISSUER_INVALID = "IssuerInvalid"
    """The issuer's metadata or keys break a rule: another issuer, no HTTPS, no key for the algorithms."""
    POLICY_INVALID = "PolicyInvalid"
    """The Rego policy does not compile or lacks `data.mcp.authorization.allow`."""
    POLICY_TEST_FAILED = "PolicyTestFailed"
    """A case of `auth.policyTests` gave another decision than it says."""
    SOURCE_NOT_FOUND = "SourceNotFound"
    """A Secret or ConfigMap that the spec names, or a key in it, does not exist."""
    PUBLISH_FAILED = "PublishFailed"
    """The composed application could not be pushed."""
    API_MISSING = "ApiMissing"
    """The cluster lacks the API of a kind that the spec asks for. Install it or remove the field."""
    EXECUTOR_MISSING = "ExecutorMissing"
    """There is no SpinAppExecutor of that name in the namespace. Create it or set `runtime.executor`."""
    NO_DEPLOYMENT = "NoDeployment"
    """The executor makes no Deployment: fields that need one are refused; the SpinApp's status counts."""
    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    """The API server refused or failed a request. It is retried."""
    CONFLICT = "Conflict"
    """An object of that name exists and is not owned by this FtlApp. Rename one of them."""
    MINIMUM_AVAILABLE = "MinimumReplicasAvailable"
    """Enough pods are ready."""
    ROLLING_OUT = "RollingOut"
    """New pods are starting; old ones serve meanwhile."""
    PODS_FAILING = "PodsFailing"
    """Pods do not become ready. The message has the pod's own cause."""
    SCALED_TO_ZERO = "ScaledToZero"
    """No pod runs because nothing asks for one; the next request starts one."""
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """A first version did not become ready in time; there is none to roll back to. It is still watched."""
    ROLLED_BACK = "RolledBack"
    """The new version missed its deadline; the last good digest serves until the spec or an input changes."""
    TOOLS_VERIFIED = "ToolsVerified"
    """The running app lists every expected tool."""
    TOOLS_SILENT = "ToolsSilent"
    """Some component of the running app does not answer. The message names it."""
    NOT_VERIFIED = "NotVerified"
    """The running app was not probed yet, or the probe failed without a clear result."""
    LOCAL_FAILURE = "LocalFailure"
    """The command line could not use a file or a socket. The message has its path and the cause."""
    INTERNAL = "InternalError"
    """A defect of the operator. Please report it with the log line of the same time."""


MAX_MESSAGE = 16_000
"""Characters of a message; a component's own output may be part of it."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text from outside without what a terminal would obey, and without what no encoding has.

    That is control characters but tabs and line breaks, directional overrides, and halves of characters.
    """
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


class FtlError(Exception):
    """An error with a documented reason and, if it is about a field of the spec, its path.

    Args:
        message: What is wrong, where, and what to do. No credential, no Secret value. It may quote what comes
            from outside: it is made printable and cut.
        reason: The documented reason.
        field: The path of the field, such as `spec.tools[1].image`; empty if there is none.
    """

    retryable = False
    retry_after: float | None = None
    """Seconds that the other side asked to wait."""

    def __init__(self, message: str, *, reason: Reason, field: str = "") -> None:
        message = printable(message[:MAX_MESSAGE])
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def __copy__(self) -> Self:
        """Copy the error without its traceback, so that a cached error can be raised again."""
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__)
        return other


class SpecError(FtlError):
    """The author of the FtlApp must change the spec."""

    def __init__(self, message: str, *, reason: Reason = Reason.INVALID_SPEC, field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)


class ComponentError(FtlError):
    """The author of a tool must change it, or the app's author must choose another."""

    def __init__(self, message: str, *, reason: Reason = Reason.INVALID_COMPONENT, field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)


class SlowComponentError(ComponentError):
    """The component exceeded its time limit. A busy machine may be the cause, so this is not permanent."""


class InspectionError(FtlError):
    """The machine that inspects components lacks memory or disk; the inspection is retried."""

    retryable = True

    def __init__(
        self, message: str, *, reason: Reason = Reason.INSPECTION_UNAVAILABLE, field: str = ""
    ) -> None:
        super().__init__(message, reason=reason, field=field)


class RegistryError(FtlError):
    """The registry, or the credentials for it, must be fixed; the request is retried.

    Args:
        retry_after: Seconds that the registry asked to wait (RFC 9110 §10.2.3), if it did.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = Reason.REGISTRY_UNAVAILABLE,
        field: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after = retry_after


class IssuerError(FtlError):
    """The JWT issuer must be fixed; the request is retried."""

    retryable = True

    def __init__(self, message: str, *, reason: Reason = Reason.ISSUER_UNAVAILABLE, field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)


class ClusterError(FtlError):
    """The cluster must be fixed; the request is retried."""

    retryable = True

    def __init__(self, message: str, *, reason: Reason = Reason.CLUSTER_UNAVAILABLE, field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)


COME_BACK = 1.0
"""Seconds until a caller that found no free slot may try again."""


class WaitingError(Exception):
    """Nothing is wrong: the reconcile continues later.

    Args:
        message: What the app waits for.
        seconds: When to reconcile again; None if an event will tell.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.seconds = seconds
