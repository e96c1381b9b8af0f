"""`up --host spin`: publishes an FtlApp to its repository, and runs it from there with the `spin` on PATH."""

import json
import os
import secrets
import shutil
import subprocess

from ftl_operator.api.names import SEALING_KEY
from ftl_operator.cli.console import Console
from ftl_operator.cli.local_login import LocalLogin
from ftl_operator.cli.up import UpOptions, client_configuration, state_folder
from ftl_operator.cli.workspace import local_inputs, read_app_file, variables_of
from ftl_operator.errors import SpecError
from ftl_operator.pipeline.plan import Stages, plan, publish, repository_of
from ftl_operator.registry.client import Registry
from ftl_operator.settings import Settings


def up_in_spin(options: UpOptions, registry: Registry, console: Console, *, insecure: tuple[str, ...]) -> int:
    """Publish and run until `spin` ends.

    Args:
        options: The options of `up`.
        registry: The registries for tools and for the app.
        console: Prints progress.
        insecure: Registries without TLS.

    Returns:
        The exit code of `spin`.

    Raises:
        FtlError: There is no `spin` on PATH, the spec does not say where to publish, or a stage fails.
    """
    spin = shutil.which("spin")
    if spin is None:
        raise SpecError("--host spin needs 'spin' on PATH; without it, use the embedded host")
    login = LocalLogin(options.file, f"http://{options.address}:{options.port}")
    app_file = login.prepare(read_app_file(options.file))
    if app_file.app.spec.publish.repository is None:
        raise SpecError(
            "--host spin runs the app from a registry, so write where it is published",
            field="spec.publish.repository",
        )
    app = options.adjust(app_file.app)
    target = repository_of(app, Settings())
    with console.step(f"composing {app.metadata.name}"):
        inputs = local_inputs(app_file, registry, options.authorize, console.progress)
        planned = plan(app, inputs, Stages(), app_file.directory)
    values = variables_of(planned.locked, app_file, options.variables)
    values.setdefault(SEALING_KEY, secrets.token_hex(32))
    with console.step(f"publishing to {target}"):
        published = publish(planned, registry, target, Stages())
    url = f"http://{options.address}:{options.port}/mcp"
    configuration = client_configuration(app.metadata.name, url, options.headers(app))
    console.result(
        {
            "image": str(published.reference),
            "client": configuration,
            **({"login": login.made} if login.made else {}),
        },
        lambda: "\n".join([json.dumps(configuration, indent=2), *login.words]),
    )
    command = [spin, "up", "--from", str(published.reference)]
    command += ["--listen", f"{options.address}:{options.port}"]
    if options.state_dir is not None:
        command += ["--state-dir", str(state_folder(options.state_dir, app, options.file))]
    if target.registry in insecure:
        command.append("--insecure")
    # In the environment, because everybody on the machine can read the arguments.
    environment = {f"SPIN_VARIABLE_{name.upper()}": value for name, value in values.items()}
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Ctrl-C has reached spin as well; wait for its last output.
            return process.wait()
        finally:
            process.terminate()
