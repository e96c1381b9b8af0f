"""What the API server checks beyond types: the models' rules once more, in CEL. Pure data.

Each rule stands at the model it is about and has a folder of examples in `tests/data/invalid` that both the
model and a real API server refuse. CEL cannot read JSON, PEM or Rego, so the models alone check those.
"""

from collections.abc import Mapping

from ftl_operator.api.auth import LOGIN_ALONE_MESSAGE
from ftl_operator.api.fields import RESERVED_DOMAINS, RESERVED_KEYS, RESERVED_MESSAGE
from ftl_operator.api.login import LOGIN, LOGIN_NAME_MESSAGE, OPENID_MESSAGE, PLAIN_URL_MESSAGE
from ftl_operator.api.network import (
    CLUSTER_DOMAINS,
    CLUSTER_HOST_MESSAGE,
    INTERCEPTOR_SUFFIX,
    WELL_KNOWN,
    WELL_KNOWN_MESSAGE,
)

Rule = tuple[str, str]

_ONE_VALUE = "has(self.value) != has(self.valueFrom)"
_KNOWN_PORTS = "^(http|https|postgres|mysql|redis|mqtt)://"


def _no_reserved(field: str) -> Rule:
    # The estimated cost of `matches` grows with the length of a key, which a schema cannot bound. So the rule
    # knows the domains themselves; the models refuse names below them, and other cases, too.
    tests = [f"!k.startsWith('{domain}/')" for domain in RESERVED_DOMAINS]
    tests.append(f"!(k in {list(RESERVED_KEYS)})")
    return f"!has(self.{field}) || self.{field}.all(k, {' && '.join(tests)})", RESERVED_MESSAGE


