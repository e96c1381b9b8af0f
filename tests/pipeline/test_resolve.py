"""Which references are looked up, and what they resolve to."""

from pathlib import Path

import pytest

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, LocalArtifact
from ftl_operator.oci.reference import FileReference, parse_reference
from ftl_operator.pipeline.resolve import layer_of, resolve, sources
from tests.support.specs import artifact, public

ONE = {"name": "one", "image": "ghcr.io/acme/suite:1", "component": "a"}
TWO = {"name": "two", "image": "ghcr.io/acme/suite:1"}
FILE = {"name": "local", "image": "file:tools/a.wasm"}


def test_every_source_is_looked_up_once() -> None:
    app = public(ONE, TWO, {**TWO, "name": "three"}, gateway={"image": "ghcr.io/acme/gateway:2"})
    assert sources(app) == {
        "ghcr.io/acme/suite:1#a": parse_reference("ghcr.io/acme/suite:1"),
        "ghcr.io/acme/suite:1": parse_reference("ghcr.io/acme/suite:1"),
        "ghcr.io/acme/gateway:2": parse_reference("ghcr.io/acme/gateway:2"),
    }


def test_local_files_are_for_a_folder_only() -> None:
    app = public(TWO, FILE)
    assert sources(app, Path("/srv"))["file:tools/a.wasm"] == FileReference(Path("/srv/tools/a.wasm"))
    with pytest.raises(SpecError) as caught:
        sources(app)
    assert caught.value.field == "spec.tools[1].image"


@pytest.mark.parametrize("image", ["acme/weather:1", "ghcr.io/acme/weather"])
def test_a_reference_that_is_not_usable_is_named(image: str) -> None:
    with pytest.raises(SpecError) as caught:
        sources(public(TWO, {"name": "bad", "image": image}))
    assert (caught.value.field, caught.value.reason) == ("spec.tools[1].image", Reason.INVALID_REFERENCE)
    with pytest.raises(SpecError) as caught:
        sources(public(TWO, gateway={"image": image}))
    assert caught.value.field == "spec.gateway.image"


def test_tools_are_pinned_in_their_order() -> None:
    app = public(ONE, TWO)
    found = {
        "ghcr.io/acme/suite:1": artifact("ghcr.io/acme/suite:1"),
        ONE["image"] + "#a": artifact(ONE["image"], "a"),
    }
    resolved = resolve(app, found)
    assert [tool.spec.name for tool in resolved.tools] == ["one", "two"]
    assert resolved.tools[0].source == found["ghcr.io/acme/suite:1#a"]
    assert resolved.tools[0].digest == found["ghcr.io/acme/suite:1#a"].layer.digest
    pinned = found["ghcr.io/acme/suite:1"].manifest_digest
    assert resolved.tools[1].pinned == f"ghcr.io/acme/suite:1@{pinned}"
    assert resolved.gateway is None


def test_another_gateway_is_pinned_too() -> None:
    image = "ghcr.io/acme/gateway:2"
    app = public(TWO, gateway={"image": image})
    assert resolve(app, {TWO["image"]: artifact(TWO["image"]), image: artifact(image)}).gateway == artifact(
        image
    )
    with pytest.raises(SpecError) as caught:
        resolve(app, {TWO["image"]: artifact(TWO["image"])})
    assert caught.value.field == "spec.gateway.image"


def test_a_source_that_was_not_found_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        resolve(public(TWO, ONE), {TWO["image"]: artifact(TWO["image"])})
    assert (caught.value.field, caught.value.reason) == ("spec.tools[1].image", Reason.REFERENCE_NOT_FOUND)


def test_a_layer_keeps_its_digest_and_gets_spins_media_type() -> None:
    found = artifact(TWO["image"])
    layer = layer_of(found)
    assert found.layer.media_type == "application/wasm"
    assert layer.descriptor.media_type == WASM_LAYER
    assert (layer.descriptor.digest, layer.descriptor.size) == (found.layer.digest, found.layer.size)
    assert (layer.source, layer.path) == (found.reference.repository, None)


def test_a_local_file_is_named_without_its_folder() -> None:
    found = LocalArtifact(Path("/home/ann/app/tools/a.wasm"), artifact(TWO["image"]).layer)
    tool = resolve(public(FILE), {FILE["image"]: found}).tools[0]
    assert tool.pinned == "file:a.wasm"
    assert layer_of(found).path == found.path
