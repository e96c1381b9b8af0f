"""The objects of an app whose executor makes no Deployment. Pure.

The validating webhook of spin-operator (v0.6) then refuses annotations for a Deployment or its pods, and
there is no Deployment for an autoscaler or a suspension to scale.
"""

from dataclasses import replace

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import SOURCES_ANNOTATION
from ftl_operator.errors import Reason, SpecError
from ftl_operator.manifests.all import Manifest, Manifests


def check_without_deployment(app: FtlApp) -> None:
    """Refuse fields that need a Deployment.

    Raises:
        SpecError: The spec has such a field.
    """
    runtime = app.spec.runtime
    asked = {
        "spec.suspend": app.spec.suspend,
        "spec.runtime.autoscaling": runtime.autoscaling is not None,
        "spec.runtime.deploymentAnnotations": bool(runtime.deployment_annotations),
        "spec.runtime.podAnnotations": bool(runtime.pod_annotations),
    }
    for field, is_asked in asked.items():
        if is_asked:
            raise SpecError(
                f"the executor {runtime.executor!r} makes no Deployment, which this needs; remove the field "
                "or choose another executor",
                reason=Reason.NO_DEPLOYMENT,
                field=field,
            )


def without_deployment(desired: Manifests) -> Manifests:
    """Remove from an app's objects what needs a Deployment."""
    return replace(desired, objects=tuple(_without_annotations(item) for item in desired.objects))


def _without_annotations(manifest: Manifest) -> Manifest:
    if manifest["kind"] != kinds.SPIN_APP.kind:
        return manifest
    dropped = ("deploymentAnnotations", "podAnnotations")
    spec = {name: value for name, value in manifest["spec"].items() if name not in dropped}
    metadata = dict(manifest["metadata"])
    sources = (manifest["spec"].get("podAnnotations") or {}).get(SOURCES_ANNOTATION)
    if sources:
        # The operator cannot roll pods here, but the other runtime sees that the SpinApp has changed.
        metadata["annotations"] = {**metadata.get("annotations", {}), SOURCES_ANNOTATION: sources}
    return {**manifest, "metadata": metadata, "spec": spec}
