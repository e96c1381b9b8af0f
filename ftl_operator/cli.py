"""The command line: `ftl-operator up | render | inspect | publish | crd | token`."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ftl_operator import __version__
from ftl_operator.console import Console
from ftl_operator.errors import FtlError, SpecError

Command = Callable[..., None]


def _formats(*names: str) -> Callable[[Command], Command]:
    """`--output`, and errors told in that format with the exit code of their kind."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--output", "-o", type=click.Choice(names), default=names[0], show_default=True, help="Format."
        )
        @wraps(command)
        def run(output: str, **options: object) -> None:
            console = Console(output)
            try:
                command(console=console, **options)
            except FtlError as error:
                console.fail(error)
            except KeyboardInterrupt:
                sys.exit(130)

        return run

    return decorate


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ftl-operator")
def main() -> None:
    """Serve Model Context Protocol tools from WebAssembly components.

    An FtlApp lists tool components by OCI reference and says who may call them. These commands work with an
    FtlApp in a file and need no cluster; 'python -m ftl_operator' is the controller that runs in one.

    Exit codes: 0 success, 2 wrong usage, 65 unusable input, 69 something outside does not answer.
    """


@main.command()
@click.argument("file")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=3000, show_default=True, help="Which port; 0 takes any free one.")
@click.option("--watch", is_flag=True, help="Compose again when FILE or a local component changes.")
@click.option(
    "--variable",
    "variables",
    multiple=True,
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
@_formats("text", "json")
def up(console: Console, file: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Serve the FtlApp in FILE on this machine, without a cluster.

    The very artifact that a cluster would run is composed, published to a local image layout, and served from
    there. FILE may hold Secrets and ConfigMaps beside the FtlApp. '-' is standard input.
    """
    from ftl_operator import local, session
    from ftl_operator import up as serving

    registry = local.open_registry(options["plain_http"], options["ca_file"])
    with session.authorization(options["ca_file"], use_dev_issuer=options["dev_issuer"]) as authorization:
        chosen = serving.UpOptions(
            file,
            options["address"],
            options["port"],
            dict(_pair(text) for text in options["variables"]),
            options["state_dir"],
            authorization.adjust,
            authorization.authorize,
            authorization.headers,
        )
        if options["host"] == "spin":
            sys.exit(serving.up_in_spin(chosen, registry, console))
        serving.up(chosen, registry, console, watch=options["watch"])


@main.command()
@click.argument("file")
@click.option("--repository", help="Where the app is published, if the spec does not say it.")
@_registry_options
@_formats("yaml", "json")
def render(
    console: Console, file: str, repository: str | None, plain_http: tuple[str, ...], ca_file: Path | None
) -> None:
    """Print the objects that the controller would apply for the FtlApp in FILE, as YAML.

    Nothing is pushed or applied. The image's digest is the one that publishing would give.
    """
    from ftl_operator import local, publishing, session

    registry = local.open_registry(plain_http, ca_file)
    objects = publishing.render(file, repository, registry, console, session.authorize(ca_file))
    console.result(objects)


@main.command()
@click.argument("reference")
@click.option("--component", help="Which component of the artifact: an id, a layer's title or its digest.")
@_registry_options
@_formats("text", "json")
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
    from ftl_operator import local, publishing

    registry = local.open_registry(plain_http, ca_file)
    found = publishing.inspect(reference, component, registry, console)
    console.result(found.document(), found.text)


@main.command()
@click.argument("file")
@click.option("--repository", help="Where to push, if the spec does not say it.")
@_registry_options
@_formats("text", "json")
def publish(
    console: Console, file: str, repository: str | None, plain_http: tuple[str, ...], ca_file: Path | None
) -> None:
    """Compose the FtlApp in FILE, push the application, and print its reference by digest.

    The same inputs give the same digest; what the registry has is not sent again.
    """
    from ftl_operator import local, publishing, session

    registry = local.open_registry(plain_http, ca_file)
    published = publishing.publish(file, repository, registry, console, session.authorize(ca_file))
    document = asdict(published) | {"reference": str(published.reference)}
    console.result(document, lambda: str(published.reference))
    if not published.pushed:
        console.note("the registry had it already; nothing was sent")


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema for editors instead.")
@_formats("yaml", "json")
def crd(console: Console, *, schema: bool) -> None:
    """Print the custom resource definition of FtlApp."""
    from ftl_operator import crd as definitions

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
    "--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A further claim; may be repeated."
)
@click.option("--lifetime", default=3600, show_default=True, help="Seconds until it expires.")
@_formats("text", "json")
def token(console: Console, file: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Mint a token of the local issuer for the app in FILE.

    The issuer is the one that 'up --dev-issuer' starts on this machine. No other issuer accepts such a token.
    """
    from ftl_operator import devissuer, local, session

    grant = devissuer.grant_for(local.read_workspace(file).app)
    minted = session.dev_issuer().mint(
        options["subject"] or grant.subject,
        options["audience"] or grant.audience,
        options["scopes"] or grant.scopes,
        options["lifetime"],
        {**(grant.claims or {}), **dict(_pair(text) for text in options["claims"])},
    )
    console.result({"token": minted}, lambda: minted)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SpecError(f"write NAME=VALUE, not {name!r}")
    return name, value
