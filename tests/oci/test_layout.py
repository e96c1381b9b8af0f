"""An image layout on disk: its form by the specification, and files that are missing or broken."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.layout import KEPT_SECONDS, Layout
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.compose import LockedApp
from ftl_operator.pipeline.image import build_image


def image(content: bytes, folder: Path, word: str = "") -> tuple[OciImage, dict[Digest, Path]]:
    """An image of one layer, and the layer's file."""
    digest = sha256(content)
    path = folder / f"{digest[7:19]}.wasm"
    path.write_bytes(content)
    document = {"metadata": {"name": "app", "version": word}, "components": [], "variables": {}}
    locked = LockedApp(
        document, (Layer(Descriptor(WASM_LAYER, digest, len(content)), path=path),), (), (), ()
    )
    return build_image(locked), {digest: path}


def blobs(directory: Path) -> set[str]:
    return {path.name for path in (directory / "blobs" / "sha256").iterdir()}


def test_it_is_an_image_layout_as_specified(tmp_path: Path) -> None:
    made, files = image(b"layer", tmp_path)
    layout = Layout(tmp_path / "layout")
    assert layout.publish(made, files, "app")
    root = tmp_path / "layout"
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((root / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    (entry,) = index["manifests"]
    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "app"}
    assert (entry["digest"], entry["size"]) == (made.digest, len(made.manifest))
    manifest = json.loads((root / "blobs" / "sha256" / entry["digest"][7:]).read_bytes())
    for part in (manifest["config"], *manifest["layers"]):
        blob = (root / "blobs" / "sha256" / part["digest"][7:]).read_bytes()
        assert (len(blob), sha256(blob)) == (part["size"], part["digest"])
    assert len(blobs(root)) == 2 + len(manifest["layers"])
    assert layout.application(made.digest)["metadata"]["name"] == "app"


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    made, files = image(b"layer", tmp_path)
    layout = Layout(tmp_path / "layout")
    assert layout.publish(made, files, "app")
    before = {path: path.stat().st_ino for path in (tmp_path / "layout").rglob("*")}
    assert not layout.publish(made, files, "app")
    assert {path: path.stat().st_ino for path in (tmp_path / "layout").rglob("*")} == before


def test_an_older_image_can_still_be_read(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    old, files = image(b"old", tmp_path, "1")
    layout.publish(old, files, "app")
    new, files = image(b"new", tmp_path, "2")
    assert layout.publish(new, files, "app")
    assert layout.application(old.digest)["metadata"]["version"] == "1"
    assert layout.application(new.digest)["metadata"]["version"] == "2"


def test_a_file_that_changes_is_not_kept_under_a_wrong_digest(tmp_path: Path) -> None:
    made, files = image(b"layer", tmp_path)
    (path,) = files.values()
    path.write_bytes(b"another")
    layout = Layout(tmp_path / "layout")
    with pytest.raises(SpecError, match="changed while it was read; try again") as caught:
        layout.publish(made, files, "app")
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert path.name not in str(list((tmp_path / "layout").rglob("*")))
    path.write_bytes(b"layer")
    assert layout.publish(made, files, "app")
    assert layout.blob(sha256(b"layer")).read_bytes() == b"layer"


def test_a_file_that_is_built_anew_does_not_change_what_was_published(tmp_path: Path) -> None:
    made, files = image(b"layer", tmp_path)
    layout = Layout(tmp_path / "layout")
    layout.publish(made, files, "app")
    with next(iter(files.values())).open("r+b") as file:
        file.write(b"LAYER")
    assert layout.blob(sha256(b"layer")).read_bytes() == b"layer"


def test_what_nothing_used_for_a_day_goes(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    old, files = image(b"old", tmp_path, "1")
    layout.publish(old, files, "app")
    new, files = image(b"new", tmp_path, "2")
    layout.publish(new, files, "app")
    assert sha256(b"old")[7:] in blobs(tmp_path / "layout")
    past = time.time() - KEPT_SECONDS - 60
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        os.utime(path, (past, past))
    assert not layout.publish(new, files, "app")
    assert sha256(b"old")[7:] not in blobs(tmp_path / "layout")
    assert layout.application(new.digest)


def test_several_may_publish_at_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    made = [image(b"layer %d" % (number % 3), tmp_path, str(number)) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda item: layout.publish(*item, "app"), made))
    for number, (one, _) in enumerate(made):
        assert layout.application(one.digest)["metadata"]["version"] == str(number)
    json.loads((tmp_path / "layout" / "index.json").read_bytes())
    assert not [name for name in blobs(tmp_path / "layout") if len(name) != 64]
