"""fermyon:spin/sqlite and spin:sqlite/sqlite: the databases that a component was granted, by sqlite3."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .guest import Guest
from .interface import Err, Interface, Resource

Value = tuple[str, Any]

MAX_ROWS = 100_000
MAX_LENGTH = 64 << 20
"""Bytes of one value or statement."""


class Database:
    """One database, shared by all components that were granted its label.

    Args:
        path: Its file; None keeps it in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, isolation_level=None, timeout=10
        )
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_LENGTH)
        # A guest must not reach other files of this machine through its database.
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

    def execute(self, statement: str, parameters: Sequence[Any]) -> dict[str, Any]:
        """Run one statement. Raises sqlite3.Error."""
        with self._lock:
            cursor = self._connection.execute(statement, parameters)
            columns = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchmany(MAX_ROWS + 1)
            cursor.close()
        if len(rows) > MAX_ROWS:
            raise sqlite3.DataError(f"more than {MAX_ROWS} rows")
        return {"columns": columns, "rows": [{"values": [_to_wit(value) for value in row]} for row in rows]}

    def counter(self, function: str) -> int:
        """`last_insert_rowid` or `changes`."""
        with self._lock:
            return int(self._connection.execute(f"SELECT {function}()").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class Connection(Resource):
    """The interfaces' connection."""

    wit = "connection"

    def __init__(self, database: Database) -> None:
        self.database = database


def _to_wit(value: Any) -> Value:
    match value:
        case None:
            return "null", None
        case int():
            return "integer", value
        case float():
            return "real", value
        case str():
            return "text", value
    return "blob", bytes(value)


for _name in ("fermyon:spin/sqlite", "spin:sqlite/sqlite"):
    _interface = Interface(_name)

    @_interface.function("[static]connection.open")
    def _open(guest: Guest, label: str) -> Connection:
        if label not in guest.component.databases:
            raise Err(("access-denied", None))
        return Connection(guest.component.databases[label])

    @_interface.function("[method]connection.execute")
    def _execute(
        _guest: Guest, connection: Connection, statement: str, parameters: list[Value]
    ) -> dict[str, Any]:
        try:
            return connection.database.execute(statement, [value for _, value in parameters])
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise Err(("io", str(error))) from None

    @_interface.function("[method]connection.last-insert-rowid")
    def _last_insert_rowid(_guest: Guest, connection: Connection) -> int:
        return connection.database.counter("last_insert_rowid")

    @_interface.function("[method]connection.changes")
    def _changes(_guest: Guest, connection: Connection) -> int:
        return connection.database.counter("changes")
