"""The operator's settings, read once from the environment variables `FTL_*`, then frozen.

Every field is one variable: `publish_repository` is `FTL_PUBLISH_REPOSITORY`. Lists are separated by commas,
so that a chart needs no quoting rules. An invalid value stops the start with a message that names the
variable; the operator never guesses.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ftl_operator.api.fields import DNS_LABEL, DNS_NAME
from ftl_operator.errors import SpecError
from ftl_operator.hosts import HostError, HostPatterns, parse_authority, parse_pattern
from ftl_operator.oci.reference import Reference, Repository, parse_repository

PREFIX = "FTL_"


def _split(value: object) -> object:
    """Split a comma-separated text into a tuple; leave any other value to pydantic."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Tenancy(StrEnum):
    """Who may create FtlApps in the served namespaces."""

    SINGLE = "single"
    """People who trust each other."""
    SHARED = "shared"
    """Tenants who do not trust each other: registries, issuers and hosts must be listed."""


@dataclass(frozen=True, slots=True)
class RouteHosts:
    """Hosts that the apps of some namespaces may have as `route.host`.

    Args:
        namespaces: A namespace's name; `*` stands for any letters.
        hosts: A host, `*.suffix`, or `*`; `{namespace}` stands for the namespace's name.
    """

    namespaces: str
    hosts: str

    def allows(self, namespace: str, host: str) -> bool:
        """Whether an app in this namespace may have this host."""
        if not fnmatchcase(namespace, self.namespaces):
            return False
        try:
            return parse_pattern(self.hosts.replace("{namespace}", namespace)).matches(host, 443)
        except HostError:
            # With this namespace's name it is no host: a label is too long, or the name ends in a number.
            return False


def _route_hosts(value: object) -> object:
    """Parse items `NAMESPACES=HOSTS` into `RouteHosts`; leave any other value to pydantic."""
    items = _split(value)
    if not isinstance(items, tuple) or not all(isinstance(item, str) for item in items):
        return value
    return tuple(_route_host(item) for item in items)


def _route_host(text: str) -> RouteHosts:
    namespaces, equals, hosts = text.partition("=")
    if not equals or not re.fullmatch(r"[-a-z0-9*]+", namespaces):
        raise ValueError(f"{text[:100]!r} is not NAMESPACES=HOSTS, for example team-*=*.teams.acme.dev")
    try:
        pattern = parse_pattern(hosts.replace("{namespace}", "namespace"))
    except HostError as error:
        raise ValueError(str(error)) from None
    if pattern.port is not None:
        raise ValueError(f"{hosts[:100]!r} has a port, which a route's host has not")
    return RouteHosts(namespaces, hosts)


class ExecutorKind(StrEnum):
    """How the pods of an executor run Spin."""

    NONE = "none"
    """The operator creates no executor."""
    SHIM = "shim"
    """By the containerd shim of the node, chosen by a RuntimeClass."""
    CONTAINER = "container"
    """As an ordinary container of an image that holds Spin."""


