"""The command line: `ftl-operator up | render | inspect | package | publish | …`."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from ftl_operator import __version__
from ftl_operator.cli.console import EXIT_USAGE, Console
from ftl_operator.cli.formats import Command, formats
from ftl_operator.cli.login_commands import login, user
from ftl_operator.errors import SpecError


def _registry_options(command: Command) -> Command:
    command = click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="PEM file of certificate authorities to trust besides the system's.",
    )(command)
    return click.option(
        "--plain-http",
        multiple=True,
        metavar="HOST[:PORT]",
        help="A registry to speak to without TLS; may be repeated.",
    )(command)


def _pairs(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            # The message does not have the text, which may be a secret without its name.
            raise click.BadParameter("write NAME=VALUE")
        pairs[name] = value
    return pairs


class _Group(click.Group):
    """Prints wrong usage in the format of `--output`, as commands print their errors."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = _asks_for_json(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.meta[__name__]:
                raise
            document = {"error": {"reason": "Usage", "field": "", "message": error.format_message()}}
            click.echo(json.dumps(document, ensure_ascii=False), err=True)
            ctx.exit(EXIT_USAGE)


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Parse `90d` from now, or a time in RFC 3339."""
    if text is None:
        return None
    try:
        if text.endswith("d"):
            return datetime.now(UTC).replace(microsecond=0) + timedelta(days=int(text[:-1]))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter("write a number of days as 90d, or a time as 2027-01-31T00:00:00Z")
    return moment


def _asks_for_json(args: Sequence[str]) -> bool:
    return not {"--output=json", "-ojson"}.isdisjoint(args) or any(
        option in ("--output", "-o") and value == "json" for option, value in pairwise(args)
    )


@click.group("ftl-operator", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ftl-operator")
def main() -> None:
    """Serve Model Context Protocol tools from WebAssembly components.

    An FtlApp lists tool components by OCI reference and says who may call them. These commands work with an
    FtlApp in a file and need no cluster; 'python -m ftl_operator' is the controller that runs in one.

    Exit codes: 0 success, 2 wrong usage, 65 unusable input, 69 something outside does not answer, 130 Ctrl-C
    (but 0 for 'up', which ends so), 143 SIGTERM.
    """


@main.command()
@click.argument("file")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Which port; 0 takes any free one.",
)
@click.option("--watch", is_flag=True, help="Compose again when FILE or a local component changes.")
@click.option(
    "--variable",
    "variables",
    multiple=True,
    callback=_pairs,
    metavar="NAME=VALUE",
    help="A value for an application variable; may be repeated. Else $SPIN_VARIABLE_NAME counts.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep key-value stores and databases here; without it they are forgotten at the end.",
)
@click.option(
    "--dev-issuer", is_flag=True, help="Judge tokens of a local issuer instead of the spec's, and print one."
)
@click.option(
    "--host",
    type=click.Choice(["embedded", "spin"]),
    default="embedded",
    show_default=True,
    help="What runs the components; 'spin' publishes first and needs 'spin' on PATH.",
)
@_registry_options
@formats("text", "json")
def up(console: Console, file: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Serve the FtlApp in FILE on this machine, without a cluster.

    The very artifact that a cluster would run is composed, published to a local image layout, and served from
    there. FILE may hold Secrets and ConfigMaps beside the FtlApp. '-' is standard input.
    """
    if options["watch"] and file == "-":
        raise click.UsageError("--watch needs a file; standard input cannot change")
    if options["watch"] and options["host"] == "spin":
        raise click.UsageError("--watch works with the embedded host only")
    from ftl_operator.cli import environment, tokens
    from ftl_operator.cli import up as serving

    registry = environment.open_registry(options["plain_http"], options["ca_file"])
    with tokens.authorization(options["ca_file"], use_dev_issuer=options["dev_issuer"]) as authorization:
        chosen = serving.UpOptions(
            file,
            options["address"],
            options["port"],
            options["variables"],
            options["state_dir"],
            authorization.adjust,
            authorization.authorize,
            authorization.headers,
        )
        if options["host"] == "spin":
            from ftl_operator.cli.spin import up_in_spin

            sys.exit(up_in_spin(chosen, registry, console, insecure=options["plain_http"]))
        serving.up(chosen, registry, console, watch=options["watch"])


