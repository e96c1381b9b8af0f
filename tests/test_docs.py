"""Every command in the documentation runs, as its reader would run it. Pages for a cluster run in `e2e/`."""

from pathlib import Path

import pytest
import yaml

from tests.pages import Reader, fences

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CLUSTER = "<!-- docs: cluster -->"
"""A page that starts so is followed by the end-to-end tests, on their cluster."""

PAGES = [page for page in sorted(DOCS.rglob("*.md")) if CLUSTER not in page.read_text()]
FOLLOWED = [page for page in PAGES if any(fence.directive for fence in fences(page))]


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_reader_can_follow_the_page(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    Reader(folder, tmp_path, ROOT).follow(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_command_is_shown_that_nothing_runs(page: Path) -> None:
    assert [fence.text for fence in fences(page) if fence.kind == "sh" and not fence.directive] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = set(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def _pages(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [page for child in children for page in _pages(child)]
