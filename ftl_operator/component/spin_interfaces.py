"""Tells by their interfaces which HTTP components run on Spin 3.6, Spin 4 and Spin 4.1. Pure.

Spin instantiates a component only if it has a host function for each import; a missing one keeps every
component of the application from starting. So a component is checked against this list before it is
published.

Sources, in github.com/spinframework/spin at the tags v3.6.3 and v4.0.2, and at 4.1.0-pre0 (94a8fc8a):

- `crates/factor-wasi/src/lib.rs`, `wasi_2023_10_18.rs`, `wasi_2023_11_10.rs`: wasi:cli, clocks, filesystem,
  io, random, sockets; the interfaces without functions beside them from `wit/deps`
- `crates/factor-outbound-http/src/wasi.rs` and its dated siblings: wasi:http, fermyon:spin/http
- `crates/factor-key-value`, `factor-llm`, `factor-outbound-mqtt`, `factor-outbound-mysql`,
  `factor-outbound-pg`, `factor-outbound-redis`, `factor-sqlite`, `factor-variables`, each `src/lib.rs`
- `wit/world.wit`, `wit/deps/spin@unversioned/world.wit`, `wit/deps/spin@2.0.0/world.wit`: names and versions
- `crates/http/src/trigger.rs`: the handlers of wasi:http 0.3; those of 0.2 and before are in each Spin
- `crates/factor-otel/src/lib.rs`: wasi:otel is linked only with `--experimental-wasi-otel`, so it is not here

Versions follow wasmtime's linker (`crates/environ/src/component/names.rs`, `alternate_lookup_key`): a release
serves every release of its compatible track (`0.2.x`, `3.x`), a pre-release serves itself only.
"""

import re
from collections.abc import Collection, Iterable

SPIN_3_6, SPIN_4, SPIN_4_1 = "Spin 3.6", "Spin 4", "Spin 4.1"
NEWEST_SHIM = "3.6"
"""The version of Spin in the newest containerd shim that SpinKube has released (0.24)."""

_WASI_PARTS = {
    "cli": (
        "environment",
        "exit",
        "stderr",
        "stdin",
        "stdout",
        "terminal-input",
        "terminal-output",
        "terminal-stderr",
        "terminal-stdin",
        "terminal-stdout",
    ),
    "clocks": ("monotonic-clock", "wall-clock"),
    "filesystem": ("preopens", "types"),
    "http": ("outgoing-handler", "types"),
    "io": ("error", "poll", "streams"),
    "random": ("insecure", "insecure-seed", "random"),
    "sockets": (
        "instance-network",
        "ip-name-lookup",
        "network",
        "tcp",
        "tcp-create-socket",
        "udp",
        "udp-create-socket",
    ),
}
_WASI_2 = {f"wasi:{package}/{name}" for package, names in _WASI_PARTS.items() for name in names}
_WASI_2023_10_18 = _WASI_2 - {"wasi:io/error"}
_WASI_3 = {
    name
    for name in _WASI_2
    if not name.startswith(("wasi:io/", "wasi:sockets/", "wasi:http/", "wasi:clocks/"))
} | {
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
}
_SPIN_1 = (
    "config",
    "http",
    "http-types",
    "key-value",
    "llm",
    "mysql",
    "postgres",
    "rdbms-types",
    "redis",
    "redis-types",
    "sqlite",
)
_SPIN_2 = (
    "key-value",
    "llm",
    "mqtt",
    "mysql",
    "postgres",
    "rdbms-types",
    "redis",
    "sqlite",
    "variables",
)
_BOTH = (
    {f"{name}@0.2.6" for name in _WASI_2}
    | {f"{name}@0.2.0-rc-2023-10-18" for name in _WASI_2023_10_18}
    | {f"{name}@0.2.0-rc-2023-11-10" for name in _WASI_2}
    | {f"fermyon:spin/{name}" for name in _SPIN_1}
    | {f"fermyon:spin/{name}@2.0.0" for name in _SPIN_2}
    | {f"wasi:keyvalue/{name}@0.2.0-draft2" for name in ("atomics", "batch", "store")}
    | {"spin:postgres/postgres@3.0.0", "wasi:config/store@0.2.0-draft-2024-09-27"}
)
_SPIN_4_INTERFACES = frozenset(
    _BOTH
    | {f"{name}@0.3.0-rc-2026-03-15" for name in _WASI_3}
    | {
        "spin:key-value/key-value@3.0.0",
        "spin:mqtt/mqtt@3.0.0",
        "spin:mysql/mysql@3.0.0",
        "spin:postgres/postgres@4.2.0",
        "spin:redis/redis@3.0.0",
        "spin:sqlite/sqlite@3.1.0",
        "spin:variables/variables@3.0.0",
    }
)
INTERFACES: dict[str, frozenset[str]] = {
    SPIN_3_6: frozenset(
        _BOTH
        | {"spin:postgres/postgres@4.0.0", "spin:sqlite/sqlite@3.0.0"}
        | {f"{name}@0.3.0-rc-2026-01-06" for name in _WASI_3}
    ),
    SPIN_4: _SPIN_4_INTERFACES,
    SPIN_4_1: _SPIN_4_INTERFACES | {f"{name}@0.3.0" for name in _WASI_3},
}
"""The interfaces that each Spin has, with the version that it links; the oldest Spin first."""
_HANDLER = "wasi:http/handler"
HANDLERS: dict[str, frozenset[str]] = {
    SPIN_3_6: frozenset({f"{_HANDLER}@0.3.0-rc-2026-01-06"}),
    SPIN_4: frozenset({f"{_HANDLER}@0.3.0-rc-2026-03-15"}),
    SPIN_4_1: frozenset({f"{_HANDLER}@0.3.0-rc-2026-03-15", f"{_HANDLER}@0.3.0"}),
}
"""The handlers of wasi:http 0.3 that each Spin can call."""
_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,4})(?:[.+-].*)?")


