"""The parts of a release that are no action of somebody else's.

    release.py check TAG                  the tag is the version that everything has, with notes
    release.py notes TAG                  the version's section of CHANGELOG.md
    release.py chart FOLDER [DIGEST]      the packaged chart, which names the image by that digest
    release.py push FILE REGISTRY [OPT…]  the chart's digest there, pushed with the login of docker or helm

`chart` and `push` use the helm of `make build-helm`. Python's own library is enough for all of them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("charts") / "ftl-operator"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ReleaseError(Exception):
    """What is to be released does not fit together."""


def version(root: Path) -> str:
    """The version in pyproject.toml, which Chart.yaml has too.

    Raises:
        ReleaseError: The chart has another `version` or `appVersion`.
    """
    project: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = (root / CHART / "Chart.yaml").read_text(encoding="utf-8")
    for name in ("version", "appVersion"):
        found = re.search(rf"^{name}: *\"?([^\"\s]+)\"?$", chart, re.MULTILINE)
        if not found or found[1] != project:
            raise ReleaseError(f"pyproject.toml has version {project}, and Chart.yaml another {name}")
    return project


def notes(root: Path, wanted: str) -> str:
    """The section of a version in CHANGELOG.md, without its heading.

    Raises:
        ReleaseError: There is none, or it is empty.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(
        rf"^## \[{re.escape(wanted)}\][^\n]*\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    if not found or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md has no section [{wanted}] with text")
    return found[1].strip() + "\n"


def check(root: Path, tag: str) -> None:
    """See that a tag names what is released.

    Raises:
        ReleaseError: It is not `v` and the version, or the version has no notes.
    """
    wanted = version(root)
    if tag != f"v{wanted}":
        raise ReleaseError(f"the tag {tag} is not v{wanted}, the version in pyproject.toml")
    notes(root, wanted)


def chart(root: Path, helm: Path, folder: Path, digest: str) -> Path:
    """Package the chart; with a digest, `image.digest` in its values has it.

    Raises:
        ReleaseError: The digest is none, or the values have no place for it.
    """
    if digest and not _DIGEST.fullmatch(digest):
        raise ReleaseError(f"{digest} is no digest")
    with tempfile.TemporaryDirectory() as below:
        copy = Path(below) / CHART.name
        shutil.copytree(root / CHART, copy)
        if digest:
            values = copy / "values.yaml"
            text = values.read_text(encoding="utf-8")
            changed, count = re.subn(r'^  digest: ""$', f'  digest: "{digest}"', text, flags=re.MULTILINE)
            if count != 1:
                raise ReleaseError('values.yaml has not exactly one line `digest: ""`')
            values.write_text(changed, encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([helm, "package", copy, "--destination", folder], check=True, stdout=sys.stderr)
    return folder / f"{CHART.name}-{version(root)}.tgz"


def push(helm: Path, package: Path, registry: str, *options: str) -> str:
    """Push a packaged chart into a registry, `oci://HOST/PATH`, and return the digest of its manifest there.

    Raises:
        ReleaseError: helm failed, or named no digest.
    """
    done = subprocess.run(
        [helm, "push", package, registry, *options],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="", file=sys.stderr)
    found = re.search(rf"^Digest: *({_DIGEST.pattern})$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise ReleaseError(f"{package} was not pushed to {registry}")
    return found[1]


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status is 1 where something does not fit."""
    sys.path.insert(0, str(ROOT))
    from builds import built

    try:
        match arguments:
            case ["check", tag]:
                check(ROOT, tag)
            case ["notes", tag]:
                print(notes(ROOT, tag.removeprefix("v")), end="")
            case ["chart", folder]:
                print(chart(ROOT, built("helm") / "helm", Path(folder), ""))
            case ["chart", folder, digest]:
                print(chart(ROOT, built("helm") / "helm", Path(folder), digest))
            case ["push", package, registry, *options]:
                print(push(built("helm") / "helm", Path(package), registry, *options))
            case _:
                print(__doc__, file=sys.stderr)
                return 64
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