class Settings(BaseModel):
    """All settings of the operator."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    publish_repository: str = ""
    """Where composed applications are pushed unless `publish.repository` says otherwise: an app goes to
    `PUBLISH_REPOSITORY/NAMESPACE/NAME`, or, for registries whose paths have a fixed depth, to what a text
    with `{namespace}` and `{name}` gives: `docker.io/acme/{namespace}_{name}`. Empty means that every FtlApp
    must say it."""
    pull_repository: str = ""
    """How nodes name `publish_repository`, where they reach it by another name than the operator does: a
    registry in the cluster that nodes pull from as `localhost:NODEPORT`. Where that one has `{namespace}` and
    `{name}`, this one ends like it. Empty means by the same name."""
    publish_pull_secrets: Names = ()
    """Names of image pull secrets, expected in the app's namespace, that every SpinApp gets."""
    docker_config: Path | None = None
    """A Docker `config.json` with the operator's own registry credentials; read again when it changes."""
    allowed_registries: Names = ("*",)
    """Registries the operator may talk to: a host with an optional port, `*.suffix`, or `*` for every one
    with a public address. One with a private address is named, beside `*` if need be."""
    registry_redirects: Names = ()
    """Hosts that registries may lead to, for tokens, blobs and uploads: a host with an optional port,
    `*.suffix`, or `*`. A registry's own host, those of `allowed_registries`, and those of the big public
    registries need not be named."""
    allowed_issuers: Names = ("*",)
    """Issuers an FtlApp may name: a host, `*.suffix`, or `*` for every one."""
    route_hosts: Annotated[tuple[RouteHosts, ...], BeforeValidator(_route_hosts)] = ()
    """Hosts that FtlApps may have as `route.host`, as `NAMESPACES=HOSTS`: the namespaces by a name in which
    `*` stands for any letters; a host, `*.suffix` or `*`, with `{namespace}` for the namespace's name. A host
    that no item allows is refused; empty means that every namespace may have every host."""
    tenancy: Tenancy = Tenancy.SINGLE
    """Whether tenants share the cluster who do not trust each other (`shared`). Then registries, issuers and
    hosts of routes must be listed: `*` alone is refused."""
    plain_http_registries: Names = ()
    """Registries (host with port) that are spoken to without TLS. For loopback and in-cluster development."""
    plain_http_issuers: Names = ()
    """Issuers (host with port) that are spoken to without TLS. For loopback development."""
    ca_bundle: Path | None = None
    """A PEM file with certificate authorities to trust besides the system's."""
    executors_create: ExecutorKind = ExecutorKind.NONE
    """What to do where a namespace lacks the SpinAppExecutor that an app names: nothing (`none`), or make one
    that uses the Spin shim of the nodes (`shim`) or runs Spin in an ordinary container (`container`). That
    takes the right to create SpinAppExecutors."""
    executors_runtime_class: str = Field(default="wasmtime-spin-v2", pattern=DNS_NAME)
    """The RuntimeClass of executors that use the shim."""
    executors_image: str = ""
    """The image with Spin of executors that run it in a container."""
    gateway_secrets: bool = False
    """Whether to create a Secret with a sealing key and a probe word for every app that names none. This
    needs the right to create Secrets."""
    login_secrets: bool = False
    """Whether to create a Secret with the keys of the login for every app with a login that names none. This
    needs the right to create Secrets."""
    read_pod_logs: bool = True
    """Whether to read the last lines of a crashed container's log, to show Spin's error in the app's status.
    The output of tools is never shown. This needs the right to read logs of pods."""
    namespaces: Names = ()
    """Namespaces to serve; empty means the whole cluster."""
    operator_namespace: str = "default"
    """The namespace the operator runs in: its Lease lives there, and its probes come from there."""
    identity: str = ""
    """Who this replica is in the Lease; the pod's name. Empty means the host's name and process id."""
    lease_name: str = "ftl-operator"
    """The Lease that decides which replica is the leader."""
    leader_election: bool = True
    """Whether to wait for the Lease before acting. Without it only one replica may run."""
    resync_seconds: float = Field(default=600, ge=10)
    """How long after a reconcile the next one comes without any change, in seconds; tags move unannounced."""
    workers: int = Field(default=8, ge=1, le=64)
    """How many apps are reconciled at once. Apps of one namespace are at most half of them."""
    inspectors: int = Field(default=2, ge=1, le=16)
    """How many components are inspected, or policies checked, at once; each takes up to two cores, and
    `inspect_memory_bytes` and 256 MiB of memory, for which the pod's memory limit must have room beside the
    operator's own 256 MiB. With one, a namespace waits while another one's component runs; with two it does
    not."""
    registry_connections: int = Field(default=4, ge=1, le=64)
    """How many requests to one registry run at once; namespaces share them, so that a slow one holds few
    workers."""
    registry_timeout_seconds: float = Field(default=30, gt=0)
    """How long one request to a registry may take in all, with its redirects, its token and a second attempt.
    A blob gets a second more for each 64 KiB, ten minutes at most."""
    max_component_bytes: int = Field(default=128 * 1024 * 1024, ge=1)
    """The largest component that is downloaded."""
    cache_dir: Path | None = None
    """Where blobs and compiled components are kept; default `${XDG_CACHE_HOME:-~/.cache}/ftl-operator`."""
    cache_max_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=0)
    """How much the blob cache may hold."""
    gateway_file: Path | None = None
    """Another gateway component than the prebuilt one, for development of the gateway."""
    inspect_timeout_seconds: float = Field(default=20, gt=0)
    """How long a component may take to list its tools, compilation not counted."""
    inspect_memory_bytes: int = Field(default=512 * 1024 * 1024, ge=1)
    """How much memory a component may use while it lists its tools. The process in which it does so may use
    256 MiB more, of which compiling a component of 40 MB takes the most."""
    progress_deadline_seconds: float = Field(default=600, ge=1)
    """How long a rollout may take before the last good version is brought back."""
    max_rollouts: int = Field(default=20, ge=1)
    """How many apps may be rolled out at once that nobody changed: after an upgrade of the operator, or when
    a tag moves that many of them follow."""
    history_limit: int = Field(default=5, ge=1, le=20)
    """How many published versions `status.history` shows."""
    service_url: str = "http://{name}.{namespace}.svc:80"
    """How the operator reaches an app's Service to verify it; `{name}` and `{namespace}` are filled in."""
    interceptor_service: str = Field(default="keda-add-ons-http-interceptor-proxy", pattern=DNS_LABEL)
    """The Service of the interceptor of KEDA's HTTP add-on, through which requests reach apps that the
    scaler `keda-http` scales."""
    interceptor_namespace: str = Field(default="keda", pattern=DNS_LABEL)
    """The namespace of that Service."""
    interceptor_port: int = Field(default=8080, ge=1, le=65535)
    """The port of that Service."""
    interceptor_scaler: str = Field(default="keda-add-ons-http-external-scaler", pattern=DNS_LABEL)
    """The Service of the add-on's external scaler, in the same namespace, which tells KEDA how many requests
    there are."""
    interceptor_scaler_port: int = Field(default=9090, ge=1, le=65535)
    """The port of that Service."""
    cluster_domain: str = Field(default="cluster.local", pattern=DNS_NAME)
    """The domain of the cluster's own names, as its DNS has it."""
    probe_timeout_seconds: float = Field(default=10, gt=0)
    """How long a running app may take to answer the operator's probe."""
    metrics_port: int = Field(default=9090, ge=0, le=65535)
    """The port of `/metrics`, `/healthz` and `/readyz`; 0 takes any free one."""
    metrics_address: str = "::"
    """The address that port is bound to. `::` is every address, of IPv4 and of IPv6, as far as there are."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Which log lines are written."""
    log_format: str = Field(default="json", pattern="^(json|text)$")
    """How log lines are written."""

    @field_validator("publish_repository", "pull_repository")
    @classmethod
    def _repository_is_complete(cls, value: str) -> str:
        if value:
            try:
                parse_repository(_filled(value, "ns", "n"))
            except SpecError as error:
                raise ValueError(error.message) from error
        return value

    @model_validator(mode="after")
    def _repositories_fit(self) -> Self:
        published, pulled = self.publish_repository, self.pull_repository
        if "{" in published and "{name}" not in published:
            raise ValueError("FTL_PUBLISH_REPOSITORY: without {name}, apps would share a repository")
        if "{" in published and "{namespace}" not in published and len(self.namespaces) != 1:
            raise ValueError(
                "FTL_PUBLISH_REPOSITORY: without {namespace}, namespaces would share repositories"
            )
        if published and pulled and _fixed_part(published)[1] != _fixed_part(pulled)[1]:
            raise ValueError("FTL_PULL_REPOSITORY: it must end as FTL_PUBLISH_REPOSITORY does")
        return self

    @field_validator("allowed_registries", "allowed_issuers", "registry_redirects")
    @classmethod
    def _patterns_are_usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        HostPatterns.parse(value)
        return value

    @field_validator("plain_http_registries", "plain_http_issuers")
    @classmethod
    def _hosts_are_usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parse_authority(text)
        return value

    @model_validator(mode="after")
    def _container_has_an_image(self) -> Self:
        if self.executors_create is ExecutorKind.CONTAINER and not self.executors_image:
            raise ValueError("with FTL_EXECUTORS_CREATE=container, FTL_EXECUTORS_IMAGE must name an image")
        return self

    @field_validator("service_url")
    @classmethod
    def _service_url_has_known_fields(cls, value: str) -> str:
        try:
            filled = value.format(name="n", namespace="ns")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("only {name} and {namespace} may stand in braces") from error
        if not filled.startswith(("http://", "https://")):
            raise ValueError("it must start with http:// or https://")
        return value

    @model_validator(mode="after")
    def _tenants_may_name_what_is_listed(self) -> Self:
        if self.tenancy is Tenancy.SINGLE:
            return self
        lists = {"allowed_registries": self.allowed_registries, "allowed_issuers": self.allowed_issuers}
        lists["route_hosts"] = tuple(item.hosts for item in self.route_hosts)
        for name, entries in lists.items():
            if not entries or "*" in entries:
                raise ValueError(f"tenancy shared needs {PREFIX}{name.upper()}, with hosts and no * alone")
        if not _tells_namespaces_apart(self.publish_repository):
            raise ValueError(
                f"tenancy shared needs '/' or '_' around {{namespace}} in {PREFIX}PUBLISH_REPOSITORY: names"
                " have '-', and two namespaces could have one repository"
            )
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from environment variables.

        Args:
            environ: Usually `os.environ`. Unknown names are ignored, because Kubernetes sets variables such
                as
                `FTL_OPERATOR_SERVICE_HOST`. An empty value means the default.

        Raises:
            SpecError: A value is invalid; the message names each variable.
        """
        given: dict[str, Any] = {}
        for name in cls.model_fields:
            if value := environ.get(PREFIX + name.upper()):
                given[name] = value
        try:
            return cls(**given)
        except ValidationError as error:
            problems = "; ".join(
                # The message of a rule about several settings names them.
                "".join(f"{PREFIX}{str(name).upper()}: " for name in item["loc"][:1])
                + item["msg"].removeprefix("Value error, ")
                for item in error.errors(include_url=False, include_input=False, include_context=False)
            )
            raise SpecError(f"the operator's settings are not usable: {problems}") from None

    @property
    def cache_folder(self) -> Path:
        """The folder for caches."""
        if self.cache_dir is not None:
            return self.cache_dir
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"

    @property
    def interceptor_scaler_address(self) -> str:
        """Host and port of the external scaler of KEDA's HTTP add-on."""
        place = f"{self.interceptor_scaler}.{self.interceptor_namespace}.svc.{self.cluster_domain}"
        return f"{place}:{self.interceptor_scaler_port}"

    @property
    def compiled_folder(self) -> Path:
        """The folder for the compiled code of the operator's own components."""
        return self.cache_folder / "compiled"

    @property
    def own_registries(self) -> tuple[str, ...]:
        """The registry of `publish_repository`, which may have a private address even if no list names it."""
        return (self.publish_repository.partition("/")[0],) if self.publish_repository else ()

    def default_repository(self, namespace: str, name: str) -> Repository | None:
        """Where an app of this namespace and name is published by default, if a default is set."""
        if not self.publish_repository:
            return None
        return parse_repository(_filled(self.publish_repository, namespace, name))

    def as_pulled(self, image: Reference) -> Reference:
        """Convert the name of a published image to the one that nodes pull."""
        return _renamed(image, self.publish_repository, self.pull_repository)

    def as_published(self, image: Reference) -> Reference:
        """Convert the name that nodes pull to the one that was published."""
        return _renamed(image, self.pull_repository, self.publish_repository)


