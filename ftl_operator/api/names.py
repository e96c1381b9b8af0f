"""Names that several parts agree on: labels, annotations, headers, and the objects of an app."""

from dataclasses import dataclass
from typing import NamedTuple

from ftl_operator.api.network import INTERCEPTOR_SUFFIX

DIGEST_ANNOTATION = "ftl.tools/applied"
"""The annotation with the digest of the manifest that was applied last."""


INPUTS_ANNOTATION = "ftl.tools/inputs"
"""On the SpinApp: the digest of everything its image was made from, so that a restart knows that nothing
changed.
"""


SOURCES_ANNOTATION = "ftl.tools/sources"
"""On the pods: a hash of the Secrets and ConfigMaps they read, so that a change of one rolls them."""


PROBE_HEADER = "x-ftl-probe"
"""The request header that carries an app's own word to its gateway's `/readyz`."""


PROBE_ONCE_HEADER = "x-ftl-probe-once"
"""The request header that asks the tools only until all of them have answered in this pod. It takes no word,
for a SpinApp has no way to take a probe's header from a Secret."""


APP_UID = "gateway_app_uid"
"""The application variable that tells an app of a cluster from every other: the FtlApp's uid."""
SEALING_KEY = "gateway_sealing_key"
"""The application variable with the key that seals what the gateway keeps in its key-value store."""
PROBE_WORD = "gateway_probe_word"
"""The application variable with the word that makes `/readyz` ask every tool."""
API_KEYS = "gateway_api_keys"
"""The application variable with the app's API keys, one a line."""


GATEWAY_SECRET_SUFFIX = "-gateway"  # noqa: S105 - a name
"""What follows the app's name in the name of the Secret that the operator makes for its gateway."""
SEALING_KEY_KEY = "sealing-key"
"""The key of that Secret with what seals the gateway's store."""
PROBE_WORD_KEY = "probe-word"
"""The key of that Secret with the word of the deep probe."""


SUSPENDED_ANNOTATION = "ftl.tools/suspended"
"""On the SpinApp: pods were taken away by `spec.suspend`, so resuming must bring them back."""


MANAGED_BY = "ftl-operator"


SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Chooses everything the operator applied; what the watches ask the API server for."""


POD_LABEL = "core.spinkube.dev/app-name"
"""spin-operator's label on an app's pods, Deployment and Service, with the SpinApp's name as its value."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The FtlApp, as its objects refer to it. `uid` is empty where there is no cluster (`render`)."""

    namespace: str
    name: str
    uid: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The recommended labels of Kubernetes for this app."""
        return {
            "app.kubernetes.io/name": "ftl-app",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": "mcp-server",
            "app.kubernetes.io/part-of": self.name,
            "app.kubernetes.io/managed-by": MANAGED_BY,
        }

    @property
    def pod_selector(self) -> dict[str, str]:
        """Labels that choose exactly this app's pods."""
        return {POD_LABEL: self.name}

    @property
    def host(self) -> str:
        """The name of the app's Service in the cluster."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def interceptor_name(self) -> str:
        """The app's Service that leads to the interceptor of KEDA's HTTP add-on."""
        return f"{self.name}{INTERCEPTOR_SUFFIX}"

    @property
    def interceptor_host(self) -> str:
        """The name of that Service in the cluster."""
        return f"{self.interceptor_name}.{self.namespace}.svc"


SPEC_ANNOTATION = "ftl.tools/spec"
"""On the Deployment, by way of the SpinApp: tells whether its numbers are about the SpinApp as it is now."""


SPIN_VERSION_ANNOTATION = "ftl.tools/spin-version"
"""On a SpinAppExecutor, by whoever made it: the version of its Spin, where no tag of `spinImage` says it."""

TRIGGER_ANNOTATION = "ftl.tools/reconcile"
"""A person or a pipeline changes its value to ask for a look now."""


class NamespacedName(NamedTuple):
    """Which app."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
