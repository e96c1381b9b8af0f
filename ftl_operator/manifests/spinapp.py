"""The SpinApp of an FtlApp. Pure.

SpinKube's rules (its webhooks, v0.6): the executor is always set; replicas are unset exactly when
`enableAutoscaling` is true, at least 1 otherwise; `checks.*.httpGet` needs the list `httpHeaders`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import SecretVariable
from ftl_operator.api.fields import Part, ValueSource
from ftl_operator.api.names import (
    APP_UID,
    GATEWAY_SECRET_SUFFIX,
    INPUTS_ANNOTATION,
    PROBE_ONCE_HEADER,
    PROBE_WORD,
    PROBE_WORD_KEY,
    SEALING_KEY,
    SEALING_KEY_KEY,
    SOURCES_ANNOTATION,
    SPEC_ANNOTATION,
    SUSPENDED_ANNOTATION,
    Owner,
)
from ftl_operator.api.runtime import Probe, Volume
from ftl_operator.manifests.metadata import manifest
from ftl_operator.oci.reference import Reference
from ftl_operator.settings import Settings

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """A published application to run.

    Args:
        image: The image, by digest.
        inputs: The digest of everything that the image was made from.
        sources: The digest of the Secrets and ConfigMaps that its pods read; empty if they read none.
        issuer_urls: URLs that the gateway and the login connect to.
    """

    image: Reference
    inputs: str = ""
    sources: str = ""
    issuer_urls: tuple[str, ...] = ()


def spin_app(app: FtlApp, release: Release, settings: Settings) -> Manifest:
    """Make the SpinApp, from which spin-operator makes the Deployment and the Service."""
    owner, runtime = owner_of_app(app), app.spec.runtime
    spec: dict[str, Any] = {
        "executor": runtime.executor,
        "image": str(settings.as_pulled(release.image)),
        "checks": {
            # A short period, because the first probe may come while the node still compiles the app.
            # Until all tools have answered once, the gateway calls every tool: a version with a broken tool
            # never replaces a good one. Afterwards one silent tool does not take the others out of service.
            "readiness": _check("/readyz", runtime.checks.readiness, {PROBE_ONCE_HEADER: "true"}, (1, 5)),
            "liveness": _check("/healthz", runtime.checks.liveness, {}, (10, 10)),
        },
        "variables": _variables(app, settings),
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
    spec["deploymentAnnotations"] = {**runtime.deployment_annotations, SPEC_ANNOTATION: _digest(spec)}
    annotations = {INPUTS_ANNOTATION: release.inputs} if release.inputs else {}
    if app.spec.suspend:
        annotations[SUSPENDED_ANNOTATION] = "true"
    return manifest(kinds.SPIN_APP, owner, {"spec": spec}, annotations=annotations)


@dataclass(frozen=True, slots=True)
class PodSource:
    """A Secret or ConfigMap, or one key in it, that pods read when they start.

    Args:
        kind: `Secret` or `ConfigMap`.
        name: Its name.
        key: The key; empty for all keys.
        field: The field of the spec that names it.
    """

    kind: str
    name: str
    key: str
    field: str


def pod_sources(app: FtlApp, settings: Settings) -> Iterator[PodSource]:
    """What pods read only when they start: a change needs new pods. Volumes are not among them."""
    secret = gateway_secret(app, settings)
    if secret is not None:
        for key in (SEALING_KEY_KEY, PROBE_WORD_KEY):
            yield PodSource("Secret", secret, key, "spec.gateway.secretRef")
    for item in _secret_variables(app):
        yield PodSource("Secret", item.key.name, item.key.key, item.field)
    for index, tool in enumerate(app.spec.tools):
        for position, variable in enumerate(tool.variables):
            field = f"spec.tools[{index}].variables[{position}].valueFrom"
            yield from _value_source(variable.value_from, field)
    config = app.spec.runtime.runtime_config
    if config.load_from_secret is not None:
        field = "spec.runtime.runtimeConfig.loadFromSecret"
        yield PodSource("Secret", config.load_from_secret, "runtime-config.toml", field)
    groups = [(store.options, "keyValueStores") for store in config.key_value_stores]
    groups += [(database.options, "sqliteDatabases") for database in config.sqlite_databases]
    groups += [(config.llm_compute.options, "llmCompute")] if config.llm_compute is not None else []
    for options, field in groups:
        for option in options:
            yield from _value_source(option.value_from, f"spec.runtime.runtimeConfig.{field}")


def _value_source(source: ValueSource | None, field: str) -> Iterator[PodSource]:
    if source is None:
        return
    if source.secret_key_ref is not None:
        yield PodSource("Secret", source.secret_key_ref.name, source.secret_key_ref.key, field)
    if source.config_map_key_ref is not None:
        yield PodSource("ConfigMap", source.config_map_key_ref.name, source.config_map_key_ref.key, field)


def owner_of_app(app: FtlApp) -> Owner:
    """The app as the owner of its objects."""
    return Owner(app.metadata.namespace, app.metadata.name, app.metadata.uid)


def gateway_secret(app: FtlApp, settings: Settings) -> str | None:
    """The name of the Secret with the gateway's sealing key and probe word; None if the app has none."""
    if app.spec.gateway.secret_ref is not None:
        return app.spec.gateway.secret_ref.name
    return f"{app.metadata.name}{GATEWAY_SECRET_SUFFIX}" if settings.gateway_secrets else None


