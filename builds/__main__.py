"""`python -m builds [NAME…]`: build what is missing of these targets, or of all."""

import argparse
import sys

from builds.signals import SIGNALS
from builds.store import BuildError, build_all
from builds.targets import END_TO_END, INTEGRATION, PROOF, PROOF_CLUSTER, STORE, TARGETS


def main() -> int:
    """Return 0, 1 if a build failed, or 128 plus the number of the signal that broke it off."""
    parser = argparse.ArgumentParser(
        prog="python -m builds", description="Build what the tests use, into the user's cache."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a target; see --list (default: all that `make test` uses)"
    )
    parser.add_argument("--list", action="store_true", help="list the targets and whether they are built")
    parser.add_argument("--integration", action="store_true", help="what the integration tests use")
    parser.add_argument("--end-to-end", action="store_true", help="what the end-to-end tests use")
    parser.add_argument("--proof", action="store_true", help="what `make proof` uses")
    parser.add_argument(
        "--where", action="store_true", help="build nothing; print the folders of what is built"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    tiers = {INTEGRATION: arguments.integration, END_TO_END: arguments.end_to_end}
    tiers[PROOF + PROOF_CLUSTER] = arguments.proof
    names = [*arguments.names, *(name for tier, wanted in tiers.items() if wanted for name in tier)]
    names = names or [name for name in TARGETS if arguments.list or name not in PROOF]
    chosen = [target for name, target in TARGETS.items() if name in names]
    if arguments.list:
        for target in chosen:
            state = "built" if STORE.place(target).is_dir() else f"takes {target.takes}"
            print(f"{target.name:<18} {target.what} ({state})")
        return 0
    if arguments.where:
        print(*(STORE.place(target) for target in chosen), sep="\n")
        return 0
    SIGNALS.install()
    try:
        build_all(STORE, chosen)
    except BuildError as error:
        print(f"builds: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
