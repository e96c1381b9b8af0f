"""The operator's RBAC permissions: exactly those that it uses.

A test compares the chart's roles with this list, and the end-to-end tests run with those roles, so a missing
verb fails there.
"""

from dataclasses import dataclass

from ftl_operator.api import kinds


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One rule of RBAC.

    Args:
        group: The API group; empty for the core group.
        resource: The plural, with `/subresource` where it is one.
        verbs: Sorted.
        where: `apps` for every namespace that is served, `secrets` likewise if the operator makes the Secrets
            of gateways or logins, `logs` if it reads the last lines of crashed containers, `executors` if it
            makes SpinAppExecutors, `own` for the operator's own namespace, `cluster` for what has no
            namespace and is only granted together with the whole cluster.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    where: str = "apps"


_WATCH = ("get", "list", "watch")
_OWN = ("create", "delete", "get", "list", "patch", "watch")

PERMISSIONS: tuple[Permission, ...] = (
    Permission("ftl.tools", "ftlapps", _WATCH),
    Permission("ftl.tools", "ftlapps/status", ("patch",)),
    *(Permission(api.group, api.plural, _OWN) for api in kinds.OWNED),
    Permission("core.spinkube.dev", "spinappexecutors", _WATCH),
    Permission("apps", "deployments", ("get", "list", "patch", "watch")),
    Permission("apps", "deployments/scale", ("patch",)),
    Permission("", "pods", ("list",)),
    Permission("", "secrets", _WATCH),
    # It never changes or deletes a Secret it created: the cluster deletes it together with the app.
    Permission("", "secrets", ("create",), where="secrets"),
    # It never changes an existing executor.
    Permission("core.spinkube.dev", "spinappexecutors", ("create",), where="executors"),
    # Events tell why a pod does not become ready, and what happens to an app.
    Permission("events.k8s.io", "events", ("create", "list")),
    Permission("", "pods/log", ("get",), where="logs"),
    Permission("coordination.k8s.io", "leases", ("create", "get", "update"), where="own"),
    # With these kopf notices the API of an optional kind that is installed while the operator runs.
    Permission("apiextensions.k8s.io", "customresourcedefinitions", ("list", "watch"), where="cluster"),
    Permission("", "namespaces", ("list", "watch"), where="cluster"),
)
