"""API keys: their form, their lines, and the files in which they stand."""

import base64
import hashlib
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftl_operator.cli.api_keys import key_line, new_key, read_lines, with_line, without
from ftl_operator.cli.key_file import read_key_file
from ftl_operator.errors import SpecError
from tests.support.command import Shell

HASH = "0" * 64
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_key_has_a_form_that_scanners_know_and_a_checksum() -> None:
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    for key in keys:
        assert re.fullmatch("ftl_[0-9A-Za-z]{49}", key)
        checksum = 0
        for digit in key[-6:]:
            checksum = checksum * 62 + ALPHABET.index(digit)
        assert checksum == zlib.crc32(key[:-6].encode())


def test_a_line_says_all_but_the_key() -> None:
    key = new_key()
    line = key_line(key, "ci", ["mail:send", "a"], datetime(2027, 1, 31, tzinfo=UTC))
    text = str(line)
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert text == f"ci {digest} scopes=mail:send,a expires=2027-01-31T00:00:00Z"
    assert key not in text
    assert list(read_lines(f"# people\n\n{text}\n")) == [line]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "ä", "a" * 65, "#a", "a=b"])
def test_a_name_that_the_gateway_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        key_line("ftl_", name)
    assert key_line("ftl_", "Ann.B_c@acme-dev").name == "Ann.B_c@acme-dev"


@pytest.mark.parametrize("scope", ["", "a b", "a,b", 'a"b', "a\\b", "ä"])
def test_a_scope_that_the_gateway_does_not_take_is_refused(scope: str) -> None:
    with pytest.raises(SpecError, match="scope"):
        key_line("ftl_", "ci", [scope])
    assert key_line("ftl_", "ci", ["api://x/mail:send"]).scopes == ("api://x/mail:send",)


@pytest.mark.parametrize(
    "line",
    [
        "ci",
        f"ci {HASH}0",
        f"ci {HASH} only=mail",
        f"ci {HASH} scopes=",
        f"ci {HASH} expires=2027-01-31",
        f"ci {HASH} expires=2027-01-31T00:00:00",
        f"ci {HASH} scopes=a scopes=b",
        "ftl_secret",
    ],
)
def test_a_line_that_the_gateway_does_not_take_is_told_by_its_number_alone(line: str) -> None:
    with pytest.raises(SpecError) as caught:
        list(read_lines(f"a {HASH}\n{line}\n"))
    assert "line 2" in str(caught.value)
    assert line not in str(caught.value)


def test_lines_are_added_and_taken_away_and_comments_stay() -> None:
    text = f"# people\nann {HASH}\nann-2 {HASH}\n"
    more = with_line(text, key_line("ftl_", "ci"))
    assert more.startswith(text)
    assert without(more, "ann").splitlines()[:2] == ["# people", f"ann-2 {HASH}"]
    assert without(more, "ci") == text


FILES = {
    "block.yaml": (
        "kind: Secret\nmetadata: {name: k} # keys\nstringData:\n  keys: |\n    # people\n    a HASH\n  x: y\n"
    ),
    "last.yaml": "kind: Secret\nstringData:\n  keys: |\n    a HASH\n---\nkind: ConfigMap\ndata: {keys: z}\n",
    "empty.yml": 'kind: Secret\nstringData:\n  keys: ""  # none yet\n  x: y\n',
    "flow.yaml": "kind: Secret\nstringData: {x: y, keys: 'a HASH'}\n",
    "data.yaml": "kind: Secret\ndata:\n  x: eQ==\n  keys: DATA\n",
    "named.yaml": (
        "kind: FtlApp\nspec: {auth: {apiKeys: {secretRef: {name: door, key: list}}}}\n---\n"
        "kind: Secret\nmetadata: {name: other}\nstringData: {list: b}\n---\n"
        "kind: Secret\nmetadata: {name: door}\nstringData:\n    list: a HASH\n    keys: b\n"
    ),
    "lines.txt": "a HASH\n",
    "new.txt": None,
}


def written(folder: Path, name: str) -> Path:
    content = FILES[name]
    path = folder / name
    if content is not None:
        data = base64.b64encode(f"a {HASH}\n".encode()).decode()
        path.write_text(content.replace("HASH", HASH).replace("DATA", data))
    return path


