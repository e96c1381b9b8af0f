"""How an app's pods run: `spec.runtime`.

Where SpinKube's SpinApp has a field, it has the same name here.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from ftl_operator.api.fields import (
    DNS_LABEL,
    DNS_NAME,
    Annotations,
    Keyed,
    Label,
    Labels,
    ObjectName,
    OwnAnnotations,
    OwnLabels,
    Part,
    Quantity,
    Value,
)
from ftl_operator.api.scheduling import (
    Affinity,
    PodSecurityContext,
    SecurityContext,
    Toleration,
    TopologySpreadConstraint,
)

Seconds = Annotated[int, Field(ge=1, le=3600)]
ResourceList = Annotated[dict[Annotated[str, Field(max_length=63)], Quantity], Field(max_length=16)]


class Scaler(StrEnum):
    """What changes the number of pods."""

    HPA = "hpa"
    """Kubernetes' HorizontalPodAutoscaler, by CPU and memory."""
    KEDA = "keda"
    """A KEDA ScaledObject, by CPU, memory and other triggers."""
    KEDA_HTTP = "keda-http"
    """KEDA's HTTP add-on, by requests, down to no pod at all and back."""


class Trigger(Part):
    """A trigger of KEDA's, as its documentation describes them."""

    type: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9-]+$")]
    """The kind of trigger, for example `prometheus` or `cron`."""
    name: Annotated[str | None, Field(min_length=1, max_length=63)] = None
    """A name for the trigger, unique among them."""
    metadata: Annotations = Field(default_factory=dict)
    """The trigger's settings."""
    authentication_ref: Annotated[str | None, Field(max_length=253, pattern=DNS_NAME)] = None
    """The name of a TriggerAuthentication in the app's namespace."""


class Autoscaling(Part):
    """Between which numbers of pods, and by what, the app is scaled."""

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """The fewest pods. 0 needs KEDA."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """The most pods."""
    scaler: Scaler = Scaler.HPA
    """What changes the number of pods."""
    cpu: Annotated[int | None, Field(ge=1, le=1000)] = None
    """The wanted use of the requested CPU, in percent."""
    memory: Annotated[int | None, Field(ge=1, le=1000)] = None
    """The wanted use of the requested memory, in percent."""
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=8)] = ()
    """Further triggers, for the scaler `keda`."""
    concurrency: Annotated[int | None, Field(ge=1, le=100000)] = None
    """Wanted requests at once per pod, for the scaler `keda-http`."""
    request_rate: Annotated[int | None, Field(ge=1, le=1000000)] = None
    """Wanted requests per second and pod, for the scaler `keda-http`."""
    cooldown_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """How long load must stay low before pods are removed, in seconds."""
    polling_interval_seconds: Annotated[int | None, Field(ge=1, le=3600)] = None
    """How often KEDA looks at its triggers, in seconds."""

    @model_validator(mode="after")
    def _fits_the_scaler(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("minReplicas is greater than maxReplicas")
        if self.scaler is Scaler.HPA and self.min_replicas == 0:
            raise ValueError("minReplicas: 0 needs scaler keda or keda-http")
        if self.triggers and self.scaler is not Scaler.KEDA:
            raise ValueError("triggers need scaler keda")
        if (self.concurrency or self.request_rate) and self.scaler is not Scaler.KEDA_HTTP:
            raise ValueError("concurrency and requestRate need scaler keda-http")
        if (self.cpu or self.memory) and self.scaler is Scaler.KEDA_HTTP:
            raise ValueError("cpu and memory need scaler hpa or keda")
        if self.scaler is not Scaler.KEDA_HTTP and not (self.cpu or self.memory or self.triggers):
            raise ValueError("say by what to scale: cpu, memory, or with scaler keda triggers")
        if self.concurrency and self.request_rate:
            raise ValueError("set at most one of concurrency, requestRate")
        return self


class Resources(Part):
    """What the pod asks for and may take."""

    limits: ResourceList = Field(default_factory=dict)
    """The most it may take, for example `{cpu: 500m, memory: 256Mi}`."""
    requests: ResourceList = Field(default_factory=dict)
    """What it asks for."""


class BackendConfig(Part):
    """The backend of a named store or database, as in Spin's runtime configuration."""

    name: Label
    """The name that tools use."""
    type: Label
    """The kind of backend, for example `redis`, `azure_cosmos`, `libsql`."""
    options: Annotated[tuple[Value, ...], Field(max_length=16), Keyed()] = ()
    """The backend's options, for example `url`."""


class ComputeConfig(Part):
    """Where AI models run."""

    type: Label
    """The kind of compute, for example `remote_http`."""
    options: Annotated[tuple[Value, ...], Field(max_length=16), Keyed()] = ()
    """Its options."""


class RuntimeConfig(Part):
    """Spin's runtime configuration: the backends of stores, databases and models."""

    load_from_secret: ObjectName | None = None
    """A Secret with a whole `runtime-config.toml`; the other fields are then ignored."""
    key_value_stores: Annotated[tuple[BackendConfig, ...], Field(max_length=16), Keyed()] = ()
    """Backends of key-value stores. Without one, each pod has a store of its own that ends with it."""
    sqlite_databases: Annotated[tuple[BackendConfig, ...], Field(max_length=16), Keyed()] = ()
    """Backends of SQLite databases."""
    llm_compute: ComputeConfig | None = None
    """Where AI models run."""