_PEER = (
    "!has(self.cidr) || (!has(self.namespaceLabels) && !has(self.podLabels))",
    "set either cidr, or namespaceLabels and podLabels",
)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "FtlApp": (
        (
            "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must start with a letter and have at most 52 letters, digits and hyphens",
        ),
    ),
    "FtlAppSpec": (
        (
            "self.access != 'public' || !has(self.auth)",
            "access: public checks no token; remove auth, or choose another access",
        ),
        ("self.access == 'public' || has(self.auth)", "access other than public needs auth"),
        (
            (
                "self.access != 'private' || !has(self.auth) || has(self.auth.policy)"
                " || (has(self.auth.allowedSubjects) && self.auth.allowedSubjects.size() > 0)"
                " || (has(self.auth.apiKeys) && !has(self.auth.issuer) && !has(self.auth.jwksUri)"
                " && !has(self.auth.publicKey) && !has(self.auth.login))"
                " || (has(self.auth.login) && has(self.auth.login.users))"
            ),
            "access: private needs auth.allowedSubjects: nobody could call",
        ),
        (
            "self.access != 'org' || !has(self.auth) || has(self.auth.organization)",
            "access: org needs auth.organization: nobody could call",
        ),
        (
            "self.access != 'custom' || !has(self.auth) || has(self.auth.policy)",
            "access: custom needs auth.policy: nobody could call",
        ),
        (
            f"!has(self.auth) || !has(self.auth.login) || !self.tools.exists(t, t.name == '{LOGIN}')",
            LOGIN_NAME_MESSAGE,
        ),
        (
            "self.access != 'public' || !self.tools.exists(t, has(t.scopes) && t.scopes.size() > 0)",
            "access: public checks no token, so tools cannot ask for scopes",
        ),
        (
            (
                "self.access == 'public' || self.tools.size() == 1"
                " || !self.tools.exists(t, has(t.allowedOutboundHosts)"
                " && t.allowedOutboundHosts.exists(h, h.matches('^([*]|https?)://[*](:|$)')))"
            ),
            (
                "an outbound host '*' also reaches the app's other tools, past the gateway and with any "
                "identity; write the hosts, or put the tool into an app of its own"
            ),
        ),
    ),
    "ToolSpec": (
        ("self.name != 'gateway'", "'gateway' is the gateway's own name"),
        (
            "!self.image.startsWith('file:')",
            "local files work in 'up' and 'render' only; push the component to a registry",
        ),
        (
            "self.image.startsWith('file:') || self.image.contains('@') || self.image.matches(':[^:/]+$')",
            "image needs a tag or digest; no 'latest' is assumed",
        ),
        (
            (
                "!has(self.allowedOutboundHosts) || self.allowedOutboundHosts.all(h,"
                f" h.matches('{_KNOWN_PORTS}') || h.matches(':([*]|[0-9.]+)$'))"
            ),
            "an outbound host needs a port unless its scheme implies one, for example *://*:*",
        ),
        (
            (
                "!has(self.allowedOutboundHosts) || !self.allowedOutboundHosts.exists(h,"
                " h.matches('(?i)://gateway[.]spin[.]internal(:|$)'))"
            ),
            "a tool must not call the gateway: its calls would come back to it",
        ),
        (
            (
                "!has(self.allowedOutboundHosts) || !self.allowedOutboundHosts.exists(h,"
                " h.matches('(?i)://[*]([.]spin)?[.]internal(:|$)')"
                " || (h.matches('(?i)[.]spin[.]internal(:|$)') && h.matches('[A-Z]')))"
            ),
            "other tools are named one by one and in lower case, as in http://NAME.spin.internal",
        ),
    ),
    "Rename": (("has(self.to) || has(self.description)", "set to, description, or both"),),
    "Variable": ((_ONE_VALUE, "set exactly one of value, valueFrom"),),
    "Value": ((_ONE_VALUE, "set exactly one of value, valueFrom"),),
    "ValueSource": (
        (
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "set exactly one of secretKeyRef, configMapKeyRef",
        ),
    ),
    "AuthSpec": (
        ("!has(self.jwksUri) || !has(self.publicKey)", "set at most one of jwksUri, publicKey"),
        (
            (
                "has(self.issuer) || has(self.jwksUri) || has(self.publicKey) || has(self.apiKeys)"
                " || has(self.login)"
            ),
            "set issuer, or say by jwksUri or publicKey how signatures are checked, or apiKeys, or login",
        ),
        (
            (
                "!has(self.login) || (!has(self.issuer) && !has(self.jwksUri) && !has(self.publicKey)"
                " && !has(self.algorithms) && !has(self.tokenTypes)"
                " && (!has(self.advertisedScopes) || self.advertisedScopes.size() == 0))"
            ),
            LOGIN_ALONE_MESSAGE,
        ),
        (
            (
                "(!has(self.issuer) && !has(self.jwksUri) && !has(self.publicKey))"
                " || (has(self.audiences) && self.audiences.size() > 0)"
            ),
            "set audiences: a token must be meant for this app",
        ),
        (
            (
                "has(self.policy) || (!has(self.policyData)"
                " && (!has(self.policyTests) || self.policyTests.size() == 0))"
            ),
            "policyData and policyTests need a policy",
        ),
        (
            "!has(self.publicKey) || !self.publicKey.contains('PRIVATE KEY')",
            "this is a private key; write the public one, and replace the private one",
        ),
    ),
    "Login": (
        ("has(self.users) != has(self.upstream)", "set exactly one of users, upstream"),
        (
            (
                "!has(self.url) || self.url.startsWith('https://')"
                " || self.url.matches('^http://(127[.]0[.]0[.]1|localhost|[[]::1[]])(:|/|$)')"
            ),
            PLAIN_URL_MESSAGE,
        ),
    ),
    "LoginUpstream": (("!has(self.scopes) || self.scopes.exists(s, s == 'openid')", OPENID_MESSAGE),),
    "Policy": (("has(self.rego) != has(self.configMapKeyRef)", "set exactly one of rego, configMapKeyRef"),),
    "PolicyData": (
        ("has(self.json) != has(self.configMapKeyRef)", "set exactly one of json, configMapKeyRef"),
    ),
    "RuntimeSpec": (
        *map(_no_reserved, ("podLabels", "podAnnotations", "serviceAnnotations", "deploymentAnnotations")),
        ("!has(self.replicas) || !has(self.autoscaling)", "set at most one of replicas, autoscaling"),
        *(
            (
                (
                    f"!has(self.autoscaling) || !has(self.autoscaling.{resource}) || (has(self.resources) &&"
                    f" ((has(self.resources.requests) && '{resource}' in self.resources.requests) ||"
                    f" (has(self.resources.limits) && '{resource}' in self.resources.limits)))"
                ),
                f"autoscaling.{resource} is a share of resources.requests.{resource}: set that too",
            )
            for resource in ("cpu", "memory")
        ),
    ),
    "Autoscaling": (
        (
            "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas is greater than maxReplicas",
        ),
        (
            "(has(self.scaler) && self.scaler != 'hpa') || !has(self.minReplicas) || self.minReplicas > 0",
            "minReplicas: 0 needs scaler keda or keda-http",
        ),
        (
            "(has(self.scaler) && self.scaler == 'keda') || !has(self.triggers) || self.triggers.size() == 0",
            "triggers need scaler keda",
        ),
        (
            (
                "(has(self.scaler) && self.scaler == 'keda-http')"
                " || (!has(self.concurrency) && !has(self.requestRate))"
            ),
            "concurrency and requestRate need scaler keda-http",
        ),
        (
            "!(has(self.scaler) && self.scaler == 'keda-http') || (!has(self.cpu) && !has(self.memory))",
            "cpu and memory need scaler hpa or keda",
        ),
        (
            (
                "(has(self.scaler) && self.scaler == 'keda-http') || has(self.cpu) || has(self.memory)"
                " || (has(self.triggers) && self.triggers.size() > 0)"
            ),
            "say by what to scale: cpu, memory, or with scaler keda triggers",
        ),
        (
            "!has(self.concurrency) || !has(self.requestRate)",
            "set at most one of concurrency, requestRate",
        ),
    ),
    "Volume": (
        (
            (
                "[has(self.emptyDir), has(self.configMap), has(self.secret), has(self.persistentVolumeClaim)]"
                ".filter(x, x).size() == 1"
            ),
            "set exactly one of emptyDir, configMap, secret, persistentVolumeClaim",
        ),
    ),
    "Peer": (_PEER,),
    "Source": (_PEER,),
    "RouteSpec": (
        (
            " && ".join(
                [
                    *(f"!self.host.endsWith('{domain}')" for domain in CLUSTER_DOMAINS),
                    f"!self.host.matches('^[^.]*{INTERCEPTOR_SUFFIX}[.]')",
                ]
            ),
            CLUSTER_HOST_MESSAGE,
        ),
        (f"!has(self.path) || !(self.path + '/').startsWith('{WELL_KNOWN}')", WELL_KNOWN_MESSAGE),
        _no_reserved("annotations"),
        (
            "!has(self.gatewayRef) || !has(self.ingressClassName)",
            "set at most one of gatewayRef, ingressClassName",
        ),
        (
            "!has(self.ingressClassName) || !has(self.path) || self.path == '/'",
            "an Ingress cannot take a path off: leave path out, or use gatewayRef",
        ),
    ),
}
"""Rules and their messages, by the model's name."""
