"""Reads a locked Spin application: its components and their grants."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftl_operator.errors import SpecError
from ftl_operator.host.component import Component
from ftl_operator.host.spin.allowed_hosts import AllowedHosts, HostRuleError, parse_rule
from ftl_operator.host.spin.routes import Route, parse_route
from ftl_operator.host.spin.sqlite import Database
from ftl_operator.host.spin.store import Store
from ftl_operator.host.spin.variables import (
    ComponentVariables,
    VariableError,
    application_variables,
    check_name,
    check_template,
    expand,
)
from ftl_operator.host.wasi.files import tree
from ftl_operator.oci.reference import Digest, parse_digest

LOCK_VERSIONS = (0, 1)
REQUIREMENTS = frozenset(("local_service_chaining",))
"""The host requirements of components that this host meets."""

Build = Callable[..., Component]


def components_of(
    document: Mapping[str, Any],
    blob: Callable[[Digest], Path],
    given: Mapping[str, str],
    state_dir: Path | None,
    build: Build,
) -> tuple[dict[str, Component], list[Store | Database]]:
    """Make all components. Raises SpecError that names the invalid part of the document."""
    if document.get("spin_lock_version") not in LOCK_VERSIONS:
        raise SpecError(
            f"spin_lock_version {document.get('spin_lock_version')!r} is not known; this host reads 0 and 1"
        )
    try:
        values = application_variables(document.get("variables", {}), given)
    except ValueError as error:
        raise SpecError(str(error)) from None
    required = sorted(name for name, value in values.items() if value is None)
    if required:
        raise SpecError(f"no value is given for the required variable {', '.join(required)}")
    entries = document.get("components", [])
    stores = {
        label: Store(_file(state_dir, "key-value", label)) for label in _labels(entries, "key_value_stores")
    }
    databases = {
        label: Database(_file(state_dir, "sqlite", label)) for label in _labels(entries, "databases")
    }
    components = {}
    for entry in entries:
        metadata = entry.get("metadata", {})
        _check_requirements(entry)
        digest = parse_digest(entry["source"]["digest"])
        components[entry["id"]] = build(
            id=entry["id"],
            wasm=blob(digest),
            digest=digest,
            variables=_variables(entry["id"], entry.get("config", {}), values),
            environment=dict(entry.get("env", {})),
            files=tree(entry.get("files", []), blob, entry["id"]),
            databases={label: databases[label] for label in metadata.get("databases", [])},
            stores={label: stores[label] for label in metadata.get("key_value_stores", [])},
            allowed=_allowed(entry["id"], metadata.get("allowed_outbound_hosts", []), values),
        )
    return components, [*stores.values(), *databases.values()]


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """The public HTTP routes."""
    configs = (
        trigger["trigger_config"]
        for trigger in document.get("triggers", [])
        if trigger["trigger_type"] == "http"
    )
    routes = (parse_route(config["component"], config["route"]) for config in configs)
    return [route for route in routes if route is not None]


def _check_requirements(entry: Mapping[str, Any]) -> None:
    for name, need in entry.get("host_requirements", {}).items():
        if need == "required" and name not in REQUIREMENTS:
            raise SpecError(
                f"component {entry['id']!r} requires {name!r} of its host, which this one does not have"
            )


def _variables(
    component: str, templates: Mapping[str, str], values: Mapping[str, str | None]
) -> ComponentVariables:
    """A component's variables. Raises SpecError if Spin would not start the application."""
    for name, template in templates.items():
        try:
            check_name(name)
            check_template(template, values)
        except VariableError as error:
            raise SpecError(f"component {component!r}, variable {name!r}: {error}") from None
    return ComponentVariables(templates, values)


def _allowed(component: str, hosts: list[str], values: Mapping[str, str | None]) -> AllowedHosts:
    rules = []
    for host in hosts:
        try:
            text = expand(host, values)
            # An optional endpoint: with an empty variable there is nothing to allow.
            if host == text or text not in ("", "http://", "https://"):
                rules.append(parse_rule(text))
        except (HostRuleError, VariableError) as error:
            raise SpecError(f"component {component!r}, allowed_outbound_hosts: {error}") from None
    return AllowedHosts(rules)


def _labels(entries: list[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({label for entry in entries for label in entry.get("metadata", {}).get(key, [])})


def _file(state_dir: Path | None, kind: str, label: str) -> Path | None:
    if state_dir is None:
        return None
    directory = state_dir / kind
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A label may be any text, so the file name is its hexadecimal form.
    return directory / f"{label.encode().hex()}.sqlite"
