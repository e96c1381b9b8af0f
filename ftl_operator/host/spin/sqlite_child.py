"""The process that runs the SQL of components: `python sqlite_child.py FD DATABASE [temporary]`.

SQLite is native code, and a component's SQL is untrusted. So each database has its own process, which the
parent can kill at any time. In it, an allow-list applies (https://sqlite.org/security.html, "Untrusted SQL
inputs"): actions, functions and pragmas that are not on the list do not exist. The process ends with its
parent, because that closes the socket.

Messages are JSON after four bytes with their length. A request is `{"sql", "parameters", "seconds"}`, or
`{"rollback": true}`. An answer is `{"columns", "rows", "last_insert_rowid", "changes"}` or `{"error"}`, with
`in_transaction`. A blob is `{"blob": base64}`. This file is run by itself and imports nothing of the package.
"""

import base64
import contextlib
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import struct
import sys
import time
from typing import Any

MAX_ROWS = 100_000
MAX_LENGTH = 16 << 20
"""The most bytes of one value, or of one statement with its parameters."""
MAX_RESULT = 32 << 20
"""The most bytes of all rows of one answer; each value counts `CELL` bytes more."""
CELL = 64
MAX_MEMORY = 512 << 20
"""The address space of this process, in bytes."""
MAX_DATABASE = 256 << 20
"""The most bytes of the database."""
GRACE = 1.0
"""Seconds after a statement's time limit at which the process ends, if a single function cannot be
interrupted."""
OLDEST = (3, 30, 0)
"""The first version of SQLite that lists its functions and modules."""

_ACTIONS = frozenset(
    getattr(sqlite3, f"SQLITE_{name}")
    for name in """
    ALTER_TABLE ANALYZE CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER
    CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW DELETE DROP_INDEX DROP_TABLE DROP_TEMP_INDEX DROP_TEMP_TABLE
    DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW INSERT READ RECURSIVE REINDEX SAVEPOINT SELECT
    TRANSACTION UPDATE
    """.split()  # noqa: SIM905 - a table of words is read more easily than forty quotes
)
_FUNCTIONS = frozenset(
    """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling changes char coalesce concat
    concat_ws cos cosh count cume_dist current_date current_time current_timestamp date datetime degrees
    dense_rank exp first_value floor format glob group_concat hex ifnull iif if instr json json_array
    json_array_length json_error_position json_extract json_group_array json_group_object json_insert
    json_object json_patch json_pretty json_quote json_remove json_replace json_set json_type json_valid
    jsonb jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object
    jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday lag last_insert_rowid last_value lead
    length like likelihood likely ln log log10 log2 lower ltrim max median min mod nth_value ntile nullif
    octet_length percent_rank percentile pi pow power printf quote radians random randomblob rank replace
    round row_number rtrim sign sin sinh soundex sqlite_version sqrt strftime string_agg substr substring
    subtype sum tan tanh time timediff total total_changes trim trunc typeof unhex unicode unixepoch
    unlikely upper zeroblob
    sqlite_drop_column sqlite_rename_column sqlite_rename_quotefix sqlite_rename_table sqlite_rename_test
    """.split()  # noqa: SIM905
)
"""ALTER TABLE calls the functions in the last line, and gets SQLite's own; `_INTERNAL` hides them from
others."""
_INTERNAL = """
    affinity expr_compare expr_implies_expr fpdecode implies_nonnull_row parseuri sqlite_add_constraint
    sqlite_drop_column sqlite_drop_constraint sqlite_fail sqlite_find_constraint sqlite_rename_column
    sqlite_rename_parent sqlite_rename_quotefix sqlite_rename_table sqlite_rename_test sqlite_rename_trigger
    """.split()  # noqa: SIM905
"""Functions that `PRAGMA function_list` leaves out (`SQLITE_FUNC_INTERNAL` in func.c and alter.c)."""
_BYTECODE = ["addr", "opcode", "p1"]
"""The first columns of EXPLAIN's result."""

