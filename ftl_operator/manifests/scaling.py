"""Autoscalers of an app, and its PodDisruptionBudget. Pure.

Autoscalers act on the Deployment, because a SpinApp has no scale subresource (spin-operator, "Scaling Your
App").
"""

from collections.abc import Sequence
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.names import Owner
from ftl_operator.api.runtime import Autoscaling
from ftl_operator.manifests.metadata import manifest

Manifest = dict[str, Any]

SERVICE_PORT = 80
"""The port of the Service that spin-operator makes."""
WAIT_SECONDS = 60
"""How long the interceptor holds a request until a pod is ready; MCP clients wait as long."""
SPARE_SECONDS = 5
"""How much longer than the longest call proxies wait, so that the gateway ends a call first."""


def horizontal_pod_autoscaler(owner: Owner, scaling: Autoscaling) -> Manifest:
    """Make Kubernetes' autoscaler, by CPU and memory."""
    return manifest(
        kinds.HORIZONTAL_POD_AUTOSCALER,
        owner,
        {
            "spec": {
                "scaleTargetRef": _target(owner),
                "minReplicas": scaling.min_replicas,
                "maxReplicas": scaling.max_replicas,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": name,
                            "target": {"type": "Utilization", "averageUtilization": percent},
                        },
                    }
                    for name, percent in _resources(scaling)
                ],
                "behavior": {
                    "scaleDown": {"stabilizationWindowSeconds": min(scaling.cooldown_seconds, 3600)}
                },
            }
        },
    )


def scaled_object(owner: Owner, scaling: Autoscaling) -> Manifest:
    """Make KEDA's autoscaler, by CPU, memory and any of its triggers."""
    triggers: list[dict[str, Any]] = [
        {"type": name, "metricType": "Utilization", "metadata": {"value": str(percent)}}
        for name, percent in _resources(scaling)
    ]
    for trigger in scaling.triggers:
        made: dict[str, Any] = {"type": trigger.type, "metadata": dict(trigger.metadata)}
        if trigger.name:
            made["name"] = trigger.name
        if trigger.authentication_ref:
            made["authenticationRef"] = {"name": trigger.authentication_ref}
        triggers.append(made)
    spec = _scaled(owner, scaling, triggers)
    return manifest(kinds.SCALED_OBJECT, owner, {"spec": spec})


def http_scaled_object(
    owner: Owner, scaling: Autoscaling, hosts: Sequence[str], call_seconds: int
) -> Manifest:
    """Make the HTTP add-on's autoscaler: the interceptor counts requests, and holds the first for a pod.

    Args:
        owner: The app.
        scaling: How it is scaled.
        hosts: Values of the `Host` header, without ports, by which the interceptor recognises requests.
        call_seconds: How long the app's longest call may take. The add-on's defaults (up to version 0.13) are
            20 seconds until a pod is ready and half a second for an answer.
    """
    return manifest(
        kinds.HTTP_SCALED_OBJECT,
        owner,
        {
            "spec": {
                "hosts": list(hosts),
                "scaleTargetRef": {**_target(owner), "service": owner.name, "port": SERVICE_PORT},
                "replicas": {"min": scaling.min_replicas, "max": scaling.max_replicas},
                "scaledownPeriod": scaling.cooldown_seconds,
                "scalingMetric": _requests(scaling),
                "timeouts": {
                    "conditionWait": f"{WAIT_SECONDS}s",
                    "responseHeader": f"{call_seconds + SPARE_SECONDS}s",
                },
            }
        },
    )


def interceptor_route(
    owner: Owner, scaling: Autoscaling, hosts: Sequence[str], call_seconds: int
) -> Manifest:
    """Make the object that tells the add-on's interceptor (0.14 and later) how to route and count requests.

    Args:
        owner: The app.
        scaling: How it is scaled.
        hosts: Values of the `Host` header, without ports, by which the interceptor recognises requests.
        call_seconds: How long the app's longest call may take.
    """
    return manifest(
        kinds.INTERCEPTOR_ROUTE,
        owner,
        {
            "spec": {
                "target": {"service": owner.name, "port": SERVICE_PORT},
                "rules": [{"hosts": list(hosts)}],
                "scalingMetric": _requests(scaling),
                "timeouts": {
                    "readiness": f"{WAIT_SECONDS}s",
                    "responseHeader": f"{call_seconds + SPARE_SECONDS}s",
                },
            }
        },
    )


def intercepted_scaled_object(owner: Owner, scaling: Autoscaling, scaler: str) -> Manifest:
    """Make KEDA's autoscaler for the requests that an `interceptor_route` counts.

    Args:
        owner: The app.
        scaling: How it is scaled.
        scaler: Host and port of the add-on's external scaler.
    """
    trigger = {
        "type": "external-push",
        "metadata": {"scalerAddress": scaler, "interceptorRoute": owner.name},
    }
    return manifest(kinds.SCALED_OBJECT, owner, {"spec": _scaled(owner, scaling, [trigger])})


def pod_disruption_budget(owner: Owner) -> Manifest:
    """Make the budget by which maintenance of nodes evicts one pod at a time."""
    return manifest(
        kinds.POD_DISRUPTION_BUDGET,
        owner,
        {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": owner.pod_selector}}},
    )


def _scaled(owner: Owner, scaling: Autoscaling, triggers: list[dict[str, Any]]) -> dict[str, Any]:
    """The spec of a ScaledObject."""
    spec: dict[str, Any] = {
        "scaleTargetRef": _target(owner),
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "cooldownPeriod": scaling.cooldown_seconds,
        "triggers": triggers,
    }
    if scaling.polling_interval_seconds:
        spec["pollingInterval"] = scaling.polling_interval_seconds
    return spec


def _requests(scaling: Autoscaling) -> dict[str, Any]:
    """The add-on's metric: requests per second, or concurrent requests."""
    if scaling.request_rate:
        return {"requestRate": {"targetValue": scaling.request_rate, "granularity": "1s", "window": "1m"}}
    return {"concurrency": {"targetValue": scaling.concurrency or 100}}


def _target(owner: Owner) -> dict[str, str]:
    # spin-operator's Deployment has the SpinApp's name.
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name}


def _resources(scaling: Autoscaling) -> list[tuple[str, int]]:
    named = (("cpu", scaling.cpu), ("memory", scaling.memory))
    return [(name, percent) for name, percent in named if percent is not None]
