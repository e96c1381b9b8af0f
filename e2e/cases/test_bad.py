"""Every example in `bad/` is refused by the API server or makes the app `Stalled`, with the field's path.

An example's first line is the path. `REGISTRY` stands for the registry, `TOOL` for a tool with `forecast` and
`history`, `TEXT` for an artifact that is no WebAssembly.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from e2e.cluster.api import ApiError
from e2e.cluster.control_plane import Cluster
from e2e.cluster.registry import WASM_LAYER
from e2e.support.apps import App

EXAMPLES = sorted((Path(__file__).parents[1] / "bad").glob("*.yaml"))

pytestmark = pytest.mark.usefixtures("operator")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_bad_example_is_refused_with_its_field(
    cluster: Cluster, namespace: str, push: Callable[..., str], path: Path
) -> None:
    text = path.read_text()
    field = text.splitlines()[0].removeprefix("# ")
    if "TOOL" in text:
        text = text.replace("TOOL", push("weather", "1", "forecast", "history"))
    if "TEXT" in text:
        cluster.registry.push(f"tools/{namespace}/text", "1", {}, [(WASM_LAYER, b"no WebAssembly")])
        text = text.replace("TEXT", f"{cluster.registry.address}/tools/{namespace}/text:1")
    text = text.replace("REGISTRY", cluster.registry.address)
    app = App(cluster, namespace, name="bad")
    app.spec = {**yaml.safe_load(text)["spec"], "imagePullSecrets": [{"name": "registry"}]}
    try:
        app.apply()
    except ApiError as error:
        told = f"{error.message} {[cause.get('field') for cause in error.causes]}"
        assert mentions(told, field), told
        return
    stalled = app.wait("Stalled", seconds=40)
    assert mentions(stalled["message"], field), stalled
    assert app.condition("Ready")["status"] == "False"
    assert not app.pods()
    assert not cluster.registry.pushed(app.repository)


def mentions(text: str, field: str) -> bool:
    """Whether a text has the path; the API server sometimes leaves out an index or writes a key for it."""
    return field in text or re.sub(r"\[.*?\]", "", field) in re.sub(r"\[.*?\]", "", text)