def spins_with(name: str) -> tuple[str, ...]:
    """The Spins that link an import of this name, such as `wasi:io/poll@0.2.9`; none if no Spin does."""
    return tuple(spin for spin, tracks in _TRACKS.items() if _track(name) in tracks)


def refusal(imports: Collection[str], exports: Iterable[str] = ()) -> str | None:
    """Why no Spin starts a component with these imports and exports; None if some Spin does."""
    missing = [name for name in imports if not spins_with(name)]
    if missing:
        shown = ", ".join(name[:200] for name in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return (
            f"it imports {shown}{more}, which neither Spin 3.6 nor Spin 4 has; build it without, or compose "
            "a component that provides it into this one"
        )
    handlers = _handlers(exports)
    if handlers and not any(_handles(spin, handlers) for spin in INTERFACES):
        return (
            f"it exports {handlers[0][:200]}, which neither Spin 3.6 nor Spin 4 calls; build it for WASI 0.2 "
            "or for WASI 0.3.0"
        )
    if not _able(imports, handlers):
        return "its interfaces are partly of Spin 3.6 and partly of Spin 4, and no Spin has all of them"
    return None


def needed_spin(imports: Collection[str], exports: Iterable[str] = ()) -> str:
    """The oldest Spin that runs such a component; empty if every Spin does, or none."""
    able = _able(imports, _handlers(exports))
    return able[0] if 0 < len(able) < len(INTERFACES) else ""


def requirement(needs: str) -> str:
    """Put the result of `needed_spin` into words."""
    return needs if needs == SPIN_3_6 else f"{needs} or newer"


def runs(needs: str, version: str) -> bool:
    """Whether a version of Spin such as `4.1.0` satisfies `needs`; False for an invalid version."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return False
    number = (int(found[1]), int(found[2]))
    if needs == SPIN_3_6:
        return (3, 6) <= number < (4, 0)
    return number >= ((4, 1) if needs == SPIN_4_1 else (4, 0))


def _handlers(exports: Iterable[str]) -> list[str]:
    return [name for name in exports if name.partition("@")[0] == _HANDLER]


def _handles(spin: str, handlers: Iterable[str]) -> bool:
    known = frozenset(map(_track, HANDLERS[spin]))
    return all(_track(name) in known for name in handlers)


def _able(imports: Collection[str], handlers: Collection[str]) -> list[str]:
    return [
        spin
        for spin in INTERFACES
        if _handles(spin, handlers) and all(spin in spins_with(name) for name in imports)
    ]


def _track(name: str) -> str:
    """The name under which wasmtime's linker looks an import up if the exact name is missing."""
    interface, at, version = name.partition("@")
    core, dash, _ = version.partition("-")
    parts = core.partition("+")[0].split(".")
    if not at or dash or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return name
    major, minor, patch = (int(part) for part in parts)
    return f"{interface}@{major or (f'0.{minor}' if minor else f'0.0.{patch}')}"


_TRACKS = {spin: frozenset(map(_track, names)) for spin, names in INTERFACES.items()}
