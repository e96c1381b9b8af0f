"""Logins from docker's files, helper programs and pull Secrets."""

import base64
import json
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.errors import FtlError, Reason, RegistryError
from ftl_operator.oci.reference import Repository, parse_repository
from ftl_operator.registry import docker_config as registry_docker_config
from ftl_operator.registry.docker_config import Credentials, Login, glob_matches

SECRET = "p4ss:with:colons"


def auth(user: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def pull_secret(auths: dict[str, object]) -> Credentials:
    return Credentials.from_dockerconfigjson(json.dumps({"auths": auths}).encode(), "Secret agents/pull")


def user_for(found: Credentials, repository: str) -> str | None:
    login = found.find(parse_repository(repository))
    return login.username if login else None


@pytest.mark.parametrize(
    ("key", "repository", "matches"),
    [
        ("ghcr.io", "ghcr.io/acme/weather", True),
        ("https://ghcr.io", "ghcr.io/acme/weather", True),
        ("https://ghcr.io/v2/", "ghcr.io/acme/weather", True),
        ("GHCR.io", "ghcr.io/acme/weather", True),
        ("ghcr.io", "ghcr.io:8443/acme/weather", False),
        ("ghcr.io:8443", "ghcr.io:8443/acme/weather", True),
        ("ghcr.io", "evil-ghcr.io/acme/weather", False),
        ("ghcr.io", "ghcr.io.evil.dev/acme/weather", False),
        ("ghcr.io/acme", "ghcr.io/acme/weather", True),
        ("ghcr.io/acme", "ghcr.io/acme", True),
        ("ghcr.io/acme", "ghcr.io/acme-other/weather", False),
        ("*.example.dev", "eu.example.dev/a/b", True),
        ("*.example.dev", "example.dev/a/b", False),
        ("*.example.dev", "a.b.example.dev/a/b", False),
        ("*.example.dev:5000", "eu.example.dev:5000/a/b", True),
        ("*.example.dev:*", "eu.example.dev:5000/a/b", False),
        ("r*.example.dev/team", "r1.example.dev/team/b", True),
        ("https://index.docker.io/v1/", "docker.io/library/alpine", True),
        ("docker.io", "registry-1.docker.io/library/alpine", True),
        ("docker.io", "quay.io/library/alpine", False),
    ],
)
def test_an_entry_is_for_a_registry_or_a_path_below_it(key: str, repository: str, *, matches: bool) -> None:
    assert user_for(pull_secret({key: auth("ann")}), repository) == ("ann" if matches else None)


def test_the_longest_path_then_the_plainest_host_decides() -> None:
    found = pull_secret(
        {
            "*.example.dev": auth("wildcard"),
            "eu.example.dev": auth("host"),
            "eu.example.dev/team": auth("team"),
            "eu.example.dev/team/tools": auth("tools"),
        }
    )
    assert user_for(found, "eu.example.dev/team/tools/a") == "tools"
    assert user_for(found, "eu.example.dev/team/other") == "team"
    assert user_for(found, "eu.example.dev/x") == "host"
    assert user_for(found, "us.example.dev/x") == "wildcard"
    assert user_for(found, "other.dev/x") is None


def test_all_forms_of_an_entry_are_read() -> None:
    found = pull_secret(
        {
            "a.dev": auth("ann"),
            "b.dev": {"username": "bob", "password": SECRET},
            "c.dev": {"identitytoken": "refresh", "auth": auth("ignored")["auth"]},
            "d.dev": {"registrytoken": "bearer"},
            "e.dev": {},
        }
    )
    assert found.find(Repository("a.dev", "x")) == Login("ann", SECRET)
    assert found.find(Repository("b.dev", "x")) == Login("bob", SECRET)
    assert found.find(Repository("c.dev", "x")) == Login(identity_token="refresh")
    assert found.find(Repository("d.dev", "x")) == Login(registry_token="bearer")
    assert found.find(Repository("e.dev", "x")) is None


def test_the_first_source_that_knows_decides() -> None:
    found = pull_secret({"a.dev": auth("first")}).then(
        pull_secret({"a.dev": auth("second"), "b.dev": auth("b")})
    )
    assert user_for(found, "a.dev/x") == "first"
    assert user_for(found, "b.dev/x") == "b"
    assert user_for(Credentials(), "a.dev/x") is None
    assert user_for(Credentials.from_login("a.dev", Login("me", "pw")), "a.dev/x") == "me"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json " + SECRET.encode(),
        b"[]",
        b"[" * 100_000,
        json.dumps({"auths": {"a.dev": {"auth": "not base64 " + SECRET}}}).encode(),
        json.dumps({"auths": {"a.dev": {"auth": base64.b64encode(b"no-colon-s3cret").decode()}}}).encode(),
        b" " * (registry_docker_config.MAX_CONFIG_BYTES + 1),
    ],
)
def test_an_unusable_secret_is_named_and_its_text_is_not_shown(raw: bytes) -> None:
    with pytest.raises(RegistryError, match="Secret agents/pull") as caught:
        Credentials.from_dockerconfigjson(raw, "Secret agents/pull")
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
    assert SECRET not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_login_shows_no_secret() -> None:
    login = Login("ann", SECRET, "refresh-s3cret", "bearer-s3cret")
    assert "s3cret" not in repr(login)
    assert SECRET not in repr(login)


