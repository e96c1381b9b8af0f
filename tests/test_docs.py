"""Every command in the documentation runs, as its reader would run it. Pages for a cluster run in `e2e/`."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.pages import Reader, fences, shows

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CLUSTER = "<!-- docs: cluster -->"
"""A page with this line is followed by the end-to-end tests, on their cluster."""

PAGES = [page for page in sorted(DOCS.rglob("*.md")) if CLUSTER not in page.read_text()]
EVERY_PAGE = sorted(DOCS.rglob("*.md"))
FOLLOWED = [page for page in PAGES if any(fence.directive for fence in fences(page))]


@pytest.mark.integration
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_reader_can_follow_the_page(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    Reader(folder, tmp_path, ROOT).follow(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_command_is_shown_that_nothing_runs(page: Path) -> None:
    assert [fence.text for fence in fences(page) if fence.kind == "sh" and not fence.directive] == []


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_reader_sees_what_to_do(page: Path) -> None:
    """The text tells the reader what the comments tell the tests: which file to save, where to continue."""
    text = page.read_text()
    listed = list(fences(page))
    for number, fence in enumerate(listed):
        if fence.directive == "file":
            assert f"`{fence.argument}`" in fence.before, f"how is {fence.argument} saved?"
        if fence.directive == "background":
            assert "terminal" in listed[number + 1].before + listed[number + 2].before, fence.text
        if fence.directive == "until":
            assert "Wait until" in fence.before, fence.text
    assert "$FTL_REPOSITORY" not in text or "`$FTL_REPOSITORY` is your clone of the repository" in text


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_renderer_shows_the_page_alike(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert lines[0].startswith("# "), "mkdocs takes the title from the first line"
    assert [line for line in lines if re.search(r"`[^`]*\\\|[^`]*`", line)] == []


def test_what_a_page_shows_is_compared_word_for_word() -> None:
    assert shows("a  b\nc\n", "a b\n  c\n")
    assert shows("a …\nc\n", "a b\nd\nc")
    assert shows("…\nc …", "c d")
    assert shows("a", "inspecting file:a.wasm …\na")
    assert not shows("a", "a b")
    assert not shows("… c", "c d")
    assert not shows("c a", "a c")


def test_every_page_is_in_the_navigation() -> None:
    listed = set(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def _pages(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [page for child in children for page in _pages(child)]
