"""The login's pages in a real browser: what people see, on phone and desktop, and what a hostile page can do.

The screenshots stay in `dist/login-pages` for a person to look at.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builds import built
from ftl_operator.cli.users import user_line
from tests.auth.serving import need, serving
from tests.support.command import DEADLINE, ROOT

pytestmark = pytest.mark.needs("auth-tool", "browser")

PASSWORD = "correct horse"
FOLDER = ROOT / "dist" / "login-pages"
LOOKS = [f"{size}-{colors}" for size in ("phone", "desktop") for colors in ("light", "dark")]
PAGES = (
    "sign-in",
    "wrong-password",
    "consent",
    "sign-out",
    "signed-out",
    "error",
    "error-of-the-client",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    secrets = {"people": {"users": f"{user_line('ann', PASSWORD)}\n"}}
    spec = {
        "access": "private",
        "auth": {
            "login": {"users": {"secretRef": {"name": "people", "key": "users"}}},
            "requiredScopes": ["mcp:tools"],
        },
        "gateway": {"title": "Mail & files"},
    }
    scopes = [{"tools": ["send"], "require": ["mail:send"]}]
    folder = tmp_path_factory.mktemp("pages")
    with serving(folder, spec, scopes=scopes, secrets=secrets) as process:
        job = {
            "url": process.document["url"],
            "user": "ann",
            "password": PASSWORD,
            "folder": str(FOLDER),
            "chromium": need("chromium"),
        }
        run = subprocess.run(
            [need("node"), str(built("browser") / "pages.mjs"), json.dumps(job)],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_every_page_is_kept_for_a_person_to_look_at(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {f"{page}-{look}.png" for page in PAGES for look in LOOKS} | {"too-often-phone-light.png"}
    assert {path.name for path in FOLDER.glob("*.png")} == expected == set(report["shots"])
    with capsys.disabled():
        print(f"\nthe login's pages are in {Path(FOLDER).relative_to(ROOT)}")


def test_pages_fit_a_phone_and_can_be_read_in_light_and_dark(report: dict[str, Any]) -> None:
    assert report["wide"] == []
    assert report["faint"] == [], "contrast below 4.5 (WCAG 2.2, 1.4.3)"


def test_pages_work_by_keyboard_and_for_screen_readers_without_script(report: dict[str, Any]) -> None:
    assert report["blocked"] == [], "fields without a label, small targets, or what the policy blocked"


def test_people_go_back_with_what_they_decided(report: dict[str, Any]) -> None:
    assert len(report["answers"]) == 2 * len(LOOKS)
    for allowed, denied in zip(report["answers"][::2], report["answers"][1::2], strict=True):
        assert allowed["code"]
        assert allowed["state"] == allowed["sent"]
        assert allowed["iss"].startswith("http://127.0.0.1:")
        assert denied["error"] == "access_denied"
        assert "code" not in denied


def test_the_consent_page_says_who_asks_for_what(report: dict[str, Any]) -> None:
    consent = report["texts"]["consent"]
    for part in (report["name"], "Mail & files", report["origin"], "mail:send", "Call mail__send", "ann"):
        assert part in consent
    assert "nobody has checked that" in consent
    assert "too many" in report["texts"]["too-often"]


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(report: dict[str, Any]) -> None:
    assert report["cookies"]
    for cookie in report["cookies"]:
        assert cookie["httpOnly"]
        assert cookie["sameSite"] in ("Lax", "Strict")


def test_a_hostile_page_neither_frames_the_login_nor_consents_for_anybody(report: dict[str, Any]) -> None:
    assert report["framed"] == [0], "the frame has no form to click on"
    assert report["forged"] in (400, 403)