def values(path: Path) -> list[Any]:
    """All of a manifest but the text of keys."""
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        for name in ("data", "stringData"):
            for key in ("keys", "list"):
                if document["kind"] == "Secret" and document.get("metadata", {}).get("name") != "other":
                    (document.get(name) or {}).pop(key, None)
    return documents


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_changed_only_where_its_keys_stand(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    before = values(path) if path.suffix in (".yaml", ".yml") else None
    found = read_key_file(path)
    had = list(read_lines(found.text))
    line = key_line(new_key(), "ci", ["a"])
    found.write(with_line(found.text, line))
    assert list(read_lines(read_key_file(path).text)) == [*had, line]
    if before is not None:
        assert values(path) == before
    for key in ("ci", "a"):
        now = read_key_file(path)
        now.write(without(now.text, key))
    assert list(read_lines(read_key_file(path).text)) == []
    again = read_key_file(path)
    again.write(with_line(again.text, line))
    assert list(read_lines(read_key_file(path).text)) == [line]
    for comment in re.findall("#.*", (FILES[name] or "")):
        assert comment in path.read_text()


@pytest.mark.parametrize(
    "content",
    [
        "kind: ConfigMap\ndata: {keys: a}\n",
        "kind: Secret\nstringData: {other: a}\n",
        "kind: Secret\nstringData: {keys: a}\n---\nkind: Secret\nstringData: {keys: b}\n",
        "kind: Secret\ndata: {keys: '%%'}\n",
        "a: [",
        "",
    ],
)
def test_a_manifest_without_one_place_for_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(content)
    with pytest.raises(SpecError):
        read_key_file(path)
    assert path.read_text() == content


def test_the_command_makes_lists_and_revokes(shell: Shell, tmp_path: Path) -> None:
    path = written(tmp_path, "block.yaml")
    made = shell.invoke("key", "create", "ci", "--scope", "a", "--expires", "90d", "--file", path)
    key = made.out.strip()
    assert re.fullmatch("ftl_[0-9A-Za-z]{49}", key)
    assert key not in path.read_text()
    assert hashlib.sha256(key.encode()).hexdigest() in path.read_text()

    def names() -> list[str]:
        return [line.split()[0] for line in shell.invoke("key", "list", path).out.splitlines()]

    assert names() == ["a", "ci"]
    assert shell.invoke("key", "revoke", "ci", path).code == 0
    assert names() == ["a"]
    assert shell.invoke("key", "revoke", "ci", path).code == 65
    assert shell.invoke("key", "create", "ci", "--expires", "soon").code == 2


def test_a_secret_from_the_cluster_goes_through_the_command(shell: Shell) -> None:
    lines = f"# door\na {HASH}\nb {HASH}\n"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "door", "namespace": "agents", "resourceVersion": "42"},
        "data": {"keys": base64.b64encode(lines.encode()).decode(), "other": "eA=="},
    }
    stdin = yaml.safe_dump(secret).encode()
    assert [line.split()[0] for line in shell.ok("key", "list", "-", stdin=stdin).out.splitlines()] == [
        "a",
        "b",
    ]

    revoked = shell.ok("key", "revoke", "a", "-", stdin=stdin)
    after = yaml.safe_load(revoked.out)
    assert base64.b64decode(after["data"]["keys"]).decode() == f"# door\nb {HASH}\n"
    assert revoked.err == "1 revoked\n"
    # The version lets the API server refuse it if somebody else has changed the Secret meanwhile.
    assert {**after, "data": secret["data"]} == secret
    assert shell.run("key", "revoke", "c", "-", stdin=stdin).out == ""

    made = shell.ok("key", "create", "c", "--file", "-", stdin=stdin)
    (key,) = re.findall(r"ftl_[0-9A-Za-z]{49}", made.err)
    assert key not in made.out
    text = base64.b64decode(yaml.safe_load(made.out)["data"]["keys"]).decode()
    assert hashlib.sha256(key.encode()).hexdigest() in text


def test_the_first_key_brings_its_secret(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    app = "kind: FtlApp\nmetadata: {name: a}\nspec: {auth: {apiKeys: {secretRef: {name: door, key: list}}}}"
    path.write_text(app)
    for name in ("ci", "ann"):
        assert shell.invoke("key", "create", name, "--file", path).code == 0
    assert path.read_text().startswith(f"{app}\n---\n")
    _, secret = yaml.safe_load_all(path.read_text())
    assert (secret["kind"], secret["metadata"]) == ("Secret", {"name": "door"})
    assert [line.name for line in read_lines(secret["stringData"]["list"])] == ["ci", "ann"]


def test_a_secret_of_a_gateway_has_two_texts_of_its_own(shell: Shell) -> None:
    first, second = (yaml.safe_load(shell.invoke("gateway-secret", "door").out) for _ in range(2))
    assert set(first["stringData"]) == {"sealing-key", "probe-word"}
    texts = [*first["stringData"].values(), *second["stringData"].values()]
    assert len(set(texts)) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in texts)