class EmptyDir(Part):
    """A folder that lives as long as the pod."""

    medium: Annotated[str | None, Field(max_length=16, pattern="^(Memory)?$")] = None
    """`Memory` for a file system in memory."""
    size_limit: Quantity | None = None
    """The most it may hold."""


class NamedVolume(Part):
    """A Secret, ConfigMap or claim as a volume."""

    name: ObjectName
    """Its name."""
    read_only: bool = False
    """Whether it may only be read (claims only; Secrets and ConfigMaps always are)."""


class Volume(Part):
    """A volume of the pod."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
    """Its name, for `volumeMounts`."""
    empty_dir: EmptyDir | None = None
    """A folder that lives as long as the pod."""
    config_map: NamedVolume | None = None
    """A ConfigMap's keys as files."""
    secret: NamedVolume | None = None
    """A Secret's keys as files."""
    persistent_volume_claim: NamedVolume | None = None
    """A PersistentVolumeClaim."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = (self.empty_dir, self.config_map, self.secret, self.persistent_volume_claim)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("set exactly one of emptyDir, configMap, secret, persistentVolumeClaim")
        return self


class VolumeMount(Part):
    """Where a volume appears in the container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The volume's name."""
    mount_path: Annotated[str, Field(min_length=2, max_length=512, pattern=r"^/[^:]+$")]
    """The path in the container."""
    sub_path: Annotated[str | None, Field(max_length=512)] = None
    """The path in the volume."""
    read_only: bool = False
    """Whether it may only be read there."""


class Probe(Part):
    """When and how often the kubelet probes. The operator sets the path."""

    initial_delay_seconds: Annotated[int | None, Field(ge=0, le=3600)] = None
    """Seconds before the first probe."""
    timeout_seconds: Seconds | None = None
    """Seconds after which no answer is a failure."""
    period_seconds: Seconds | None = None
    """Seconds between probes."""
    success_threshold: Annotated[int | None, Field(ge=1, le=100)] = None
    """Successes in a row after which a failed pod counts as healthy."""
    failure_threshold: Annotated[int | None, Field(ge=1, le=100)] = None
    """Failures in a row after which a pod counts as failed."""


class Checks(Part):
    """The pod's probes."""

    readiness: Probe = Probe()
    """Whether the pod gets requests."""
    liveness: Probe = Probe()
    """Whether the pod is restarted."""


class RuntimeSpec(Part):
    """How the app's pods run."""

    executor: ObjectName = "containerd-shim-spin"
    """The SpinAppExecutor in the app's namespace."""
    replicas: Annotated[int | None, Field(ge=1, le=1000)] = None
    """The number of pods; 1 if neither this nor `autoscaling` is set."""
    autoscaling: Autoscaling | None = None
    """Let the number of pods follow the load."""
    resources: Resources = Resources()
    """What the pod asks for and may take."""
    service_account_name: Annotated[str | None, Field(max_length=253, pattern=DNS_NAME)] = None
    """The pod's service account."""
    pod_labels: OwnLabels = Field(default_factory=dict)
    """Further labels of the pods."""
    pod_annotations: OwnAnnotations = Field(default_factory=dict)
    """Further annotations of the pods."""
    service_annotations: OwnAnnotations = Field(default_factory=dict)
    """Annotations of the Service."""
    deployment_annotations: OwnAnnotations = Field(default_factory=dict)
    """Annotations of the Deployment."""
    runtime_config: RuntimeConfig = RuntimeConfig()
    """The backends of stores, databases and models."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=16), Keyed()] = ()
    """Volumes of the pods."""
    volume_mounts: Annotated[
        tuple[VolumeMount, ...], Field(max_length=16), Keyed("mountPath", "mount_path")
    ] = ()
    """Where the volumes appear."""
    invocation_limits: Annotated[
        dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=32)]], Field(max_length=8)
    ] = Field(default_factory=dict)
    """Limits of one request, as the executor has them, for example `{memory: 64Mi}`."""
    checks: Checks = Checks()
    """When and how often the pods are probed."""
    drain_seconds: Annotated[int | None, Field(ge=0, le=3600)] = None
    """Seconds that a pod serves on after it is told to end, so that a rollout loses no request. Default: five
    more than the longest call may take (`timeoutSeconds`)."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels of the nodes on which the pods run."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the pods tolerate."""
    affinity: Affinity | None = None
    """What draws the pods to nodes and to other pods, or keeps them away."""
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=8)] = ()
    """How the pods are spread over nodes and zones."""
    priority_class_name: Annotated[str | None, Field(max_length=253, pattern=DNS_NAME)] = None
    """The pods' priority class."""
    security_context: SecurityContext | None = None
    """As whom the container runs and what it may do."""
    pod_security_context: PodSecurityContext | None = None
    """What holds for the pod and its volumes."""
    progress_deadline_seconds: Annotated[int | None, Field(ge=10, le=86400)] = None
    """Seconds that a rollout may take before it is rolled back to the last good version. Default: the
    operator's setting."""

    @property
    def is_intercepted(self) -> bool:
        """Whether requests must pass the interceptor of KEDA's HTTP add-on."""
        return self.autoscaling is not None and self.autoscaling.scaler is Scaler.KEDA_HTTP

    @model_validator(mode="after")
    def _one_number_of_pods(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError("set at most one of replicas, autoscaling")
        for resource in ("cpu", "memory"):
            wanted = getattr(self.autoscaling, resource, None)
            known = {**self.resources.limits, **self.resources.requests}
            if wanted and resource not in known:
                raise ValueError(
                    f"autoscaling.{resource} is a share of resources.requests.{resource}: set that too"
                )
        return self