_OWN_TABLES = frozenset(("sqlite_master", "sqlite_temp_master", "sqlite_sequence", "sqlite_stat1"))
"""SQLite's internal tables that statements change; SQLite itself refuses direct changes of the first two."""
_MODULES = frozenset(("json_each", "json_tree"))
"""Built-in virtual tables, which may be read."""

_ANY: frozenset[str] | None = None
_NO_VALUE: frozenset[str] = frozenset()
_PRAGMAS: dict[str, frozenset[str] | None] = {
    "application_id": _ANY,
    "auto_vacuum": _ANY,
    "busy_timeout": _NO_VALUE,
    "cache_size": _ANY,
    "collation_list": _NO_VALUE,
    "data_version": _NO_VALUE,
    "defer_foreign_keys": _ANY,
    "encoding": _NO_VALUE,
    "foreign_key_check": _ANY,
    "foreign_key_list": _ANY,
    "foreign_keys": _ANY,
    "freelist_count": _NO_VALUE,
    "incremental_vacuum": _ANY,
    "index_info": _ANY,
    "index_list": _ANY,
    "index_xinfo": _ANY,
    "integrity_check": _ANY,
    "journal_mode": frozenset(("delete", "truncate", "persist", "memory", "wal")),
    "max_page_count": _NO_VALUE,
    "optimize": _ANY,
    "page_count": _NO_VALUE,
    "page_size": _ANY,
    "quick_check": _ANY,
    "recursive_triggers": _ANY,
    "schema_version": _NO_VALUE,
    "synchronous": _ANY,
    "table_info": _ANY,
    "table_list": _ANY,
    "table_xinfo": _ANY,
    "temp_store": _NO_VALUE,
    "user_version": _ANY,
    "wal_checkpoint": _ANY,
}
"""The allowed pragmas and their allowed values."""
_VACUUM = re.compile(r"VACUUM(\s+main)?\s*;?", re.IGNORECASE)


class UnsafeSQLiteError(Exception):
    """The allow-list cannot be enforced with this build of SQLite."""


