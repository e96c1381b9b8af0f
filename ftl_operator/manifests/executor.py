"""Makes a SpinAppExecutor for a namespace that has none. It tells SpinKube how to run pods there. Pure."""

from typing import Any

from ftl_operator.api import kinds
from ftl_operator.settings import ExecutorKind, Settings


def new_executor(namespace: str, name: str, settings: Settings) -> dict[str, Any]:
    """Make an executor. No app owns it, so it stays when the app that needed it first is deleted.

    Args:
        namespace: The namespace of the apps.
        name: The name in the apps' `spec.runtime.executor`.
        settings: They choose between the node's shim and Spin in an ordinary container.
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
