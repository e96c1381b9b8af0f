"""What tests use and somebody must build first: programs, components, clients.

A build is a step of its own, never a part of a test: `make builds` (or `make build-NAME` for one) builds what
is missing into the user's cache, under a key of its inputs. Tests only look it up with `built`.

`targets.py` lists what there is and how each is made, `store.py` keeps it.
"""

from builds.store import NotBuiltError
from builds.targets import TARGETS, built, built_wasm

__all__ = ["TARGETS", "NotBuiltError", "built", "built_wasm"]
