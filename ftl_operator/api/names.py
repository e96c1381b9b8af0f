"""Names that several packages share: labels, annotations, headers, variables, and an app's objects."""

from dataclasses import dataclass
from typing import NamedTuple

from ftl_operator.api.network import INTERCEPTOR_SUFFIX

DIGEST_ANNOTATION = "ftl.tools/applied"
"""The annotation with the digest of the manifest that was applied last."""


INPUTS_ANNOTATION = "ftl.tools/inputs"
"""On the SpinApp: the digest of everything its image was made from, by which changes are detected after a
restart.
"""


SOURCES_ANNOTATION = "ftl.tools/sources"
"""On the pods: a hash of the Secrets and ConfigMaps they read, so that a change of one rolls them."""


PROBE_HEADER = "x-ftl-probe"
"""The request header with the app's probe word, for `/readyz` of its gateway."""


PROBE_ONCE_HEADER = "x-ftl-probe-once"
"""The request header that makes `/readyz` call the tools until all have answered once in this pod. It needs
no probe word, because a SpinApp's probe cannot take a header from a Secret."""


APP_UID = "gateway_app_uid"
"""The application variable with the FtlApp's uid, which is unique in the cluster."""
SEALING_KEY = "gateway_sealing_key"
"""The application variable with the key that seals the entries of the gateway's key-value store."""
PROBE_WORD = "gateway_probe_word"
"""The application variable with the probe word: the secret in `x-ftl-probe` that makes `/readyz` call every
tool."""
API_KEYS = "gateway_api_keys"
"""The application variable with the app's API keys, one a line."""
LOGIN_KEYS = "gateway_login_keys"
"""The application variable with the login's private keys, as JSON."""
LOGIN_USERS = "gateway_login_users"
"""The application variable with the login's users, one a line."""
LOGIN_UPSTREAM_SECRET = "gateway_login_upstream_secret"  # noqa: S105 - a name
"""The application variable with the secret of the login's client at its provider."""


GATEWAY_SECRET_SUFFIX = "-gateway"  # noqa: S105 - a name
"""The suffix of the Secret that the operator creates for an app's gateway."""
SEALING_KEY_KEY = "sealing-key"
"""The sealing key's name in that Secret."""
PROBE_WORD_KEY = "probe-word"
"""The probe word's name in that Secret."""


LOGIN_KEYS_KEY = "keys"
"""The name of the private keys in the Secret of a login."""
LOGIN_JWKS_KEY = "jwks"
"""The name of the public keys in that Secret."""


SUSPENDED_ANNOTATION = "ftl.tools/suspended"
"""On the SpinApp: `spec.suspend` has removed the pods, so resuming must bring them back."""


MANAGED_BY = "ftl-operator"


SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Selects everything that the operator applied; the watches use it."""


POD_LABEL = "core.spinkube.dev/app-name"
"""spin-operator's label on an app's pods, Deployment and Service, with the SpinApp's name as its value."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The FtlApp as the owner of its objects. `uid` is empty without a cluster (`render`)."""

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
        """Labels that select exactly this app's pods."""
        return {POD_LABEL: self.name}

    @property
    def host(self) -> str:
        """The name of the app's Service in the cluster."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def interceptor_name(self) -> str:
        """The name of the app's Service for the interceptor of KEDA's HTTP add-on."""
        return f"{self.name}{INTERCEPTOR_SUFFIX}"

    @property
    def interceptor_host(self) -> str:
        """The name of that Service in the cluster."""
        return f"{self.interceptor_name}.{self.namespace}.svc"


SPEC_ANNOTATION = "ftl.tools/spec"
"""On the Deployment, set through the SpinApp: shows whether its status belongs to the present SpinApp."""


SPIN_VERSION_ANNOTATION = "ftl.tools/spin-version"
"""On a SpinAppExecutor, set by its author: its version of Spin, if the tag of `spinImage` does not tell."""

TRIGGER_ANNOTATION = "ftl.tools/reconcile"
"""A person or a pipeline changes its value to request a reconcile."""


class NamespacedName(NamedTuple):
    """Namespace and name of an app."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
