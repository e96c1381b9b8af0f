"""Where an app's pods run and as whom, by the names that a Kubernetes pod has for it.

A SpinApp has no such fields; the operator adds them to the Deployment that spin-operator makes. What gives a
pod more rights than others (`privileged`, added capabilities, host namespaces) is left out on purpose.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from ftl_operator.api.fields import DNS_LABEL, Label, Labels, Part

POD_FIELDS = (
    "terminationGracePeriodSeconds",
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "priorityClassName",
    "securityContext",
)
CONTAINER_FIELDS = ("lifecycle", "startupProbe", "securityContext")
"""Fields of a pod and of its container that the operator sets and spin-operator does not."""

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
TopologyKey = Annotated[str, Field(min_length=1, max_length=317)]
Values = Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=32)]
Id = Annotated[int, Field(ge=0, le=2147483647)]


class TolerationOperator(StrEnum):
    """How a toleration's value is compared."""

    EXISTS = "Exists"
    """Any value."""
    EQUAL = "Equal"
    """The same value."""


class TaintEffect(StrEnum):
    """What a taint does to pods."""

    NO_SCHEDULE = "NoSchedule"
    """None is placed there."""
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    """Others are placed there first."""
    NO_EXECUTE = "NoExecute"
    """None stays there."""


class Toleration(Part):
    """A taint that the pods tolerate."""

    key: Annotated[str | None, Field(max_length=317)] = None
    """The taint's key; none means every one, with `operator: Exists`."""
    operator: TolerationOperator | None = None
    """How the value is compared; default `Equal`."""
    value: Annotated[str | None, Field(max_length=63)] = None
    """The taint's value."""
    effect: TaintEffect | None = None
    """The taint's effect; none means every one."""
    toleration_seconds: Annotated[int | None, Field(ge=0, le=604800)] = None
    """How long a pod stays on a node that gets a taint `NoExecute`."""


class SelectorOperator(StrEnum):
    """How a label is compared."""

    IN = "In"
    """It is one of the values."""
    NOT_IN = "NotIn"
    """It is none of the values."""
    EXISTS = "Exists"
    """It is there."""
    DOES_NOT_EXIST = "DoesNotExist"
    """It is not there."""
    GT = "Gt"
    """As a number it is greater than the one value. For nodes only."""
    LT = "Lt"
    """As a number it is less than the one value. For nodes only."""


class Requirement(Part):
    """What a label must be."""

    key: LabelKey
    """The label."""
    operator: SelectorOperator
    """How it is compared."""
    values: Values = ()
    """With what."""


Requirements = Annotated[tuple[Requirement, ...], Field(max_length=16)]


class LabelSelector(Part):
    """Chooses pods or namespaces by their labels. All of it must fit."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels with these values."""
    match_expressions: Requirements = ()
    """Labels that are compared."""


class NodeTerm(Part):
    """Nodes for which all of this fits."""

    match_expressions: Requirements = ()
    """By their labels."""
    match_fields: Requirements = ()
    """By their fields, of which `metadata.name` is one."""


class NodeSelector(Part):
    """Nodes for which any of the terms fits."""

    node_selector_terms: Annotated[tuple[NodeTerm, ...], Field(min_length=1, max_length=8)]
    """The terms."""


Weight = Annotated[int, Field(ge=1, le=100)]


class WeightedNodeTerm(Part):
    """Nodes that are better than others."""

    weight: Weight
    """By how much."""
    preference: NodeTerm
    """Which ones."""


class NodeAffinity(Part):
    """Nodes on which the pods run."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Those on which alone they run."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedNodeTerm, ...], Field(max_length=8)
    ] = ()
    """Those on which they run if there is room."""


class PodTerm(Part):
    """Pods, and the places (nodes or zones) that they determine."""

    label_selector: LabelSelector | None = None
    """Which pods; default: the app's own."""
    namespaces: Annotated[
        tuple[Annotated[str, Field(max_length=63, pattern=DNS_LABEL)], ...], Field(max_length=16)
    ] = ()
    """In which namespaces; default: the app's."""
    namespace_selector: LabelSelector | None = None
    """In which namespaces, by their labels."""
    topology_key: TopologyKey
    """The nodes' label whose values are the places, for example `kubernetes.io/hostname`."""


