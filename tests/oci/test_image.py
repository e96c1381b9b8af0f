"""The published image, field by field as Spin's own push lays it out and as SpinKube's shim reads it."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.oci.digest import canonical
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.reference import Repository
from ftl_operator.pipeline.image import build_image
from tests.pipeline.test_compose import SETTINGS, golden

WASM = "application/vnd.wasm.content.layer.v1+wasm"
LOCKED = "application/vnd.fermyon.spin.application.v1+config"


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def image() -> OciImage:
    return build_image(golden("everything"))


def test_the_manifest_is_a_plain_image_manifest(image: OciImage) -> None:
    manifest = json.loads(image.manifest)
    assert image.digest == sha256(image.manifest)
    assert sorted(manifest) == ["annotations", "config", "layers", "schemaVersion"]
    assert manifest["schemaVersion"] == 2
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": sha256(image.config),
        "size": len(image.config),
    }


def test_the_layers_are_the_components_and_last_the_locked_application(image: OciImage) -> None:
    layers = json.loads(image.manifest)["layers"]
    assert [layer["mediaType"] for layer in layers] == [WASM, WASM, WASM, LOCKED]
    assert layers[-1] == {"mediaType": LOCKED, "digest": sha256(image.locked), "size": len(image.locked)}
    for layer, described in zip(image.layers, layers[:-1], strict=True):
        assert described == {
            "mediaType": layer.descriptor.media_type,
            "digest": layer.descriptor.digest,
            "size": layer.descriptor.size,
        }


def test_the_configuration_tells_applications_apart(image: OciImage) -> None:
    assert json.loads(image.config) == {
        "architecture": "wasm",
        "os": "Wasip1",
        "config": {"Labels": {"com.fermyon.spin.lockedAppDigest": sha256(image.locked)}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def test_nothing_tells_the_time(image: OciImage) -> None:
    annotations = json.loads(image.manifest)["annotations"]
    assert annotations == {
        "org.opencontainers.image.title": "everything",
        "org.opencontainers.image.version": "2.1.0",
        "org.opencontainers.image.description": "Tools for the support assistant",
    }


def test_every_component_has_its_layer_and_every_chained_one_a_route(image: OciImage) -> None:
    locked = json.loads(image.locked)
    digests = {layer["digest"] for layer in json.loads(image.manifest)["layers"]}
    assert locked["spin_lock_version"] == 1
    assert locked["must_understand"] == ["component_host_requirements"]
    assert locked["metadata"]["trigger"] == {"type": "http"}
    assert locked["metadata"]["triggers"] == {"http": {}}
    routes = {
        item["trigger_config"]["component"]: item["trigger_config"]["route"] for item in locked["triggers"]
    }
    assert routes == {"gateway": "/...", "weather-eu": {"private": True}, "notes": {"private": True}}
    assert len({item["id"] for item in locked["triggers"]}) == 3
    assert {item["trigger_type"] for item in locked["triggers"]} == {"http"}
    for component in locked["components"]:
        assert component["source"]["content_type"] == "application/wasm"
        assert component["source"]["digest"] in digests
        chains = any(".spin.internal" in host for host in component["metadata"]["allowed_outbound_hosts"])
        needs = component.get("host_requirements", {})
        assert needs == ({"local_service_chaining": "required"} if chains else {})


def test_one_artifact_used_twice_is_one_layer() -> None:
    locked = golden("one-artifact-twice")
    image = build_image(locked)
    assert len(locked.layers) == 3
    assert [layer.descriptor.digest for layer in image.layers] == list(
        dict.fromkeys(layer.descriptor.digest for layer in locked.layers)
    )
    assert len(image.layers) == 2


def test_layers_know_where_their_bytes_are(image: OciImage) -> None:
    assert image.layers[0] == SETTINGS.gateway
    assert [layer.source for layer in image.layers[1:]] == [
        Repository("ghcr.io", "acme/weather"),
        Repository("registry.acme.dev:5000", "tools/notes"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(JSON)
def test_canonical_json_says_the_same_whatever_the_order(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(reordered(value)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_in_utf_8_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        canonical([value])
