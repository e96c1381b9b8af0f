"""`python -m ftl_operator`: put the parts together and run the operator."""

import argparse
import base64
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from ftl_operator import __version__
from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import Kube
from ftl_operator.cluster.leader_election import LeaderElection
from ftl_operator.component.inspector import Inspector, version_of
from ftl_operator.controller.applier import Applier
from ftl_operator.controller.circuit_breaker import CircuitBreakers
from ftl_operator.controller.executors import Executors
from ftl_operator.controller.gateway_secrets import GatewaySecrets
from ftl_operator.controller.inspection_pool import InspectionPool, Job
from ftl_operator.controller.login_secrets import LoginSecrets
from ftl_operator.controller.observer import Observer
from ftl_operator.controller.operator import Operator
from ftl_operator.controller.probe import Probe
from ftl_operator.controller.pull_secrets import OperatorCredentials
from ftl_operator.controller.reconciler import Reconciler, Steps
from ftl_operator.controller.releaser import Dependencies, ReleasePlanner
from ftl_operator.controller.status.writer import StatusWriter
from ftl_operator.controller.telemetry import logs, metrics
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import ClusterError, FtlError, Reason
from ftl_operator.host.limits import SandboxLimits
from ftl_operator.host.sandbox.memory import memory_limit, shortage
from ftl_operator.host.sandbox.parent import check_policy, inspect_component
from ftl_operator.hosts import HostPatterns
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.preflight import CheckPolicy, Preflight
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer
from ftl_operator.oci.digest import sha256
from ftl_operator.registry.client import Registry
from ftl_operator.registry.http import RegistrySettings
from ftl_operator.settings import Settings

GATEWAY = Path(__file__).parent / "gateway.wasm"
LOGIN = Path(__file__).parent / "login.wasm"

_log = logging.getLogger("ftl_operator")


def main(arguments: list[str] | None = None) -> int:
    """Run the operator until a signal ends it. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ftl_operator",
        description="Runs the FtlApp operator. Its settings are environment variables FTL_*.",
    )
    parser.add_argument("--version", action="version", version=f"ftl-operator {__version__}")
    parser.add_argument("--kubeconfig", type=Path, help="default: the pod's ServiceAccount, then $KUBECONFIG")
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="serve only this namespace; may be repeated (default: FTL_NAMESPACES, else all)",
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ)
        if options.namespace:
            settings = settings.model_copy(update={"namespaces": tuple(options.namespace)})
        logs.start(settings.log_level, settings.log_format)
        if text := shortage(memory_limit(), settings.inspectors, sandbox_limits(settings)):
            _log.warning(text)
        operator = build(settings, options.kubeconfig)
    except FtlError as error:
        print(f"ftl-operator: {error}", file=sys.stderr)
        return 2
    operator.run(options.kubeconfig)
    return 0


def build(settings: Settings, kubeconfig: Path | None) -> Operator:
    """Put an operator together.

    Raises:
        FtlError: The cluster's configuration, the credentials or the gateway component cannot be read.
    """
    metrics.BUILD.labels(__version__).set(1)
    if not settings.identity:
        identity = f"{socket.gethostname()}-{os.getpid()}"
        settings = settings.model_copy(update={"identity": identity})
    kube = Kube.connect(kubeconfig, connections=2 * settings.workers + 8)
    election = None
    if settings.leader_election:
        election = LeaderElection(kube, settings.operator_namespace, settings.lease_name, settings.identity)
        kube.write_gate.allowed = election.is_leader
    cache, queue = Cache(), WorkQueue(workers=settings.workers)
    inspections = InspectionPool(queue.add, settings.inspectors)
    breakers = CircuitBreakers(min(settings.registry_connections, max(1, settings.workers // 2)))
    steps = Steps(
        ReleasePlanner(
            settings, cache, dependencies(settings, kube, cache, inspections), inspections, breakers
        ),
        Applier(settings, kube, cache),
        Observer(settings, kube, cache, Probe(settings.probe_timeout_seconds)),
        StatusWriter(kube, cache, settings.identity),
    )
    reconciler = Reconciler(settings, cache, queue, steps)
    return Operator(settings, kube, cache, queue, reconciler, election)


ISSUER_DOCUMENTS = "application/json, application/jwk-set+json"
"""The media types of the API server's issuer metadata and keys; it serves each under its own type only."""