@main.command(short_help="Print the objects that the controller would apply.")
@click.argument("file")
@click.option("--repository", help="Where the app is published, if the spec does not say it.")
@click.option(
    "--deployment",
    is_flag=True,
    help="Print the operator's part of the Deployment, too. Only a server-side apply may take it.",
)
@_registry_options
@formats("yaml", "json")
def render(
    console: Console,
    file: str,
    repository: str | None,
    plain_http: tuple[str, ...],
    ca_file: Path | None,
    *,
    deployment: bool,
) -> None:
    """Print the objects that the controller would apply for the FtlApp in FILE, as YAML.

    Nothing is pushed or applied. The image's digest is the one that publishing would give. spin-operator
    makes the Deployment from the SpinApp, and the controller adds what a SpinApp cannot say about pods; that
    part is printed only with --deployment, because it is no whole object.
    """
    from ftl_operator.cli import environment, tokens
    from ftl_operator.cli import render as cli_render

    registry = environment.open_registry(plain_http, ca_file)
    authorize = tokens.authorize(ca_file)
    objects = cli_render.render(file, repository, registry, console, authorize, deployment=deployment)
    console.result(objects)


@main.command(short_help="Say what a component is: its imports and its tools.")
@click.argument("reference")
@click.option("--component", help="Which component of the artifact: an id, a layer's title or its digest.")
@_registry_options
@formats("text", "json")
def inspect(
    console: Console,
    reference: str,
    component: str | None,
    plain_http: tuple[str, ...],
    ca_file: Path | None,
) -> None:
    """Say what the component at REFERENCE is: its kind, what it imports, and its tools.

    REFERENCE is an OCI reference with a tag or digest, or file:PATH.
    """
    from ftl_operator.cli import environment
    from ftl_operator.cli import inspect as cli_inspect

    found = cli_inspect.inspect(
        reference, component, lambda: environment.open_registry(plain_http, ca_file), console
    )
    console.result(found.document(), found.text)


@main.command(short_help="Package a component with the catalog of its tools.")
@click.argument("component", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--tools",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the JSON array of its tools, as GET / would give it.",
)
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an OCI image layout as this tar file.",
)
@click.option("--push", metavar="REFERENCE", help="Push it under this reference, which has a tag.")
@_registry_options
@formats("text", "json")
def package(console: Console, component: Path, tools: Path, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Package the COMPONENT in a file with the catalog of its tools.

    For a component that cannot be asked for its tools before it is deployed, such as one for WASI 0.3: the
    operator takes them from the catalog. It is checked as an answer of the component would be.
    """
    if options["archive"] is None and options["push"] is None:
        raise click.UsageError("say where it goes: --archive FILE, --push REFERENCE, or both")
    from ftl_operator.cli import environment
    from ftl_operator.cli import package as packaging
    from ftl_operator.oci.reference import parse_reference

    target = parse_reference(options["push"], "--push") if options["push"] else None
    if target is not None and (target.digest or not target.tag):
        raise click.UsageError("--push takes a reference with a tag and without a digest")
    made = packaging.package(component, tools, console)
    names = [tool.name for tool in made.component.tools or ()]
    document: dict[str, Any] = {"digest": made.image.digest, "tools": names}
    if options["archive"] is not None:
        made.write(options["archive"], target.tag if target and target.tag else "latest")
        document["archive"] = str(options["archive"])
    if target is not None:
        registry = environment.open_registry(options["plain_http"], options["ca_file"])
        with console.step(f"pushing to {target}"):
            document["reference"] = str(registry.push(made.image, target).reference)
    if made.component.catalog_note:
        console.note(made.component.catalog_note)
    console.result(document, lambda: str(document.get("reference", made.image.digest)))


@main.command(short_help="Compose an FtlApp, push it, print its reference.")
@click.argument("file")
@click.option("--repository", help="Where to push, if the spec does not say it.")
@_registry_options
@formats("text", "json")
def publish(
    console: Console, file: str, repository: str | None, plain_http: tuple[str, ...], ca_file: Path | None
) -> None:
    """Compose the FtlApp in FILE, push the application, and print its reference by digest.

    The same inputs give the same digest; what the registry has is not sent again.
    """
    from ftl_operator.cli import environment, tokens
    from ftl_operator.cli import render as cli_render

    registry = environment.open_registry(plain_http, ca_file)
    published = cli_render.publish(file, repository, registry, console, tokens.authorize(ca_file))
    document = {
        "reference": str(published.reference),
        "pushed": published.pushed,
        "uploaded_bytes": published.uploaded_bytes,
    }
    console.result(document, lambda: str(published.reference))
    if not published.pushed:
        console.note("the registry had it already; nothing was sent")


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema for editors instead.")
@formats("yaml", "json")
def crd(console: Console, *, schema: bool) -> None:
    """Print the custom resource definition of FtlApp."""
    from ftl_operator.api import crd as definitions

    document = definitions.editor_schema() if schema else definitions.definition()
    console.result(document)


@main.command()
@click.argument("file")
@click.option("--subject", help="Who the token is for; default: somebody whom the app lets in.")
@click.option("--audience", help="What it is for; default: the app's first audience.")
@click.option(
    "--scope", "scopes", multiple=True, help="A scope; may be repeated. Default: all the app asks for."
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    callback=_pairs,
    metavar="NAME=VALUE",
    help="A further claim; may be repeated.",
)
@click.option(
    "--lifetime", type=click.IntRange(1), default=3600, show_default=True, help="Seconds until it expires."
)
@formats("text", "json")
def token(console: Console, file: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Mint a token of the local issuer for the app in FILE.

    The issuer is the one that 'up --dev-issuer' starts on this machine. No other issuer accepts such a token.
    """
    from ftl_operator.cli import dev_issuer, tokens, workspace

    grant = dev_issuer.grant_for(workspace.read_app_file(file).app)
    minted = tokens.dev_issuer().mint(
        options["subject"] or grant.subject,
        options["audience"] or grant.audience,
        options["scopes"] or grant.scopes,
        options["lifetime"],
        {**(grant.claims or {}), **options["claims"]},
    )
    console.result({"token": minted}, lambda: minted)


@main.group()
def key() -> None:
    """Make, list and revoke the API keys of an app."""


_KEY_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@key.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="A scope that its callers have; may be repeated.")
@click.option(
    "--expires",
    callback=_moment,
    metavar="WHEN",
    help="When it stops to hold: 90d, or a time as 2027-01-31T00:00:00Z.",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add its line to this manifest's Secret, or to this file of lines; - for standard input.",
)
@formats("text", "json")
def create_key(
    console: Console, name: str, scopes: Sequence[str], expires: datetime | None, file: Path | None
) -> None:
    """Make an API key for NAME, which becomes its callers' subject.

    The key is printed and kept nowhere; its line goes into the Secret that the app reads.
    """
    from ftl_operator.cli import api_keys, key_file

    made = api_keys.new_key()
    line = api_keys.key_line(made, name, scopes, expires)
    if file is not None:
        found = key_file.read_key_file(file)
        found.write(api_keys.with_line(found.text, line))
        if file == key_file.STANDARD_STREAMS:
            # The manifest is on standard output.
            console.note(f"the key of {name} is {made}")
            return
        console.note(f"its line is in {file}")
    document = {"key": made, "line": str(line)}
    console.result(document, lambda: made if file is not None else f"{made}\n{line}")