class Guard:
    """The authorizer (https://sqlite.org/c3ref/set_authorizer.html), which SQLite calls for each action.

    Args:
        modules: The modules of all virtual tables in this SQLite.
    """

    def __init__(self, modules: frozenset[str]) -> None:
        self._modules = modules - _MODULES
        self.vacuums = False
        """Whether the statement is a plain VACUUM, which itself attaches a temporary database."""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Return `SQLITE_OK` or `SQLITE_DENY`; the meaning of the arguments depends on the action."""
        return sqlite3.SQLITE_OK if self._allows(action, first, second) else sqlite3.SQLITE_DENY

    def _allows(self, action: int, first: str | None, second: str | None) -> bool:
        name = (first or "").lower()
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() in _FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            values = _PRAGMAS.get(name, _NO_VALUE)
            return name in _PRAGMAS and (second is None or values is None or second.lower() in values)
        if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
            return self.vacuums and (first == "" or action == sqlite3.SQLITE_DETACH)
        if action == sqlite3.SQLITE_READ and name.startswith("pragma_"):
            return name.removeprefix("pragma_") in _PRAGMAS
        if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
            return name not in self._modules and (not name.startswith("sqlite_") or name in _OWN_TABLES)
        return action in _ACTIONS and not (action == sqlite3.SQLITE_READ and name in self._modules)


class Session:
    """One open database.

    Args:
        path: Its file.
        is_temporary: Whether it is removed at the end, so that nothing needs to reach the disk.

    Raises:
        UnsafeSQLiteError: The allow-list cannot be enforced with this SQLite.
        sqlite3.Error: The file is not a usable database.
    """

    def __init__(self, path: str, *, is_temporary: bool = False) -> None:
        check_build()
        connection = sqlite3.connect(path, isolation_level=None, timeout=5, cached_statements=64)
        for name, value in (
            ("LENGTH", MAX_LENGTH),
            ("SQL_LENGTH", 1 << 20),
            ("COLUMN", 1000),
            ("EXPR_DEPTH", 200),
            ("COMPOUND_SELECT", 200),
            ("VDBE_OP", 250_000),
            ("FUNCTION_ARG", 100),
            ("ATTACHED", 1),  # VACUUM's own; the guard allows no other
            ("LIKE_PATTERN_LENGTH", 1000),
            ("VARIABLE_NUMBER", 32_766),
            ("TRIGGER_DEPTH", 20),
            ("WORKER_THREADS", 0),
        ):
            connection.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), value)
        harden(connection)
        pages = MAX_DATABASE // connection.execute("PRAGMA page_size").fetchone()[0]
        for pragma in (
            "cell_size_check=ON",
            "temp_store=MEMORY",  # no file but the database's own
            "mmap_size=0",
            f"max_page_count={pages}",
            # A temporary database need not survive a crash.
            f"synchronous={'OFF' if is_temporary else 'FULL'}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        virtual = "SELECT name FROM sqlite_master WHERE rootpage = 0 AND type = 'table'"
        if found := connection.execute(virtual).fetchone():
            raise sqlite3.DatabaseError(
                f"the database has the virtual table {found[0]!r}, which is not run here"
            )
        remove_functions(connection)
        modules = frozenset(row[0].lower() for row in connection.execute("PRAGMA module_list"))
        self._guard = Guard(modules)
        connection.set_authorizer(self._guard)
        # Not on the list and harmless: if it runs, this SQLite was built without the authorizer.
        with contextlib.suppress(sqlite3.DatabaseError):
            connection.execute("SELECT sqlite_source_id()").fetchone()
            raise UnsafeSQLiteError("it was built without the authorizer")
        self._deadline = 0.0
        connection.set_progress_handler(lambda: int(time.monotonic() > self._deadline), 5000)
        self._connection = connection

    def execute(self, statement: str, parameters: list[Any], seconds: float) -> dict[str, Any]:
        """Run one statement for at most `seconds`. Raises sqlite3.Error, MemoryError."""
        self._deadline = time.monotonic() + seconds
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)  # SIGALRM ends this process
        self._guard.vacuums = _VACUUM.fullmatch(statement.strip()) is not None
        try:
            cursor = self._connection.execute(statement, parameters)
            columns = [column[0] for column in cursor.description or ()]
            if columns[:3] == _BYTECODE:
                raise sqlite3.NotSupportedError("not authorized: EXPLAIN shows addresses of this process")
            rows: list[list[Any]] = []
            size = 0
            for row in cursor:
                size += sum(CELL + (len(value) if isinstance(value, str | bytes) else 0) for value in row)
                if len(rows) == MAX_ROWS or size > MAX_RESULT:
                    raise sqlite3.DataError(
                        f"the answer has more than {MAX_ROWS} rows or {MAX_RESULT >> 20} MiB"
                    )
                rows.append([to_json(value) for value in row])
            last, changes = self._connection.execute("SELECT last_insert_rowid(), changes()").fetchone()
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                raise sqlite3.OperationalError(f"the statement was stopped after {seconds:g} s") from None
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return {
            "columns": columns,
            "rows": rows,
            "last_insert_rowid": last,
            "changes": changes,
        }

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def rollback(self) -> dict[str, Any]:
        """Roll back the open transaction."""
        self._connection.rollback()
        return {}


def check_build() -> None:
    """Raise UnsafeSQLiteError if the allow-list cannot be enforced with this SQLite."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise UnsafeSQLiteError(f"it is older than {'.'.join(map(str, OLDEST))}")
    connection = sqlite3.connect(":memory:")
    options = {row[0] for row in connection.execute("PRAGMA compile_options")}
    connection.close()
    missing = options & {
        "OMIT_AUTHORIZATION",
        "OMIT_PROGRESS_CALLBACK",
        "OMIT_DEPRECATED_LIMITS",
        "THREADSAFE=0",
    }
    if missing:
        raise UnsafeSQLiteError(f"it was built with {', '.join(sorted(missing))}")


