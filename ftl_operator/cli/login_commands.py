"""`login secret` and `user add | list | remove`: what an app's own login needs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ftl_operator.cli.console import Console
from ftl_operator.cli.formats import formats
from ftl_operator.errors import SpecError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def login() -> None:
    """Make and rotate the keys of an app's own login."""


@login.command("secret")
@click.argument("name")
@click.option("--namespace", "-n", default="", help="The app's namespace. Default: the Secret names none.")
@click.option(
    "--file",
    type=_FILE,
    help="Add it to this manifest, which only you may read afterwards, instead of printing it.",
)
@click.option(
    "--rotate",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Rotate the keys of the Secret in this manifest. '-' reads standard input and prints the result.",
)
@formats("yaml", "json")
def print_login_secret(
    console: Console, name: str, namespace: str, file: Path | None, rotate: Path | None
) -> None:
    """Make a Secret NAME with new keys for `spec.auth.login`: NAME is the app's name and '-login'.

    A rotation signs with the key that clients know as the next one, keeps the present one valid for what it
    has signed, and drops the one before. So rotate twice to be rid of a key.
    """
    from ftl_operator.cli import login_file
    from ftl_operator.manifests.login_secret import login_secret, new_keys

    if file is not None and rotate is not None:
        raise click.UsageError("--rotate changes its own file; leave --file out")
    if rotate is not None and str(rotate) == "-":
        console.result(login_file.rotated_manifest(sys.stdin.read(login_file.MAX_BYTES + 1), name))
        return
    if rotate is not None:
        login_file.rotate(rotate, name)
        console.note(f"the keys in {rotate} are rotated")
        return
    if file is not None:
        login_file.add(file, name, namespace, new_keys())
        console.note(f"the Secret is in {file}")
        return
    console.result(login_secret(namespace, name, new_keys()))


@click.group()
def user() -> None:
    """Add, list and remove the users of an app's own login."""


@user.command("add")
@click.argument("name")
@click.argument("file", type=_FILE, required=False)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make a password and print it.")
@click.option("--scope", "scopes", multiple=True, help="A scope to grant; may be repeated. Default: all.")
@click.option("--email", default="", help="The address that tools and policies see.")
@formats("text", "json")
def add_user(
    console: Console, name: str, file: Path | None, scopes: Sequence[str], email: str, **options: bool
) -> None:
    """Add the user NAME to FILE, a manifest with the Secret that an app reads, or change the password.

    The file has only an argon2id hash of the password. Without FILE the line is printed.
    """
    from ftl_operator.cli import key_file, users

    generate = options["generate"]
    if options["password_stdin"] and generate:
        raise click.UsageError("say one of --password-stdin and --generate")
    if options["password_stdin"] and file == key_file.STANDARD_STREAMS:
        raise click.UsageError("standard input cannot be both the manifest and the password")
    users.check_name(name)
    found = key_file.read_key_file(file, key_file.USERS) if file is not None else None
    password = users.new_password() if generate else _given_password(name, options)
    before = {line.name: line for line in users.read_lines(found.text)} if found is not None else {}
    old = before.get(name)
    line = users.user_line(
        name, password, scopes or (old.scopes if old else ()), email or (old.email if old else "")
    )
    if found is not None:
        found.write(users.with_line(found.text, line), private=True)
        if file == key_file.STANDARD_STREAMS:
            # The manifest is on standard output.
            console.note(f"the password of {name} is {password}" if generate else f"{name} is added")
            return
        console.note(f"{name} is {'changed' if old else 'added'} in {file}")
    document = {"name": name, "line": str(line)} | ({"password": password} if generate else {})
    shown = ([password] if generate else []) + ([str(line)] if found is None else [])
    if shown or console.output == "json":
        console.result(document, lambda: "\n".join(shown))


def _given_password(name: str, options: Mapping[str, bool]) -> str:
    """The password that a person or a program gives."""
    if options["password_stdin"]:
        return sys.stdin.readline(1024).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask for a password: say --generate or --password-stdin"
        )
    given: str = click.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True)
    return given


@user.command("list")
@click.argument("file", type=_FILE)
@formats("text", "json")
def list_users(console: Console, file: Path) -> None:
    """List the users in FILE, a manifest with their Secret or a file of lines; - for standard input."""
    from ftl_operator.cli import key_file, users

    lines = list(users.read_lines(key_file.read_key_file(file, key_file.USERS).text))
    document = [{"name": line.name, "scopes": list(line.scopes), "email": line.email} for line in lines]
    console.result(
        document,
        lambda: "\n".join(
            f"{line.name}  {','.join(line.scopes) or '-'}  {line.email or '-'}" for line in lines
        ),
    )


@user.command("remove")
@click.argument("name")
@click.argument("file", type=_FILE)
@formats("text", "json")
def remove_user(console: Console, name: str, file: Path) -> None:
    """Remove the user NAME from FILE. Apply the file, and the app's pods are replaced.

    With - the manifest comes from standard input and goes to standard output, as with `key revoke`.

    Tokens that clients have stay valid until they expire; they get no others.
    """
    from ftl_operator.cli import key_file, users

    found = key_file.read_key_file(file, key_file.USERS)
    if name not in {line.name for line in users.read_lines(found.text)}:
        raise SpecError(f"{file} has no user {name!r}")
    found.write(users.without(found.text, name), private=True)
    if file == key_file.STANDARD_STREAMS:
        console.note(f"{name} is removed")
    else:
        console.result({"removed": name}, lambda: f"{name} is removed")
