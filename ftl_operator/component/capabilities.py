"""The capability audit: compares a component's imports with the grants of its entry in the FtlApp. Pure.

An import that is not granted is a note, not an error: SDKs import more than a tool uses, and Spin refuses the
use at run time. A grant that no import needs is a warning, because it can be removed. The inspection has
already refused imports that no Spin can link.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ftl_operator.api.tools import ToolSpec
from ftl_operator.component.tool import Component


class Severity(StrEnum):
    """The severity of a finding."""

    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """A result of the audit; `field` is the ToolSpec's field, such as `keyValueStores`."""

    severity: Severity
    capability: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class _Capability:
    name: str
    interfaces: tuple[str, ...]
    """Prefixes of interface names."""
    field: str
    granted: Callable[[ToolSpec], bool]


def _reaches(*schemes: str) -> Callable[[ToolSpec], bool]:
    prefixes = ("*", *(f"{scheme}://" for scheme in schemes))
    return lambda spec: any(host.startswith(prefixes) for host in spec.allowed_outbound_hosts)


_CAPABILITIES = (
    _Capability(
        "key-value stores",
        ("fermyon:spin/key-value", "spin:key-value/", "wasi:keyvalue/"),
        "keyValueStores",
        lambda spec: bool(spec.key_value_stores),
    ),
    _Capability(
        "SQLite",
        ("fermyon:spin/sqlite", "spin:sqlite/"),
        "sqliteDatabases",
        lambda spec: bool(spec.sqlite_databases),
    ),
    _Capability("AI models", ("fermyon:spin/llm",), "aiModels", lambda spec: bool(spec.ai_models)),
    _Capability(
        "variables",
        ("fermyon:spin/variables", "fermyon:spin/config", "spin:variables/", "wasi:config/"),
        "variables",
        lambda spec: bool(spec.variables),
    ),
)
_CONNECTIONS = (
    _Capability(
        "outbound HTTP",
        ("wasi:http/outgoing-handler", "wasi:http/client", "fermyon:spin/http"),
        "allowedOutboundHosts",
        _reaches("http", "https"),
    ),
    _Capability(
        "sockets", ("wasi:sockets/",), "allowedOutboundHosts", lambda spec: bool(spec.allowed_outbound_hosts)
    ),
    _Capability(
        "Redis", ("fermyon:spin/redis", "spin:redis/"), "allowedOutboundHosts", _reaches("redis", "rediss")
    ),
    _Capability(
        "MQTT", ("fermyon:spin/mqtt", "spin:mqtt/"), "allowedOutboundHosts", _reaches("mqtt", "mqtts")
    ),
    _Capability(
        "PostgreSQL",
        ("fermyon:spin/postgres", "spin:postgres/"),
        "allowedOutboundHosts",
        _reaches("postgres", "postgresql"),
    ),
    _Capability("MySQL", ("fermyon:spin/mysql", "spin:mysql/"), "allowedOutboundHosts", _reaches("mysql")),
)


def audit(spec: ToolSpec, component: Component) -> tuple[AuditFinding, ...]:
    """Compare a component's imports with its grants; warnings first, then notes."""
    imports = component.binary.imports
    findings: list[AuditFinding] = []
    for capability in (*_CAPABILITIES, *_CONNECTIONS):
        used = [name for name in imports if name.startswith(capability.interfaces)]
        if used and not capability.granted(spec):
            text = f"it imports {used[0]} ({capability.name}), which its entry does not grant"
            findings.append(AuditFinding(Severity.NOTE, capability.name, text, capability.field))
        elif capability in _CAPABILITIES and not used and capability.granted(spec):
            text = f"its entry grants {capability.name}, which it does not import and cannot use"
            findings.append(AuditFinding(Severity.WARNING, capability.name, text, capability.field))
    connects = any(name.startswith(c.interfaces) for c in _CONNECTIONS for name in imports)
    if spec.allowed_outbound_hosts and not connects:
        text = "its entry grants outbound hosts, and it imports nothing that connects"
        findings.append(AuditFinding(Severity.WARNING, "outbound hosts", text, "allowedOutboundHosts"))
    if used := [name for name in imports if name.startswith("wasi:filesystem/")]:
        text = f"it imports {used[0]}; there are no files for it"
        findings.append(AuditFinding(Severity.NOTE, "files", text))
    order = (Severity.WARNING, Severity.NOTE)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
