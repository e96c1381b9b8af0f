"""References and digests, and mistakes that people and other parsers make with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.reference import (
    MAX_REFERENCE_LENGTH,
    FileReference,
    Reference,
    Repository,
    parse_digest,
    parse_reference,
    parse_repository,
    parse_source,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "name", "tag", "digest"),
    [
        ("ghcr.io/acme/weather:1.4", "ghcr.io", "acme/weather", "1.4", None),
        ("ghcr.io/weather:1", "ghcr.io", "weather", "1", None),
        (f"ghcr.io/acme/weather@{DIGEST}", "ghcr.io", "acme/weather", None, DIGEST),
        (f"ghcr.io/acme/weather:1.4@{DIGEST}", "ghcr.io", "acme/weather", "1.4", DIGEST),
        ("GHCR.io/acme/weather:V1", "ghcr.io", "acme/weather", "V1", None),
        ("localhost/a/b:c", "localhost", "a/b", "c", None),
        ("localhost:5000/a:1", "localhost:5000", "a", "1", None),
        ("registry:5000/a/b/c/d:1", "registry:5000", "a/b/c/d", "1", None),
        ("127.0.0.1:5000/a:1", "127.0.0.1:5000", "a", "1", None),
        ("[::1]:5000/a/b:1", "[::1]:5000", "a/b", "1", None),
        ("[2001:db8::1]/a:1", "[2001:db8::1]", "a", "1", None),
        (f"[::1]:5000/a@{DIGEST}", "[::1]:5000", "a", None, DIGEST),
        (
            "registry.acme.dev:65535/a__b/c-d/e.f--g:_x",
            "registry.acme.dev:65535",
            "a__b/c-d/e.f--g",
            "_x",
            None,
        ),
        ("ghcr.io/a:" + "t" * 128, "ghcr.io", "a", "t" * 128, None),
    ],
)
def test_references(text: str, registry: str, name: str, tag: str | None, digest: str | None) -> None:
    reference = parse_reference(text)
    assert reference == Reference(Repository(registry, name), tag, digest)  # type: ignore[arg-type]
    assert str(reference) == text.replace("GHCR", "ghcr")
    assert reference.version == (digest or tag)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no registry"),
        ("weather", "names no registry"),
        ("weather:1", "names no registry"),
        ("acme/weather:1", "names no registry"),
        ("a/b/c:1", "names no registry"),
        ("/a:1", "names no registry"),
        ("https://ghcr.io/a:1", "names no registry"),
        ("ghcr.io:/a:1", "names no registry"),
        ("ghcr.io:0/a:1", "names no registry"),
        ("ghcr.io:65536/a:1", "names no registry"),
        ("ghcr.io:٣/a:1", "names no registry"),
        ("ghcr..io/a:1", "names no registry"),
        ("-ghcr.io/a:1", "names no registry"),
        ("ghcr_io.dev/a:1", "names no registry"),
        ("user@ghcr.io/a:1", "is not a digest"),
        ("[::1/a:1", "names no registry"),
        ("[::1]5000/a:1", "names no registry"),
        ("[::1]:/a:1", "names no registry"),
        ("[::g]/a:1", "names no registry"),
        ("[1.2.3.4]/a:1", "names no registry"),
        ("::1/a:1", "names no registry"),
        (
            "ghcr.io/acme/weather",
            "it has no tag or digest; no 'latest' is assumed, write ghcr.io/acme/weather:TAG",
        ),
        ("ghcr.io:5000/a", "it has no tag or digest"),
        ("[::1]:5000/a", "it has no tag or digest"),
        ("ghcr.io/acme/weather:", "is not a tag"),
        ("ghcr.io/acme/weather:-x", "is not a tag"),
        ("ghcr.io/acme/weather:a/b", "not a repository path"),
        ("ghcr.io/acme/weather:1:2", "is not a tag"),
        ("ghcr.io/a:" + "t" * 129, "is not a tag"),
        ("ghcr.io/a:1\n", "is not a tag"),
        ("ghcr.io/Acme/weather:1", "not a repository path"),
        ("ghcr.io/acme//weather:1", "not a repository path"),
        ("ghcr.io/acme/weather/:1", "not a repository path"),
        ("ghcr.io/../weather:1", "not a repository path"),
        ("ghcr.io/a___b:1", "not a repository path"),
        ("ghcr.io/ acme:1", "not a repository path"),
        ("ghcr.io/ac\u00e9:1", "not a repository path"),
        ("ghcr.io/a@sha256:abc", "is not a digest"),
        (f"ghcr.io/a@{DIGEST.upper()}", "is not a digest"),
        (f"ghcr.io/a@{DIGEST}0", "is not a digest"),
        (f"ghcr.io/a@{DIGEST}@{DIGEST}", "is not a digest"),
        ("ghcr.io/a@sha512:" + "0" * 128, "is not a digest"),
        ("ghcr.io/a@", "is not a digest"),
        ("ghcr.io/" + "a" * MAX_REFERENCE_LENGTH + ":1", "longer than 512"),
        ("file:weather.wasm", "local files work in 'up' and 'render' only"),
    ],
)
def test_other_texts_are_refused_with_the_field(text: str, why: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_reference(text, "spec.tools[0].image")
    assert why in caught.value.message
    assert caught.value.field == "spec.tools[0].image"
    assert caught.value.reason is Reason.INVALID_REFERENCE


def test_no_host_is_guessed_from_localhost() -> None:
    assert parse_reference("localhost/a/b:1").repository == Repository("localhost", "a/b")


@pytest.mark.parametrize(
    ("registry", "host"),
    [("ghcr.io", "ghcr.io"), ("localhost:5000", "localhost"), ("[::1]:5000", "::1"), ("[::1]", "::1")],
)
def test_the_host_of_a_repository(registry: str, host: str) -> None:
    assert parse_repository(f"{registry}/a").host == host


@pytest.mark.parametrize("text", ["ghcr.io", "ghcr.io/", "ghcr.io/a:1", f"ghcr.io/a@{DIGEST}", "acme/tools"])
def test_a_repository_has_a_registry_and_no_version(text: str) -> None:
    with pytest.raises(SpecError):
        parse_repository(text)


def test_a_pinned_reference_keeps_its_tag() -> None:
    pinned = parse_reference("ghcr.io/a:1").pinned(parse_digest(DIGEST))
    assert str(pinned) == f"ghcr.io/a:1@{DIGEST}"
    assert pinned.version == DIGEST


def test_local_files_are_relative_to_their_ftlapp() -> None:
    folder = Path("/srv/app")
    assert parse_source("file:../tools/a.wasm", folder) == FileReference(Path("/srv/tools/a.wasm"))
    assert parse_source("file:/opt/a.wasm", folder) == FileReference(Path("/opt/a.wasm"))
    assert str(parse_source("file:a.wasm", folder)) == "file:/srv/app/a.wasm"
    assert parse_source("ghcr.io/a:1", folder) == parse_reference("ghcr.io/a:1")
    with pytest.raises(SpecError):
        parse_source("a.wasm", folder)


@given(st.text(max_size=80) | st.from_regex(r"[a-z\[\]:.]{0,12}/[a-zA-Z0-9/._-]{0,12}[:@][a-z0-9:]{0,80}"))
def test_any_text_is_a_reference_that_says_the_same_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except SpecError:
        return
    assert parse_reference(str(reference)) == reference
    assert str(reference).lower() == text.lower()


@pytest.mark.parametrize(
    "text", ["text.wasm", "./text.wasm", "../tools/text.wasm", "/srv/text.wasm", "./text"]
)
def test_a_path_without_file_is_told_how_to_write_it(text: str) -> None:
    with pytest.raises(SpecError, match=f"for a file on this machine write file:{text}$"):
        parse_source(text, Path("/srv"), "spec.tools[0].image")