def _filled(template: str, namespace: str, name: str) -> str:
    """Fill in a template. Raises ValueError for braces around anything but `namespace` and `name`."""
    if "{" not in template and "}" not in template:
        return f"{template}/{namespace}/{name}"
    filled = template.replace("{namespace}", namespace).replace("{name}", name)
    if "{" in filled or "}" in filled:
        raise ValueError("only {namespace} and {name} may stand in braces")
    return filled


def _tells_namespaces_apart(template: str) -> bool:
    """Whether no two namespaces get the same repository: a part without `{name}` has `{namespace}`."""
    parts = re.split("[/_]", template)
    return "{" not in template or any("{namespace}" in part and "{name}" not in part for part in parts)


def _fixed_part(template: str) -> tuple[str, str]:
    """Split a setting: the fixed part up to a slash, and the rest, which varies by app."""
    before, brace, _ = template.partition("{")
    if not brace:
        return f"{template}/", ""
    fixed = before[: before.rindex("/") + 1]
    return fixed, template.removeprefix(fixed)


def _renamed(image: Reference, old: str, new: str) -> Reference:
    """Move a reference from below one repository to below another."""
    path = str(image.repository)
    if not old or not new or not path.startswith(_fixed_part(old)[0]):
        return image
    name = path.removeprefix(_fixed_part(old)[0])
    return replace(image, repository=parse_repository(_fixed_part(new)[0] + name))
