"""What a login needs on the command line: its keys, its users, and `up` on this machine."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from argon2 import PasswordHasher

from ftl_operator.api.app import FtlApp
from ftl_operator.cli import key_file, login_file, users
from ftl_operator.cli.local_login import LocalLogin
from ftl_operator.cli.users import new_password, read_lines, user_line, with_line, without
from ftl_operator.cli.workspace import AppFile
from ftl_operator.errors import SpecError
from ftl_operator.issuer.login import public_keys
from ftl_operator.manifests.login_secret import jwks_text, keys_text, new_keys, read_keys, rotated
from tests.support.command import Shell

APP = """\
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: assistant, namespace: agents} # the team's
spec:
  access: private
  auth:
    login: {users: {secretRef: {name: people, key: list}}}
  tools:
    - {name: text, image: "file:text.wasm"}
"""
PASSWORD = "correct horse"


def documents(path: Path) -> dict[str, Any]:
    """The Secrets of a manifest, by name."""
    found = list(yaml.safe_load_all(path.read_text()))
    return {item["metadata"]["name"]: item for item in found if item["kind"] == "Secret"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "ftlapp.yaml"
    path.write_text(APP)
    path.chmod(0o644)
    return path


def test_a_line_has_a_hash_that_the_component_accepts_and_no_password() -> None:
    line = user_line("ann+a@acme.dev", PASSWORD, ["mail:send", "b"], "ann@acme.dev")
    assert PASSWORD not in str(line)
    assert re.fullmatch(
        r"ann\+a@acme\.dev \$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}"
        r" scopes=mail:send,b email=ann@acme\.dev",
        str(line),
    )
    assert PasswordHasher().verify(line.password, PASSWORD)
    assert list(read_lines(f"# people\n\n{line}\n")) == [line]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "ä", "a" * 65, "#a", "a=b"])
def test_a_name_that_the_component_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        user_line(name, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "a" * 129, "with\nbreaks", "\x00" * 10])
def test_a_password_that_nobody_should_have_is_refused(password: str) -> None:
    with pytest.raises(SpecError, match="password") as caught:
        user_line("ann", password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "ann",
        "ann secret password",
        "ann $argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "LINE only=mail",
        "LINE scopes=",
        "LINE scopes=a scopes=b",
        "LINE email=nobody",
    ],
)
def test_a_line_that_the_component_does_not_take_is_told_by_its_number_alone(line: str) -> None:
    good = str(user_line("ann", PASSWORD))
    with pytest.raises(SpecError) as caught:
        list(read_lines(f"# people\n{line.replace('LINE', good)}\n"))
    assert "line 2" in str(caught.value)
    assert "password" not in str(caught.value)
    assert "$argon2id$v" not in str(caught.value)


def test_lines_are_changed_in_their_place_and_comments_stay() -> None:
    ann, bob = user_line("ann", PASSWORD), user_line("bob", PASSWORD)
    text = f"# people\n{ann}\n{bob}\n# end\n"
    changed = user_line("ann", "another one")
    assert with_line(text, changed) == f"# people\n{changed}\n{bob}\n# end\n"
    assert without(text, "ann") == f"# people\n{bob}\n# end\n"
    assert with_line("", ann) == f"{ann}\n"


def test_made_passwords_are_good_and_different() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"([2-9a-hjkmnp-z]{5}-){3}[2-9a-hjkmnp-z]{5}", password) for password in made)


def test_a_user_is_added_to_a_file_that_has_no_secret_yet(shell: Shell, manifest: Path) -> None:
    done = shell.invoke("user", "add", "ann", manifest, "--generate", "--email", "ann@acme.dev")
    assert done.code == 0
    password = done.out.strip()
    assert manifest.read_text().startswith(APP), "the FtlApp stays as it is, comments included"
    secret = documents(manifest)["people"]
    assert secret["metadata"] == {"name": "people", "namespace": "agents"}
    (line,) = read_lines(secret["stringData"]["list"])
    assert (line.name, line.email) == ("ann", "ann@acme.dev")
    assert PasswordHasher().verify(line.password, password)
    assert password not in manifest.read_text()
    assert mode(manifest) == 0o600


def test_users_are_changed_listed_and_removed(shell: Shell, manifest: Path) -> None:
    shell.invoke(
        "user", "add", "ann", manifest, "--password-stdin", "--scope", "a", stdin=b"first password\n"
    )
    shell.invoke("user", "add", "bob", manifest, "--password-stdin", stdin=b"other password\n")
    assert shell.invoke("user", "list", manifest).out == "ann  a  -\nbob  -  -\n"
    changed = shell.invoke("user", "add", "ann", manifest, "--password-stdin", stdin=b"second password")
    assert changed.out == ""
    assert "ann is changed" in changed.err
    listed = shell.invoke("user", "list", manifest, "--output", "json").document
    assert listed == [
        {"name": "ann", "scopes": ["a"], "email": ""},
        {"name": "bob", "scopes": [], "email": ""},
    ]
    ann, _ = read_lines(documents(manifest)["people"]["stringData"]["list"])
    assert PasswordHasher().verify(ann.password, "second password")
    assert shell.invoke("user", "remove", "bob", manifest).code == 0
    assert shell.invoke("user", "list", manifest).out == "ann  a  -\n"
    assert shell.invoke("user", "remove", "bob", manifest).code == 65


def test_without_a_file_the_line_is_printed(shell: Shell) -> None:
    done = shell.invoke("user", "add", "ann", "--password-stdin", stdin=PASSWORD.encode())
    (line,) = read_lines(done.out)
    assert PasswordHasher().verify(line.password, PASSWORD)
    made = shell.invoke("user", "add", "ann", "--generate", "--output", "json").document
    (line,) = read_lines(made["line"])
    assert PasswordHasher().verify(line.password, made["password"])


def test_a_password_is_given_in_one_way(shell: Shell, manifest: Path) -> None:
    assert shell.invoke("user", "add", "ann", manifest).code == 2, "there is no terminal to ask"
    assert shell.invoke("user", "add", "ann", manifest, "--generate", "--password-stdin").code == 2
    assert shell.invoke("user", "add", "ann", manifest, "--password-stdin", stdin=b"short").code == 65
    assert manifest.read_text() == APP


def test_a_secret_is_printed_or_added_to_a_file(shell: Shell, manifest: Path) -> None:
    printed = yaml.safe_load(shell.invoke("login", "secret", "assistant-login", "-n", "agents").out)
    assert printed["metadata"] == {"name": "assistant-login", "namespace": "agents"}
    assert public_keys(printed["stringData"]["jwks"])
    assert len(read_keys(printed["stringData"]["keys"])) == 2
    assert shell.invoke("login", "secret", "assistant-login", "--file", manifest).code == 0
    assert manifest.read_text().startswith(APP)
    added = documents(manifest)["assistant-login"]
    assert added["metadata"] == {"name": "assistant-login"}
    assert jwks_text(read_keys(added["stringData"]["keys"])) == added["stringData"]["jwks"]
    assert mode(manifest) == 0o600
    before = manifest.read_text()
    again = shell.invoke("login", "secret", "assistant-login", "--file", manifest)
    assert again.code == 65
    assert "--rotate" in again.err
    assert manifest.read_text() == before


def test_a_rotation_changes_the_keys_alone(shell: Shell, manifest: Path) -> None:
    shell.invoke("login", "secret", "assistant-login", "--file", manifest)
    shell.invoke("user", "add", "ann", manifest, "--password-stdin", stdin=PASSWORD.encode())
    before = documents(manifest)
    keys = read_keys(before["assistant-login"]["stringData"]["keys"])
    assert shell.invoke("login", "secret", "assistant-login", "--rotate", manifest).code == 0
    after = documents(manifest)
    assert after["people"] == before["people"]
    now = read_keys(after["assistant-login"]["stringData"]["keys"])
    assert [(key.kid, key.state) for key in now][:2] == [(keys[0].kid, "previous"), (keys[1].kid, "current")]
    assert jwks_text(now) == after["assistant-login"]["stringData"]["jwks"].strip()
    assert mode(manifest) == 0o600


def test_the_clusters_secret_is_rotated_on_its_way(shell: Shell) -> None:
    import base64

    keys = new_keys()
    texts = {"keys": keys_text(keys), "jwks": jwks_text(keys)}
    owner = {"apiVersion": "ftl.tools/v1alpha1", "kind": "FtlApp", "name": "assistant", "uid": "1"}
    shown = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "assistant-login",
            "namespace": "agents",
            "uid": "2",
            "resourceVersion": "3",
            "ownerReferences": [owner],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": texts}),
                "team": "agents",
            },
        },
        "data": {
            **{key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
            "users": "YW5u",
        },
    }
    done = shell.invoke(
        "login", "secret", "assistant-login", "--rotate", "-", stdin=json.dumps(shown).encode()
    )
    made = yaml.safe_load(done.out)
    assert made["metadata"] == {
        "name": "assistant-login",
        "namespace": "agents",
        "resourceVersion": "3",
        "ownerReferences": [owner],
        "annotations": {"team": "agents"},
    }, "with its version, by which a change of somebody else is noticed, and without the old private keys"
    assert made["data"] == {"users": "YW5u"}, "what else is in it stays"
    assert read_keys(made["stringData"]["keys"])[1].kid == keys[1].kid
    refused = shell.invoke("login", "secret", "other", "--rotate", "-", stdin=json.dumps(shown).encode())
    assert refused.code == 65


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 1}', '{"version": 1, "keys": []}', '{"version": 1, "keys": [{}]}', "{"],
)
def test_keys_that_are_none_of_a_login_are_not_rotated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret.yaml"
    content = yaml.safe_dump(
        {"kind": "Secret", "metadata": {"name": "k"}, "stringData": {"keys": text, "jwks": "{}"}}
    )
    path.write_text(content)
    with pytest.raises(SpecError):
        login_file.rotate(path, "k")
    assert path.read_text() == content


def test_an_interrupted_write_loses_nothing(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login_file.add(manifest, "assistant-login", "", new_keys())
    before = manifest.read_text()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(key_file.os, "fdopen", interrupt)
    with pytest.raises(KeyboardInterrupt):
        login_file.rotate(manifest, "assistant-login")
    assert manifest.read_text() == before
    assert [path.name for path in manifest.parent.iterdir()] == [manifest.name], "and leaves nothing"


def test_rotations_never_lose_the_current_key() -> None:
    keys = new_keys()
    for _ in range(4):
        before = {key.state: key.kid for key in keys}
        keys = rotated(keys)
        states = {key.state: key.kid for key in keys}
        assert (states["current"], states["previous"]) == (before["next"], before["current"])
        assert read_keys(keys_text(keys)) == keys


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


URL = "http://127.0.0.1:3000"


def app_file(objects: Any = None, **auth: Any) -> AppFile:
    document = yaml.safe_load(APP)
    document["spec"]["auth"] |= auth
    return AppFile(FtlApp.parse(document), Path("/"), objects or {})


def test_who_tries_an_app_gets_keys_that_stay_and_a_password_of_this_run(state: Path) -> None:
    login = LocalLogin("a.yaml", URL)
    prepared = login.prepare(app_file())
    assert prepared.app.spec.public_url == URL
    assert public_keys(prepared.secret("assistant-login", "jwks"))
    (line,) = users.read_lines(prepared.secret("people", "list"))
    assert login.made["user"] == line.name == "developer"
    assert PasswordHasher().verify(line.password, login.made["password"])
    assert login.made["password"] in "\n".join(login.words)
    assert login.prepare(app_file()).objects == prepared.objects, "as --watch composes again"
    (kept,) = (state / "ftl-operator" / "login").iterdir()
    assert mode(kept) == 0o600
    next_run, other = LocalLogin("a.yaml", URL), LocalLogin("b.yaml", URL)
    again = next_run.prepare(app_file())
    assert again.secret("assistant-login", "keys") == prepared.secret("assistant-login", "keys")
    assert next_run.made["password"] != login.made["password"]
    assert other.prepare(app_file()).secret("assistant-login", "keys") != again.secret(
        "assistant-login", "keys"
    )


@pytest.mark.usefixtures("state")
def test_the_made_user_is_one_whom_the_app_lets_in() -> None:
    login = LocalLogin("a.yaml", URL)
    login.prepare(app_file(allowedSubjects=["not a name", "ann"]))
    assert login.made["user"] == "ann"


@pytest.mark.usefixtures("state")
def test_what_the_file_has_is_used() -> None:
    keys = new_keys()
    line = str(user_line("ann", PASSWORD))
    objects = {
        ("Secret", "assistant-login"): {"keys": keys_text(keys), "jwks": jwks_text(keys)},
        ("Secret", "people"): {"list": line},
    }
    login = LocalLogin("a.yaml", URL)
    assert login.prepare(app_file(objects)).objects == objects
    assert not login.made
    assert not login.words


@pytest.mark.usefixtures("state")
def test_a_user_whom_the_login_would_not_know_is_told_of() -> None:
    objects = {("Secret", "people"): {"list": f"{user_line('ann', PASSWORD)}\nbob my-password\n"}}
    with pytest.raises(SpecError, match="line 2") as caught:
        LocalLogin("a.yaml", URL).prepare(app_file(objects))
    assert caught.value.field == "spec.auth.login.users.secretRef"
    assert "my-password" not in caught.value.message


@pytest.mark.usefixtures("state")
def test_a_provider_has_the_users_and_must_know_the_callback() -> None:
    login = LocalLogin("a.yaml", URL)
    upstream = {"issuer": "https://id.acme.dev", "clientId": "ftl"}
    login.prepare(app_file(login={"upstream": upstream}, allowedSubjects=["ann"]))
    assert not login.made
    assert f"{URL}/login/callback" in "\n".join(login.words)


@pytest.mark.parametrize("url", ["http://0.0.0.0:3000", "http://192.0.2.1:3000", "http://[::]:3000"])
def test_passwords_do_not_cross_a_network_without_encryption(url: str) -> None:
    with pytest.raises(SpecError, match="without encryption"):
        LocalLogin("a.yaml", url).prepare(app_file())


def test_apps_without_a_login_stay_as_they_are() -> None:
    document = yaml.safe_load(APP)
    document["spec"] |= {"access": "public"}
    del document["spec"]["auth"]
    file = AppFile(FtlApp.parse(document), Path("/"), {})
    login = LocalLogin("a.yaml", "http://0.0.0.0:3000")
    assert login.prepare(file) is file
    assert not login.made
