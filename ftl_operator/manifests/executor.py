"""A SpinAppExecutor for a namespace that has none: how SpinKube runs the pods of apps there. Pure."""

from typing import Any

from ftl_operator.api import kinds
from ftl_operator.settings import ExecutorKind, Settings


def new_executor(namespace: str, name: str, settings: Settings) -> dict[str, Any]:
    """An executor that belongs to no app: it stays when the app that needed it first goes.

    Args:
        namespace: The namespace of the apps.
        name: The name that they give in `spec.runtime.executor`.
        settings: Say whether pods run by the shim of the node or with Spin in an ordinary container.
    """
    runs: dict[str, Any] = {"installDefaultCACerts": True}
    if settings.executors_create is ExecutorKind.CONTAINER:
        runs["spinImage"] = settings.executors_image
    else:
        runs["runtimeClassName"] = settings.executors_runtime_class
    return {
        "apiVersion": kinds.SPIN_APP_EXECUTOR.api_version,
        "kind": kinds.SPIN_APP_EXECUTOR.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/created-by": "ftl-operator"},
        },
        "spec": {"createDeployment": True, "deploymentConfig": runs},
    }
