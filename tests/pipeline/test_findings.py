"""What `Inspected` says of the Spin that a component needs and the one that its executor has."""

import pytest

from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component
from ftl_operator.pipeline.findings import inspected_finding
from ftl_operator.pipeline.resolve import resolve
from tests.support.specs import artifact, public

IMAGE = "r.io/weather:1"


def message(kind: Kind, needs: str, version: str | None) -> str:
    app = public({"name": "weather", "image": IMAGE}, runtime={"executor": "spin"})
    found = artifact(IMAGE)
    component = Component(
        found.layer.digest, 1, Binary(kind, (), ("wasi:http/handler@0.3.0",)), (), needs=needs
    )
    finding = inspected_finding(resolve(app, {IMAGE: found}), {component.digest: component}, version)
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