def application_variable(tool: str, variable: str) -> str:
    """The name of a tool's variable in the application: `TOOL_VARIABLE` in snake case."""
    return f"{tool.replace('-', '_')}_{variable}"


def _digest(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _variables(app: FtlApp, settings: Settings) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = []
    for tool in app.spec.tools:
        for variable in tool.variables:
            if variable.value_from is not None:
                name = application_variable(tool.name, variable.name)
                variables.append({"name": name, "valueFrom": _plain(variable.value_from)})
    if app.metadata.uid:
        variables.append({"name": APP_UID, "value": app.metadata.uid})
    secret = gateway_secret(app, settings)
    if secret is not None:
        variables += [_from_secret(SEALING_KEY, secret, SEALING_KEY_KEY)]
        variables += [_from_secret(PROBE_WORD, secret, PROBE_WORD_KEY)]
    variables += [_from_secret(item.name, item.key.name, item.key.key) for item in _secret_variables(app)]
    return variables


def _secret_variables(app: FtlApp) -> Iterator[SecretVariable]:
    if app.spec.auth is not None:
        yield from app.spec.auth.secret_variables(app.metadata.name)


def _from_secret(variable: str, name: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _pull_secrets(app: FtlApp, settings: Settings) -> list[dict[str, str]]:
    names = [secret.name for secret in app.spec.image_pull_secrets]
    if app.spec.publish.secret_ref is not None:
        names.append(app.spec.publish.secret_ref.name)
    names += settings.publish_pull_secrets
    return [{"name": name} for name in dict.fromkeys(names)]


def _check(path: str, probe: Probe, headers: dict[str, str], times: tuple[int, int]) -> dict[str, Any]:
    initial_delay, period = times
    # Written out, because the defaults that spin-operator's CRD adds would count as drift.
    return {
        "httpGet": {
            "path": path,
            "httpHeaders": [{"name": name, "value": value} for name, value in headers.items()],
        },
        "initialDelaySeconds": initial_delay
        if probe.initial_delay_seconds is None
        else probe.initial_delay_seconds,
        "timeoutSeconds": probe.timeout_seconds or 5,
        "periodSeconds": probe.period_seconds or period,
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
    """Convert a part of the spec to a SpinApp's fields: names are the same, and unset fields are omitted."""
    dumped: dict[str, Any] = part.model_dump(
        by_alias=True, mode="json", exclude_none=True, exclude_defaults=True
    )
    return dumped
