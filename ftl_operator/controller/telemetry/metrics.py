"""Every metric of the operator, declared in one place.

Labels are bounded: stages, reasons and conditions are enumerations, and registries are the entries of the
operator's allow-list. No label names an app, because a thousand apps would make thousands of series. The
apps' states are counted by condition; `kubectl get ftlapps` names the apps.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ftl_operator.hosts import DEFAULT_PORTS, HostError, parse_authority, parse_pattern

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""The metrics of `/metrics`. Not the global registry, so that importing a library cannot add to it."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

BUILD = Gauge(
    "ftl_operator_build_info", "Always 1; the labels say what runs.", ["version"], registry=REGISTRY
)
RECONCILES = Counter(
    "ftl_operator_reconciles_total",
    "Finished reconciles, by result: done, unchanged, waiting (for a slot or an inspection), retry, stalled.",
    ["result"],
    registry=REGISTRY,
)
RECONCILE_SECONDS = Histogram(
    "ftl_operator_reconcile_seconds",
    "Duration of a reconcile.",
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
STAGE_SECONDS = Histogram(
    "ftl_operator_stage_seconds",
    "Duration of one stage of the pipeline.",
    ["stage"],
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ERRORS = Counter(
    "ftl_operator_errors_total", "Failed stages, by stage and reason.", ["stage", "reason"], registry=REGISTRY
)
REGISTRY_REQUESTS = Counter(
    "ftl_operator_registry_requests_total",
    "Operations on registries (by the entry of allowedRegistries that allows one, else other), by their kind "
    "and by outcome: Succeeded or a reason.",
    ["registry", "operation", "outcome"],
    registry=REGISTRY,
)
REGISTRY_BYTES = Counter(
    "ftl_operator_registry_bytes_total",
    "Bytes of blobs, by direction: download or upload.",
    ["registry", "direction"],
    registry=REGISTRY,
)
CLUSTER_WRITES = Counter(
    "ftl_operator_cluster_writes_total",
    "Writes to the cluster, Leases not counted, by verb and kind.",
    ["verb", "kind"],
    registry=REGISTRY,
)
QUEUE = Gauge("ftl_operator_queue_ready", "Apps that wait for a worker.", registry=REGISTRY)
WORKERS = Gauge("ftl_operator_workers", "Workers that reconcile at most at once.", registry=REGISTRY)
WORKERS_BUSY = Gauge("ftl_operator_workers_busy", "Workers that reconcile now.", registry=REGISTRY)
INSPECTIONS = Gauge(
    "ftl_operator_inspections", "Components being inspected or waiting for it.", registry=REGISTRY
)
LEADER = Gauge(
    "ftl_operator_leader", "1 while this replica is the leader, 0 while it is a standby.", registry=REGISTRY
)
LAST_EVENT = Gauge(
    "ftl_operator_last_event_timestamp_seconds",
    "When a watch last heard anything, Unix time.",
    registry=REGISTRY,
)
LAST_SUCCESS = Gauge(
    "ftl_operator_last_success_timestamp_seconds",
    "When a reconcile last succeeded, Unix time.",
    registry=REGISTRY,
)
ROLLBACKS = Counter(
    "ftl_operator_rollbacks_total", "Rollouts that missed their deadline and went back.", registry=REGISTRY
)


States = Callable[[], Iterable[tuple[Iterable[tuple[str, str, str]], int]]]
"""Gives each app's conditions (type, status, reason) and its number of tools."""


class _Apps(Collector):
    """Counts apps at each scrape; counters that are kept up to date would drift."""

    def __init__(self) -> None:
        self.states: States = list

    def collect(self) -> Iterator[Metric]:
        conditions: Counts[tuple[str, str, str]] = Counts()
        apps = tools = 0
        for held, count in self.states():
            apps += 1
            tools += count
            conditions.update(held)
        yield GaugeMetricFamily("ftl_operator_apps", "FtlApps that the operator sees.", value=apps)
        yield GaugeMetricFamily("ftl_operator_tools", "Tools that all FtlApps list together.", value=tools)
        family = GaugeMetricFamily(
            "ftl_operator_app_conditions",
            "FtlApps by condition, its status and its reason.",
            labels=["condition", "status", "reason"],
        )
        for labels, number in sorted(conditions.items()):
            family.add_metric(labels, number)
        yield family


_APPS = _Apps()
REGISTRY.register(_APPS)


def count_apps(states: States) -> None:
    """Set the source of the apps to count."""
    _APPS.states = states


OTHER_REGISTRIES = "other"
"""The label of registries that only the entry `*` allows: apps may name any number of them."""


def registry_observer(allowed: Sequence[str]) -> Callable[[str, str, str, int], None]:
    """Make a function that counts operations on registries.

    Args:
        allowed: Entries of an allow-list of hosts. Each is one value of the label `registry`.

    Returns:
        A function of a registry, an operation, its outcome, and the number of bytes transferred.
    """
    patterns = [(text, parse_pattern(text)) for text in allowed if text != "*"]

    def label(registry: str) -> str:
        try:
            authority = parse_authority(registry)
        except HostError:
            return OTHER_REGISTRIES
        port = authority.port or DEFAULT_PORTS["https"]
        fitting = (text for text, pattern in patterns if pattern.matches(authority.host, port))
        return next(fitting, OTHER_REGISTRIES)

    def observe(registry: str, operation: str, outcome: str, size: int) -> None:
        name = label(registry)
        REGISTRY_REQUESTS.labels(name, operation, outcome).inc()
        if size:
            direction = "upload" if operation in ("upload", "publish") else "download"
            REGISTRY_BYTES.labels(name, direction).inc(size)

    return observe
