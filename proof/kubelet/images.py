"""The images of the tier, pushed into its registry by crane: the operator's, Spin's and the pod's own."""

import io
import shutil
import tarfile
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.registry import OPEN, PASSWORD, USER, Registry
from e2e.support.process import run

HERE = Path(__file__).parent
SPIN_FILES = {
    "opt/spin/main.py": HERE / "spin" / "main.py",
    # What pulls for the node of the end-to-end tests pulls here.
    "opt/spin/pull.py": binaries.ROOT / "e2e" / "node" / "image.py",
}


class Images:
    """Pushes images to a registry that has no TLS; anybody may read them.

    Args:
        registry: Where they go.
        folder: For files on the way, and crane's login.
    """

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._crane("auth", "login", registry.address, "--username", USER, "--password", PASSWORD)

    def operator(self, archive: Path) -> str:
        """Push the OCI archive that `scripts/image` made; its reference."""
        layout = self._folder / "layout"
        with tarfile.open(archive) as files:
            files.extractall(layout, filter="data")
        reference = self._reference("ftl-operator")
        self._crane("push", str(layout), reference)
        shutil.rmtree(layout)
        return reference

    def spin(self, operator: str) -> str:
        """The embedded host behind Spin's command line, on the operator's image."""
        return self._append("spin", SPIN_FILES, ["python", "/opt/spin/main.py"], operator)

    def pause(self) -> str:
        """The container that holds a pod's namespaces."""
        return self._append("pause", {"pause": binaries.target("kubelet") / "pause"}, ["/pause"])

    def large(self, name: str, size: int) -> str:
        """An image of its own with `size` bytes that compress badly."""
        path = self._folder / name
        with path.open("wb") as file, Path("/dev/urandom").open("rb") as random:
            file.write(random.read(size))
        return self._append(name, {name: path, "pause": binaries.target("kubelet") / "pause"}, ["/pause"])

    def _append(self, name: str, files: dict[str, Path], entrypoint: list[str], base: str = "") -> str:
        layer = self._folder / f"{name}.tar"
        with tarfile.open(layer, "w") as archive:
            for place, source in files.items():
                content = source.read_bytes()
                entry = tarfile.TarInfo(place)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
        reference = self._reference(name)
        on = ["--base", base] if base else []
        self._crane("append", *on, "--new_layer", str(layer), "--new_tag", reference)
        words = ",".join(entrypoint)
        self._crane("mutate", reference, "--entrypoint", words, "--cmd", "", "--tag", reference)
        return reference

    def _reference(self, name: str) -> str:
        return f"{self._registry.address}/{OPEN}/{name}:proof"

    def _crane(self, *arguments: str) -> None:
        env = {"DOCKER_CONFIG": str(self._folder / "docker"), "HOME": str(self._folder)}
        run([str(binaries.program("crane")), "--insecure", *arguments], env=env)