def dependencies(settings: Settings, kube: Kube, cache: Cache, inspections: InspectionPool) -> Dependencies:
    """Make what the release planner needs from outside the process."""
    registry = Registry(
        RegistrySettings(
            cache_dir=settings.cache_folder / "blobs",
            cache_bytes=settings.cache_max_bytes,
            allowed=settings.allowed_registries,
            plain_http=settings.plain_http_registries,
            ca_file=settings.ca_bundle,
            connections=settings.registry_connections,
            redirects=settings.registry_redirects,
            own=settings.own_registries,
            connect_seconds=min(5.0, settings.registry_timeout_seconds),
            exchange_seconds=settings.registry_timeout_seconds,
            # The work queue retries later, without blocking a worker.
            attempts=2,
            max_blob_bytes=settings.max_component_bytes,
            observe=metrics.registry_observer((*settings.own_registries, *settings.allowed_registries)),
        )
    )
    layer = own_layer(settings.gateway_file or GATEWAY, settings.cache_folder)

    def check(_: NamespacedName, request: bytes) -> bytes:
        limits = sandbox_limits(settings)
        return check_policy(layer.path or GATEWAY, request, limits, settings.compiled_folder)

    preflight = Preflight(
        IssuerSettings(
            allowed=HostPatterns.parse(settings.allowed_issuers),
            plain_http=HostPatterns.parse(settings.plain_http_issuers),
            ca_file=settings.ca_bundle,
        ),
        policy_checks(check, inspections),
        cluster=lambda path: kube.request("GET", path, accept=ISSUER_DOCUMENTS),
        askers=max(1, settings.workers // 2),
    )
    return Dependencies(
        read=kube.get,
        registry=registry,
        operator=OperatorCredentials(settings.docker_config),
        inspector=inspector_of(settings, layer.path or GATEWAY),
        write_gate=kube.write_gate,
        authorize=lambda app: preflight.authorize(
            app, key_reader(kube, app, kinds.CONFIG_MAP), key_reader(kube, app, kinds.SECRET)
        ),
        gateway=layer,
        login=own_layer(LOGIN, settings.cache_folder),
        ensure_executor=Executors(settings, kube, cache).ensure,
        make_secrets=secret_maker(settings, kube, cache),
    )


def secret_maker(settings: Settings, kube: Kube, cache: Cache) -> Callable[[FtlApp], None]:
    """Make the function that creates missing Secrets of an app's gateway and login."""
    gateway, login = GatewaySecrets(settings, kube, cache), LoginSecrets(settings, kube, cache)

    def make(app: FtlApp) -> None:
        gateway.ensure(app)
        login.ensure(app)

    return make


def sandbox_limits(settings: Settings) -> SandboxLimits:
    """The limits of a sandboxed child that inspects a component or checks a policy."""
    return SandboxLimits.of(settings.inspect_memory_bytes, settings.inspect_timeout_seconds)


def inspector_of(settings: Settings, gateway: Path) -> Inspector:
    """Make the inspector, which runs in the sandbox. The inspection pool limits how many run at once."""
    limits = sandbox_limits(settings)
    return Inspector(
        settings.cache_folder,
        lambda wasm, catalog: inspect_component(
            wasm, gateway, limits, settings.compiled_folder, catalog=catalog
        ),
        version_of(gateway, limits.memory, limits.call_time),
    )


def policy_checks(check: CheckPolicy, inspections: InspectionPool) -> CheckPolicy:
    """Run policy checks in the inspection pool, each within its namespace's share."""

    def run(key: NamespacedName, request: bytes) -> bytes:
        subject = ("policy", sha256(request))
        return inspections.run(Job(key, subject, "the policy is being checked", lambda: check(key, request)))

    return run


def key_reader(kube: Kube, app: FtlApp, api: kinds.Api) -> Callable[[str, str], str]:
    """Make a reader of ConfigMaps or Secrets in an app's namespace, for the auth stage."""

    def read(name: str, key: str) -> str:
        found = kube.get(api, app.metadata.namespace, name) or {}
        value = (found.get("data") or {}).get(key)
        if value is None:
            raise ClusterError(
                f"there is no {api.kind} {name!r} with the key {key!r} in the namespace",
                reason=Reason.SOURCE_NOT_FOUND,
                field="" if api == kinds.SECRET else "spec.auth",
            )
        if api != kinds.SECRET:
            return str(value)
        try:
            return base64.b64decode(str(value), validate=True).decode()
        except ValueError:
            # Not a text; what reads it says what it should be.
            return ""

    return read


def own_layer(path: Path, cache: Path) -> Layer:
    """Make a layer of a prebuilt component. It is copied, because the file may be replaced meanwhile.

    Raises:
        ClusterError: The file cannot be read, or the cache not written.
    """
    try:
        content = path.read_bytes()
        digest = sha256(content)
        kept = cache / "gateway" / f"{digest.removeprefix('sha256:')}.wasm"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_bytes(content)
            new.replace(kept)
    except OSError as error:
        raise ClusterError(f"the component {path} cannot be read or kept: {error}") from error
    return Layer(Descriptor(WASM_LAYER, digest, len(content)), path=kept)


if __name__ == "__main__":
    raise SystemExit(main())
