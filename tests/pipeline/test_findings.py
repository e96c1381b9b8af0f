"""What `Inspected` says of the Spin that a component needs and the one that its executor has."""

from dataclasses import replace

import pytest

from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component
from ftl_operator.oci.descriptor import Layer
from ftl_operator.pipeline.compose import ComposeSettings, compose
from ftl_operator.pipeline.findings import inspected_finding
from ftl_operator.pipeline.resolve import resolve
from tests.support.specs import artifact, component, public
from tests.support.specs import tool as tool_named

IMAGE = "r.io/weather:1"


def message(kind: Kind, needs: str, version: str | None) -> str:
    app = public({"name": "weather", "image": IMAGE}, runtime={"executor": "spin"})
    found = artifact(IMAGE)
    binary = Binary(kind, (), ("wasi:http/handler@0.3.0",))
    known = Component(found.layer.digest, 1, binary, (), needs=needs)
    finding = inspected_finding(resolve(app, {IMAGE: found}), {known.digest: known}, version)
    assert finding.status == "True"
    return finding.message


NEEDS_4_1 = "weather needs Spin 4.1 or newer (it is built for WASI 0.3)"
UNDECLARED = (
    "the executor 'spin' does not say which Spin it has (its annotation ftl.tools/spin-version, or its "
    "spinImage's tag)"
)
ADVICE = (
    "build it for WASI 0.2, or let spec.runtime.executor name a SpinAppExecutor whose "
    "deploymentConfig.spinImage has Spin 4.1 or newer"
)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("4.1.0", f"{NEEDS_4_1}, and the executor 'spin' has Spin 4.1.0"),
        ("3.6.3", f"{NEEDS_4_1}; the executor 'spin' has Spin 3.6.3, which does not run it: {ADVICE}"),
        (
            "",
            f"{NEEDS_4_1}; {UNDECLARED}, and the newest shim of SpinKube has Spin 3.6: {ADVICE}",
        ),
        (None, f"{NEEDS_4_1}; the newest shim of SpinKube has Spin 3.6: {ADVICE}"),
    ],
)
def test_a_component_of_wasi_0_3_says_who_runs_it_and_what_to_do(version: str | None, said: str) -> None:
    assert message(Kind.WASI_0_3, "Spin 4.1", version) == f"0 tools in 1 component; {said}"


def test_a_component_with_imports_of_spin_4_says_so_too() -> None:
    said = message(Kind.WASI_0_2, "Spin 4", "3.6.3")
    assert "needs Spin 4 or newer (no other Spin has all of its imports)" in said
    assert "build it without those imports, or" in said


@pytest.mark.parametrize("version", [None, "", "3.6.3"])
def test_what_the_shim_runs_asks_for_nothing(version: str | None) -> None:
    assert ": build" not in message(Kind.WASI_0_3, "Spin 3.6", version)
    assert "Spin" not in message(Kind.WASI_0_2, "", version)


def test_two_artifacts_of_one_component_have_each_their_own_catalog() -> None:
    """One digest and two catalogs: neither entry gets the other's tools."""
    other = "r.io/weather:2"
    app = public({"name": "one", "image": IMAGE}, {"name": "two", "image": other})
    found = {IMAGE: replace(artifact(IMAGE), catalog="[1]")}
    found[other] = replace(artifact(other), layer=found[IMAGE].layer, catalog="[2]")
    resolved = resolve(app, found)
    components = {}
    for tool in resolved.tools:
        known = component(tool.source.layer, [tool_named(f"of_{tool.spec.name}")])
        components[tool.identity] = replace(known, packaged=True, catalog_note=f"its {tool.spec.name}")
    gateway = ComposeSettings(Layer(artifact("r.io/gateway:1").layer))
    locked = compose(resolved, components, None, gateway)
    assert [tool.full_name for tool in locked.tools] == ["one__of_one", "two__of_two"]
    said = inspected_finding(resolved, components).message
    assert "one: its one; two: its two" in said
