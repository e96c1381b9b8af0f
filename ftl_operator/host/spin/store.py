"""Key-value stores in SQLite: one file a label, or in memory."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLOSE_SECONDS = 2.0
MAX_BYTES = 256 << 20
"""The most bytes of one store, in memory or on disk."""


class StoreError(Exception):
    """The store cannot do an operation; the text is for the component."""


class Store:
    """A key-value store, shared by all components with a grant for its label.

    Args:
        path: Its file; None keeps it in memory.

    Raises:
        StoreError: From every method, if the store is full or its file fails.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, timeout=10
        )
        pages = MAX_BYTES // self._database.execute("PRAGMA page_size").fetchone()[0]
        self._database.execute(f"PRAGMA max_page_count={pages}")
        if path:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
        self._run(
            lambda db: db.execute(
                "CREATE TABLE IF NOT EXISTS pairs (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
            )
        )

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._lock, self._database:
                return work(self._database)
        except sqlite3.Error as error:
            raise StoreError(f"the store failed: {error}") from None

    def get(self, key: str) -> bytes | None:
        """The value of a key."""
        row = self._run(lambda db: db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone())
        return bytes(row[0]) if row else None

    def set(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write all pairs or none."""
        statement = "INSERT INTO pairs VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._run(lambda db: db.executemany(statement, pairs))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys; a missing key is not an error."""
        self._run(lambda db: db.executemany("DELETE FROM pairs WHERE key = ?", [(key,) for key in keys]))

    def keys(self) -> list[str]:
        """All keys, sorted."""
        return [
            row[0]
            for row in self._run(lambda db: db.execute("SELECT key FROM pairs ORDER BY key").fetchall())
        ]

    def increment(self, key: str, delta: int) -> int:
        """Add to an integer of 8 bytes, little-endian, as in Spin. Raises ValueError for other bytes."""

        def work(db: sqlite3.Connection) -> int:
            row = db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
            if row and len(row[0]) != 8:
                raise ValueError(f"the value of {key!r} is not an integer")
            value = (int.from_bytes(row[0], "little", signed=True) if row else 0) + delta
            data = value.to_bytes(8, "little", signed=True)
            db.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, data))
            return value

        try:
            return self._run(work)
        except OverflowError:
            raise ValueError("the sum does not fit 64 bits") from None

    def swap(self, key: str, seen: bytes | None, value: bytes) -> bool:
        """Write `value` if the key still has the value `seen`. Returns whether it did."""

        def work(db: sqlite3.Connection) -> bool:
            row = db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
            if (bytes(row[0]) if row else None) != seen:
                return False
            db.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, value))
            return True

        return self._run(work)

    def close(self) -> None:
        """Close the file. A write that does not end is left to the end of the process."""
        if self._lock.acquire(timeout=CLOSE_SECONDS):
            self._database.close()
            self._lock.release()
