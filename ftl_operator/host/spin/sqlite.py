"""fermyon:spin/sqlite and spin:sqlite/sqlite: the databases that a component was granted.

The SQL runs in `sqlite_child`, in one process per database: every statement ends at its time limit, whatever
it does, without harm to other databases and the server.
"""

import base64
import contextlib
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ftl_operator.errors import Reason, SpecError
from ftl_operator.host.engine.interface import Err, Interface, Resource
from ftl_operator.host.guest import GuestInstance

Value = tuple[str, Any]

STATEMENT_SECONDS = 15.0
"""How long one statement may take."""
START_SECONDS = 60.0
"""How long the process may take to start on a busy machine."""
MAX_STATEMENT = 16 << 20
"""The most bytes of one statement with its parameters."""
_MAX_MESSAGE = 128 << 20
_KILL_AFTER = 3.0
"""Seconds after a statement's time limit at which the process is killed; normally it ends itself before."""
_CHILD = Path(__file__).with_name("sqlite_child.py")
_INTEGERS = range(-(1 << 63), 1 << 63)


class DatabaseError(Exception):
    """A statement failed; the text is for the component."""


class Database:
    """A database, shared by all components with a grant for its label. Safe to use from several threads.

    Args:
        path: Its file; None keeps it in a temporary file until `close`.

    Raises:
        SpecError: The file is not a usable database, or this machine's SQLite is not safe to use.
    """

    def __init__(self, path: Path | None) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if path is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ftl-operator-")
            path = Path(self._folder.name) / "database.sqlite"
        self._path = path.absolute()
        self._condition = threading.Condition()
        self._running = False
        self._owner: object = None
        """The owner of the open transaction."""
        self._process: _Process | None = None
        self._closed = False
        try:
            self._process = self._start()
        except DatabaseError as error:
            self.close()
            raise SpecError(
                f"SQLite databases cannot be served: {error}", reason=Reason.LOCAL_FAILURE
            ) from None

    def execute(
        self, statement: str, parameters: Sequence[Any], seconds: float, owner: object = None
    ) -> dict[str, Any]:
        """Run one statement.

        Args:
            statement: SQL.
            parameters: None, int, float, str or bytes.
            seconds: How long it may take, including the wait for other statements of this database.
            owner: The caller. A transaction that it begins makes others wait until its end or `release`.

        Returns:
            `columns`, `rows`, `last_insert_rowid`, `changes` and `in_transaction`.

        Raises:
            DatabaseError: It failed, exceeded its time or a limit, or is not allowed.
        """
        size = sum(len(value) for value in (statement, *parameters) if isinstance(value, str | bytes))
        if size > MAX_STATEMENT:
            raise DatabaseError(f"the statement and its parameters have more than {MAX_STATEMENT >> 20} MiB")
        sent = [
            {"blob": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for value in parameters
        ]
        seconds = max(0.01, min(seconds, STATEMENT_SECONDS))
        deadline = time.monotonic() + seconds
        with self._turn(owner, deadline):
            rest = max(0.01, deadline - time.monotonic())
            answer = self._ask({"sql": statement, "parameters": sent, "seconds": rest}, rest)
            self._owner = owner if answer.get("in_transaction") else None
            if "error" in answer:
                raise DatabaseError(str(answer["error"]))
            return answer

    def release(self, owner: object) -> None:
        """Roll back the open transaction of `owner`, if there is one, because nobody will commit it."""
        with self._condition:
            if self._owner is not owner:
                return
        with (
            contextlib.suppress(DatabaseError),
            self._turn(owner, time.monotonic() + STATEMENT_SECONDS + _KILL_AFTER),
        ):
            self._ask({"rollback": True}, STATEMENT_SECONDS)
            self._owner = None

    def close(self) -> None:
        """End the process, whatever it is doing, and remove a temporary database."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
            # A statement under way fails now and closes the socket itself.
            with self._condition:
                if not self._running:
                    process.close()
        if self._folder is not None:
            self._folder.cleanup()

    @contextlib.contextmanager
    def _turn(self, owner: object, deadline: float) -> Iterator[None]:
        """Wait for the turn: one statement at a time, and within a transaction only its owner's."""

        def free() -> bool:
            return not self._running and (self._owner is None or self._owner is owner)

        with self._condition:
            if not self._condition.wait_for(free, max(0.0, deadline - time.monotonic())):
                raise DatabaseError("the database is busy with another statement or transaction")
            self._running = True
        try:
            yield
        finally:
            with self._condition:
                self._running = False
                self._condition.notify_all()

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        if self._closed:
            raise DatabaseError("the database is closed")
        process = self._process
        if process is None:
            process = self._process = self._start()
        if self._closed:
            process.kill()
        try:
            return process.ask(request, seconds + _KILL_AFTER)
        except DatabaseError:
            # Uncommitted changes are rolled back when the next process opens the file.
            process.discard()
            self._process = self._owner = None
            raise

    def _start(self) -> "_Process":
        return _Process(self._path, is_temporary=self._folder is not None)


class _Process:
    """A running `sqlite_child`. Raises DatabaseError if it does not start."""

    def __init__(self, path: Path, *, is_temporary: bool) -> None:
        arguments = [str(path), *(["temporary"] if is_temporary else [])]
        self._socket, inherited = socket.socketpair()
        with inherited:
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_CHILD), str(inherited.fileno()), *arguments],
                    pass_fds=(inherited.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"LC_ALL": "C.UTF-8"},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self._socket.close()
                raise DatabaseError(f"no process can be started: {error.strerror}") from None
        try:
            ready = self._receive(time.monotonic() + START_SECONDS)
        except DatabaseError:
            self.discard()
            raise
        if "error" in ready:
            self.discard()
            raise DatabaseError(str(ready["error"]))

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and read the answer. Raises DatabaseError if none comes in time."""
        body = json.dumps(request).encode()
        deadline = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(struct.pack("!I", len(body)) + body)
        except OSError:
            raise DatabaseError("the database's process has ended") from None
        return self._receive(deadline)

    def kill(self) -> None:
        """End it now. A thread that waits for its answer gets an error."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        """Close the socket. No thread may use it any more."""
        self._socket.close()

    def discard(self) -> None:
        """End it and close the socket."""
        self.kill()
        self.close()

    def _receive(self, deadline: float) -> dict[str, Any]:
        try:
            size = struct.unpack("!I", self._exactly(4, deadline))[0]
            if size > _MAX_MESSAGE:
                raise DatabaseError("the answer is too large")
            answer = json.loads(self._exactly(size, deadline))
        except TimeoutError:
            raise DatabaseError("the statement passed its time; its transaction is rolled back") from None
        except (OSError, ValueError, RecursionError):
            raise DatabaseError(
                "the statement passed its time or memory; its transaction is rolled back"
            ) from None
        if not isinstance(answer, dict):
            raise DatabaseError("the answer is malformed")
        return answer

    def _exactly(self, size: int, deadline: float) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise TimeoutError
            self._socket.settimeout(rest)
            chunk = self._socket.recv(min(size - len(buffer), 1 << 20))
            if not chunk:
                raise ConnectionError
            buffer += chunk
        return bytes(buffer)


class Connection(Resource):
    """The interfaces' connection."""

    wit = "connection"

    def __init__(self, database: Database) -> None:
        self.database = database
        self.last_insert_rowid = 0
        self.changes = 0

    def execute(self, statement: str, parameters: list[Any], seconds: float) -> dict[str, Any]:
        """Run one statement; returns a query-result. Raises DatabaseError."""
        try:
            answer = self.database.execute(statement, parameters, seconds, self)
            self.last_insert_rowid, self.changes = int(answer["last_insert_rowid"]), int(answer["changes"])
            rows = [{"values": [_to_wit(value) for value in row]} for row in answer["rows"]]
            return {"columns": [str(name) for name in answer["columns"]], "rows": rows}
        except (LookupError, TypeError, ValueError):
            raise DatabaseError("the answer is malformed") from None

    def drop(self) -> None:
        """Roll back a transaction of this connection that is still open."""
        self.database.release(self)