def harden(connection: sqlite3.Connection) -> None:
    """Disable features that no component needs, if Python can (`setconfig` came with Python 3.12)."""
    setconfig = getattr(connection, "setconfig", None)
    if setconfig is None:
        return
    for name, on in (
        ("DEFENSIVE", True),
        ("WRITABLE_SCHEMA", False),
        ("ENABLE_LOAD_EXTENSION", False),
        ("ENABLE_FTS3_TOKENIZER", False),
    ):
        code = getattr(sqlite3, f"SQLITE_DBCONFIG_{name}", None)
        if code is not None:
            setconfig(code, on)


def remove_functions(connection: sqlite3.Connection) -> None:
    """Replace every function that is not on the list by one that raises an error.

    The authorizer is not enough: SQLite 3.40 does not call it for a CHECK in `ALTER TABLE ADD COLUMN`.
    (`trusted_schema=OFF`, which is meant for that, also refuses JSON functions in views and generated
    columns.) There, and in a generated column, the functions that ALTER TABLE itself calls can also be used.
    They trust their arguments; with wrong ones they read memory out of bounds. A replacement of the same name
    hides them from everything except the statements of ALTER TABLE (`DBFLAG_PreferBuiltin`).

    Raises:
        UnsafeSQLiteError: This SQLite does not list its functions.
    """

    def refuse(*_: object) -> None:
        raise sqlite3.NotSupportedError("not authorized to use this function")

    listed = {(row[0].lower(), row[4]) for row in connection.execute("PRAGMA function_list")}
    if ("json", 1) not in listed and ("abs", 1) not in listed:
        raise UnsafeSQLiteError("it does not list its functions")
    for name, arguments in listed:
        if name not in _FUNCTIONS:
            connection.create_function(name, arguments, refuse)
    for name in _INTERNAL:
        connection.create_function(name, -1, refuse)


def to_json(value: Any) -> Any:
    """Convert a column's value for a message."""
    return {"blob": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def from_json(value: Any) -> Any:
    """Convert a parameter in a message for SQLite."""
    return base64.b64decode(value["blob"]) if isinstance(value, dict) else value


def send(sock: socket.socket, document: object) -> None:
    """Write one message. Raises OSError."""
    body = json.dumps(document).encode()
    sock.sendall(struct.pack("!I", len(body)) + body)


def receive(sock: socket.socket) -> Any:
    """Read one message; None at the end. Raises OSError."""
    head = sock.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return None
    body = sock.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL)
    return json.loads(body)


def confine() -> None:
    """Limit this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MAX_DATABASE,) * 2)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # Systems other than Linux have this limit but do not allow to set it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def main(fd: int, path: str, *options: str) -> None:
    """Answer requests until the parent closes the socket."""
    confine()
    sock = socket.socket(fileno=fd)
    try:
        session = Session(path, is_temporary=bool(options))
    except UnsafeSQLiteError as error:
        send(sock, {"error": f"SQLite {sqlite3.sqlite_version} of this Python is not safe to use: {error}"})
        return
    except sqlite3.Error as error:
        send(sock, {"error": str(error)})
        return
    send(sock, {"ready": sqlite3.sqlite_version})
    while (request := receive(sock)) is not None:
        try:
            if "rollback" in request:
                answer = session.rollback()
            else:
                parameters = [from_json(value) for value in request["parameters"]]
                answer = session.execute(request["sql"], parameters, request["seconds"])
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "out of memory"}
        send(sock, answer | {"in_transaction": session.in_transaction})


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        main(int(sys.argv[1]), *sys.argv[2:])
    os._exit(0)