@key.command("list")
@_KEY_FILE
@formats("text", "json")
def list_keys(console: Console, file: Path) -> None:
    """List the API keys in FILE, a manifest with their Secret or a file of lines.

    With - the manifest comes from standard input: kubectl get secret NAME -o yaml | ftl-operator key list -
    """
    from ftl_operator.cli import api_keys, key_file

    lines = list(api_keys.read_lines(key_file.read_key_file(file).text))
    now = datetime.now(UTC)
    document = [
        {
            "name": line.name,
            "scopes": list(line.scopes),
            "expires": line.expires.isoformat() if line.expires else None,
            "expired": line.expires is not None and line.expires <= now,
        }
        for line in lines
    ]

    def text() -> str:
        return "\n".join(
            "  ".join(
                [
                    line.name,
                    ",".join(line.scopes) or "-",
                    line.expires.isoformat() if line.expires else "never",
                ]
            )
            for line in lines
        )

    console.result(document, text)


@key.command("revoke")
@click.argument("name")
@_KEY_FILE
@formats("text", "json")
def revoke_key(console: Console, name: str, file: Path) -> None:
    """Take all keys of NAME out of FILE. Apply the file, and the app's pods are replaced.

    With - the manifest comes from standard input and goes to standard output, for a Secret in the cluster:
    kubectl get secret SECRET -o yaml | ftl-operator key revoke NAME - | kubectl replace -f -
    """
    from ftl_operator.cli import api_keys, key_file

    found = key_file.read_key_file(file)
    lines = [line for line in api_keys.read_lines(found.text) if line.name == name]
    if not lines:
        raise SpecError(f"{file} has no key of {name!r}")
    found.write(api_keys.without(found.text, name))
    if file == key_file.STANDARD_STREAMS:
        console.note(f"{len(lines)} revoked")
    else:
        console.result({"revoked": len(lines)}, lambda: f"{len(lines)} revoked")


@main.command("gateway-secret")
@click.argument("name")
@click.option("--namespace", "-n", default="default", show_default=True, help="The app's namespace.")
@formats("yaml", "json")
def print_gateway_secret(console: Console, name: str, namespace: str) -> None:
    """Print a Secret NAME with two new random texts, for `spec.gateway.secretRef`.

    One seals what the gateway keeps in its key-value store, by the other the operator asks for each tool.
    """
    from ftl_operator.manifests.gateway_secret import new_gateway_secret

    console.result(new_gateway_secret(namespace, name))


main.add_command(login)
main.add_command(user)