def _to_wit(value: Any) -> Value:
    match value:
        case None:
            return "null", None
        case bool():
            raise ValueError("no value of SQLite")
        case int() if value in _INTEGERS:
            return "integer", value
        case float():
            return "real", value
        case str():
            return "text", value
        case {"blob": str(text)}:
            return "blob", base64.b64decode(text)
    raise ValueError("no value of SQLite")


for _name in ("fermyon:spin/sqlite", "spin:sqlite/sqlite"):
    _interface = Interface(_name)

    @_interface.function("[static]connection.open")
    def _open(guest: GuestInstance, label: str) -> Connection:
        if label not in guest.component.databases:
            raise Err(("access-denied", None))
        return Connection(guest.component.databases[label])

    @_interface.function("[method]connection.execute")
    def _execute(
        guest: GuestInstance, connection: Connection, statement: str, parameters: list[Value]
    ) -> dict[str, Any]:
        seconds = guest.deadline - time.monotonic()
        try:
            return connection.execute(statement, [value for _, value in parameters], seconds)
        except DatabaseError as error:
            raise Err(("io", str(error))) from None

    @_interface.function("[method]connection.last-insert-rowid")
    def _last_insert_rowid(_guest: GuestInstance, connection: Connection) -> int:
        return connection.last_insert_rowid

    @_interface.function("[method]connection.changes")
    def _changes(_guest: GuestInstance, connection: Connection) -> int:
        return connection.changes
