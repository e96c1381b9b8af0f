"""`render` and `publish`: the pipeline on the command line, without a cluster."""

from collections.abc import Mapping
from typing import Any

from ftl_operator.cli.console import Console
from ftl_operator.cli.workspace import Authorize, local_inputs, read_app_file
from ftl_operator.errors import SpecError
from ftl_operator.manifests.all import manifests
from ftl_operator.manifests.deployment import pod_fields
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import Reference, Repository, parse_repository
from ftl_operator.pipeline.plan import Plan, Stages, plan, repository_of
from ftl_operator.pipeline.plan import publish as push
from ftl_operator.registry.client import PublishedApp, Registry
from ftl_operator.settings import Settings


def publish(
    file: str, repository: str | None, registry: Registry, console: Console, authorize: Authorize
) -> PublishedApp:
    """Compose the app in a file and push it.

    Raises:
        FtlError: A stage failed.
    """
    planned, target = _plan(file, repository, registry, console, authorize)
    with console.step(f"publishing to {target}"):
        return push(planned, registry, target, Stages())


def render(
    file: str,
    repository: str | None,
    registry: Registry,
    console: Console,
    authorize: Authorize,
    *,
    deployment: bool = False,
) -> list[Mapping[str, Any]]:
    """Make the objects that the controller would apply for the app in a file.

    Args:
        file: The FtlApp's file, or `-`.
        repository: Where it is published, if the spec does not say it.
        registry: Gives the components.
        console: Shows the steps.
        authorize: Checks the spec's `auth`.
        deployment: Whether to add the controller's part of the Deployment that spin-operator makes.

    Raises:
        FtlError: A stage failed.
    """
    planned, target = _plan(file, repository, registry, console, authorize)
    image = Reference(target, digest=planned.image.digest)
    release = Release(image, issuer_urls=planned.issuer_urls)
    app = planned.resolved.app
    objects = list(manifests(app, release, Settings()).objects)
    if deployment:
        # As the status lists them: a component that two tools use counts twice.
        size = sum(planned.components[tool.identity].size for tool in planned.resolved.tools)
        objects.append(pod_fields(app, "", size))
    return [_without_cluster(item) for item in objects]


def _plan(
    file: str, repository: str | None, registry: Registry, console: Console, authorize: Authorize
) -> tuple[Plan, Repository]:
    app_file = read_app_file(file)
    app = app_file.app
    # Check the target first; composing takes minutes.
    if repository is not None:
        target = parse_repository(repository, "--repository")
    elif app.spec.publish.repository is not None:
        target = repository_of(app, Settings())
    else:
        raise SpecError(
            "nothing says where the app is published; write it here or pass --repository",
            field="spec.publish.repository",
        )
    with console.step(f"composing {app.metadata.name}"):
        inputs = local_inputs(app_file, registry, authorize, console.progress)
        return plan(app, inputs, Stages(), app_file.directory), target


def _without_cluster(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove what a cluster's uids are in: the owner reference, and the Deployment's uid and its digest."""
    left = ("ownerReferences", "uid", "annotations") if "uid" in item["metadata"] else ("ownerReferences",)
    metadata = {key: value for key, value in item["metadata"].items() if key not in left}
    return {**item, "metadata": metadata}