class WeightedPodTerm(Part):
    """Places that are better, or worse, than others."""

    weight: Weight
    """By how much."""
    pod_affinity_term: PodTerm
    """Because of which pods."""


class PodAffinity(Part):
    """Pods beside which the pods run, or do not run."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodTerm, ...], Field(max_length=8)
    ] = ()
    """In any case."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodTerm, ...], Field(max_length=8)
    ] = ()
    """If there is room."""


class Affinity(Part):
    """What draws the pods to nodes and to other pods, or keeps them away."""

    node_affinity: NodeAffinity | None = None
    """Nodes."""
    pod_affinity: PodAffinity | None = None
    """Pods to be near to."""
    pod_anti_affinity: PodAffinity | None = None
    """Pods to keep away from."""


class WhenUnsatisfiable(StrEnum):
    """What happens to a pod that would be spread unevenly."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    """It waits."""
    SCHEDULE_ANYWAY = "ScheduleAnyway"
    """It runs all the same."""


class TopologySpreadConstraint(Part):
    """How the pods are spread over nodes or zones."""

    max_skew: Annotated[int, Field(ge=1, le=1000)]
    """How many pods more one place may have than another."""
    topology_key: TopologyKey
    """The nodes' label whose values are the places, for example `topology.kubernetes.io/zone`."""
    when_unsatisfiable: WhenUnsatisfiable
    """What happens to a pod that does not fit."""
    min_domains: Annotated[int | None, Field(ge=1, le=1000)] = None
    """How many places there are at least, with `DoNotSchedule`."""
    label_selector: LabelSelector | None = None
    """Which pods are counted; default: the app's own."""


class SeccompType(StrEnum):
    """Which system calls are allowed."""

    RUNTIME_DEFAULT = "RuntimeDefault"
    """Those of the container runtime's profile."""
    LOCALHOST = "Localhost"
    """Those of a profile on the node."""
    UNCONFINED = "Unconfined"
    """All."""


class SeccompProfile(Part):
    """Which system calls are allowed."""

    type: SeccompType
    """Which profile."""
    localhost_profile: Annotated[str | None, Field(max_length=256)] = None
    """Its path on the node, for `Localhost`."""

    @model_validator(mode="after")
    def _has_its_path(self) -> Self:
        if (self.type is SeccompType.LOCALHOST) != (self.localhost_profile is not None):
            raise ValueError("localhostProfile belongs to type: Localhost")
        return self


class Capabilities(Part):
    """Capabilities of Linux. None can be added."""

    drop: Annotated[tuple[Label, ...], Field(max_length=64)]
    """Those that are taken away, usually `[ALL]`."""


class SecurityContext(Part):
    """The user of the container, and what it may do.

    A namespace with the restricted Pod Security Standard demands `runAsNonRoot: true`, `capabilities: {drop:
    [ALL]}`, `allowPrivilegeEscalation: false` and a `seccompProfile`.
    """

    run_as_user: Id | None = None
    """Its user id."""
    run_as_group: Id | None = None
    """Its group id."""
    run_as_non_root: bool | None = None
    """Whether the kubelet refuses to run it as root."""
    read_only_root_filesystem: bool | None = None
    """Whether it may write to volumes only."""
    allow_privilege_escalation: bool | None = None
    """Whether it may get more rights than it began with."""
    capabilities: Capabilities | None = None
    """Its capabilities."""
    seccomp_profile: SeccompProfile | None = None
    """Which system calls it may use."""


class PodSecurityContext(Part):
    """What holds for the pod and its volumes."""

    run_as_user: Id | None = None
    """Its user id."""
    run_as_group: Id | None = None
    """Its group id."""
    run_as_non_root: bool | None = None
    """Whether the kubelet refuses to run it as root."""
    fs_group: Id | None = None
    """The group that owns its volumes."""
    supplemental_groups: Annotated[tuple[Id, ...], Field(max_length=16)] = ()
    """Further groups."""
    seccomp_profile: SeccompProfile | None = None
    """Which system calls it may use."""