def test_odd_shapes_are_no_logins() -> None:
    found = Credentials.from_dockerconfigjson(
        b'{"auths": {"a.dev": 3, "b.dev": null}, "credHelpers": []}', "s"
    )
    assert user_for(found, "a.dev/x") is None
    assert user_for(Credentials.from_dockerconfigjson(b'{"auths": []}', "s"), "a.dev/x") is None


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    found = None
    try:
        found = Credentials.from_dockerconfigjson(raw, "s")
    except FtlError:
        return
    assert isinstance(found, Credentials)


# Docker's own configuration file and its helpers


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs `docker-credential-NAME` with a shell script as its body; gives the file of its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    calls = tmp_path / "calls"
    calls.touch()

    def install(name: str, body: str) -> Path:
        program = folder / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> {calls}\n{body}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return calls

    return install


def docker_config(tmp_path: Path, document: dict[str, object]) -> Credentials:
    (tmp_path / "config.json").write_text(json.dumps(document))
    return Credentials.from_environment({"DOCKER_CONFIG": str(tmp_path)})


def test_docker_config_is_found_as_docker_finds_it(tmp_path: Path) -> None:
    assert user_for(docker_config(tmp_path, {"auths": {"a.dev": auth("ann")}}), "a.dev/x") == "ann"
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {"a.dev": auth("home")}}))
    assert user_for(Credentials.from_environment({"HOME": str(home)}), "a.dev/x") == "home"
    assert user_for(Credentials.from_environment({"HOME": str(tmp_path / "nobody")}), "a.dev/x") is None


def test_a_helper_answers_for_its_registry(tmp_path: Path, helper) -> None:
    calls = helper("cloud", 'echo \'{"ServerURL":"a.dev","Username":"cloud","Secret":"s3cret"}\'')
    found = docker_config(tmp_path, {"credHelpers": {"a.dev": "cloud"}, "auths": {"b.dev": auth("bob")}})
    assert found.find(Repository("a.dev", "x")) == Login("cloud", "s3cret")
    assert found.find(Repository("a.dev", "y")) == Login("cloud", "s3cret")
    assert user_for(found, "b.dev/x") == "bob"
    assert calls.read_text() == "get a.dev\n"


def test_a_store_answers_for_every_registry_and_knows_docker_hubs_key(tmp_path: Path, helper) -> None:
    calls = helper(
        "store",
        'case "$server" in https://index.docker.io/v1/) echo \'{"Username":"<token>","Secret":"refresh"}\';; '
        '*) echo "credentials not found in native keychain"; exit 1;; esac',
    )
    found = docker_config(tmp_path, {"credsStore": "store", "auths": {"b.dev": auth("bob"), "c.dev": {}}})
    assert found.find(Repository("docker.io", "library/alpine")) == Login(identity_token="refresh")
    assert user_for(found, "b.dev/x") == "bob"
    assert user_for(found, "c.dev/x") is None
    assert calls.read_text().splitlines()[0] == "get https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo s3cret >&2; exit 3", "status 3"),
        ("echo s3cret", "not the JSON"),
        ('echo \'{"Username": "s3cret"}\'', "not the JSON"),
        ("echo '[]'", "not the JSON"),
    ],
)
def test_a_failing_helper_is_told_without_its_words(tmp_path: Path, helper, body: str, why: str) -> None:
    helper("bad", body)
    found = docker_config(tmp_path, {"credsStore": "bad"})
    with pytest.raises(RegistryError, match=why) as caught:
        found.find(Repository("a.dev", "x"))
    assert "s3cret" not in str(caught.value)


def test_a_helper_that_hangs_is_ended(tmp_path: Path, helper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_docker_config, "HELPER_TIMEOUT", 0.3)
    helper("slow", "sleep 60; echo")
    started = time.monotonic()
    with pytest.raises(RegistryError, match="no answer within"):
        docker_config(tmp_path, {"credsStore": "slow"}).find(Repository("a.dev", "x"))
    assert time.monotonic() - started < 10


def test_a_helper_that_is_not_installed_is_named(tmp_path: Path) -> None:
    found = docker_config(tmp_path, {"credHelpers": {"a.dev": "absent-helper"}})
    with pytest.raises(RegistryError, match=r"docker-credential-absent-helper.*not on PATH"):
        found.find(Repository("a.dev", "x"))


def test_a_secret_never_names_a_program_to_run(tmp_path: Path, helper) -> None:
    calls = helper("evil", 'echo \'{"Username":"evil","Secret":"x"}\'')
    raw = json.dumps({"credsStore": "evil", "credHelpers": {"a.dev": "evil"}}).encode()
    assert Credentials.from_dockerconfigjson(raw, "s").find(Repository("a.dev", "x")) is None
    assert calls.read_text() == ""


@pytest.mark.parametrize("name", ["../evil", "a b", "", "a/b", "x" * 65, 7])
def test_a_helpers_name_is_a_plain_word(tmp_path: Path, name: object) -> None:
    found = docker_config(tmp_path, {"credsStore": name, "credHelpers": {"a.dev": name}})
    assert found.find(Repository("a.dev", "x")) is None


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("*", "", True),
        ("a*b", "ab", True),
        ("a*b", "aXb", True),
        ("a*a", "a", False),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b*", "xxbxxaxx", False),
        ("a**b", "aXb", True),
    ],
)
def test_globs(pattern: str, text: str, *, expected: bool) -> None:
    assert glob_matches(pattern, text) is expected


def test_a_hostile_glob_takes_no_time() -> None:
    started = time.monotonic()
    assert not glob_matches("*a" * 5000 + "b", "a" * 20_000)
    assert time.monotonic() - started < 1
