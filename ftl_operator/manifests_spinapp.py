"""The SpinApp of an FtlApp. Pure.

SpinKube's rules (its webhooks, v0.6): the executor is always set; replicas are unset exactly when
`enableAutoscaling` is true, at least 1 otherwise; `checks.*.httpGet` needs the list `httpHeaders`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from ftl_operator import apis
from ftl_operator.model import FtlApp
from ftl_operator.model_fields import Part
from ftl_operator.model_runtime import Probe, Volume
from ftl_operator.ownership import Owner, manifest
from ftl_operator.refs import Reference
from ftl_operator.settings import Settings

Manifest = dict[str, Any]

INPUTS_ANNOTATION = "ftl.tools/inputs"
"""On the SpinApp: the digest of everything its image was made from, so that a restart knows that nothing
changed.
"""
SOURCES_ANNOTATION = "ftl.tools/sources"
"""On the pods: a hash of the Secrets and ConfigMaps they read, so that a change of one rolls them."""
SUSPENDED_ANNOTATION = "ftl.tools/suspended"
"""On the SpinApp: pods were taken away by `spec.suspend`, so resuming must bring them back."""
PROBE_VARIABLE = "gateway_probe_token"
"""The application variable by which the gateway knows the operator's deep probe."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is to run.

    Args:
        image: The published application, by digest.
        inputs: Digest of everything that it was made from.
        sources: Hash of the Secrets and ConfigMaps its pods read; empty if they read none.
        issuer_urls: URLs that the gateway itself connects to.
    """

    image: Reference
    inputs: str = ""
    sources: str = ""
    issuer_urls: tuple[str, ...] = ()


def spin_app(app: FtlApp, release: Release, settings: Settings) -> Manifest:
    """The SpinApp: spin-operator makes the Deployment and the Service of it."""
    owner, runtime = owner_of_app(app), app.spec.runtime
    spec: dict[str, Any] = {
        "executor": runtime.executor,
        "image": str(release.image),
        "checks": {
            "readiness": _check("/readyz", runtime.checks.readiness, initial_delay=1),
            "liveness": _check("/healthz", runtime.checks.liveness, initial_delay=10),
        },
        "variables": _variables(app),
    }
    if app.spec.suspend or runtime.autoscaling is not None:
        spec["enableAutoscaling"] = True
    else:
        spec |= {"enableAutoscaling": False, "replicas": runtime.replicas or 1}
    pod_annotations = dict(runtime.pod_annotations)
    if release.sources:
        pod_annotations[SOURCES_ANNOTATION] = release.sources
    optional: dict[str, Any] = {
        "imagePullSecrets": _pull_secrets(app, settings),
        "resources": _plain(runtime.resources),
        "runtimeConfig": _plain(runtime.runtime_config),
        "volumes": [_volume(volume) for volume in runtime.volumes],
        "volumeMounts": [_plain(mount) for mount in runtime.volume_mounts],
        "serviceAccountName": runtime.service_account_name,
        "podLabels": {**owner.labels, **runtime.pod_labels},
        "podAnnotations": pod_annotations,
        "serviceAnnotations": dict(runtime.service_annotations),
        "deploymentAnnotations": dict(runtime.deployment_annotations),
        "invocationLimits": dict(runtime.invocation_limits),
    }
    spec |= {name: value for name, value in optional.items() if value}
    annotations = {INPUTS_ANNOTATION: release.inputs} if release.inputs else {}
    if app.spec.suspend:
        annotations[SUSPENDED_ANNOTATION] = "true"
    return manifest(apis.SPIN_APP, owner, {"spec": spec}, annotations=annotations)


def owner_of_app(app: FtlApp) -> Owner:
    """The app as its objects refer to it."""
    return Owner(app.metadata.namespace, app.metadata.name, app.metadata.uid)


def probe_token(uid: str) -> str:
    """What the operator proves itself with when it asks a running app for its tools.

    It keeps strangers from making the gateway wake every tool; it protects no data. So it is derived from the
    FtlApp's uid, and every replica of the operator knows it after a restart.
    """
    return hashlib.sha256(f"ftl.tools/probe {uid}".encode()).hexdigest()[:32]


def application_variable(tool: str, variable: str) -> str:
    """The application's name for a tool's variable: `TOOL_VARIABLE` in snake case."""
    return f"{tool.replace('-', '_')}_{variable}"


def _variables(app: FtlApp) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = []
    for tool in app.spec.tools:
        for variable in tool.variables:
            if variable.value_from is not None:
                name = application_variable(tool.name, variable.name)
                variables.append({"name": name, "valueFrom": _plain(variable.value_from)})
    return [*variables, {"name": PROBE_VARIABLE, "value": probe_token(app.metadata.uid)}]


def _pull_secrets(app: FtlApp, settings: Settings) -> list[dict[str, str]]:
    names = [secret.name for secret in app.spec.image_pull_secrets]
    if app.spec.publish.secret_ref is not None:
        names.append(app.spec.publish.secret_ref.name)
    names += settings.publish_pull_secrets
    return [{"name": name} for name in dict.fromkeys(names)]


def _check(path: str, probe: Probe, *, initial_delay: int) -> dict[str, Any]:
    # spin-operator's CRD would fill in its own defaults; written out, they are no drift.
    return {
        "httpGet": {"path": path, "httpHeaders": []},
        "initialDelaySeconds": initial_delay
        if probe.initial_delay_seconds is None
        else probe.initial_delay_seconds,
        "timeoutSeconds": probe.timeout_seconds or 5,
        "periodSeconds": probe.period_seconds or 10,
        "successThreshold": probe.success_threshold or 1,
        "failureThreshold": probe.failure_threshold or 3,
    }


def _volume(volume: Volume) -> dict[str, Any]:
    made: dict[str, Any] = {"name": volume.name}
    if volume.empty_dir is not None:
        made["emptyDir"] = _plain(volume.empty_dir)
    if volume.config_map is not None:
        made["configMap"] = {"name": volume.config_map.name}
    if volume.secret is not None:
        made["secret"] = {"secretName": volume.secret.name}
    if volume.persistent_volume_claim is not None:
        claim = volume.persistent_volume_claim
        made["persistentVolumeClaim"] = {"claimName": claim.name, "readOnly": claim.read_only}
    return made


def _plain(part: Part) -> dict[str, Any]:
    """A part of the spec as SpinApp has it: the names are the same, what was not written is left out."""
    dumped: dict[str, Any] = part.model_dump(
        by_alias=True, mode="json", exclude_none=True, exclude_defaults=True
    )
    return dumped
