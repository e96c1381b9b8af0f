"""Attacks by tools and clients on the embedded host: SQL, allowed outbound hosts, stores, request heads."""
# ruff: noqa: E501 - a row of a table is one line

import contextlib
import http.server
import io
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.cli.up import state_folder
from ftl_operator.host.engine.interface import FUNCTIONS, Err, Ok
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.http import server
from ftl_operator.host.http.client import Client
from ftl_operator.host.http.messages import Request, Response
from ftl_operator.host.http.parser import read_head
from ftl_operator.host.spin.allowed_hosts import AllowedHosts, Target, parse_rule, parse_target
from ftl_operator.host.spin.sqlite import Connection, Database, DatabaseError
from ftl_operator.host.spin.store import Store
from ftl_operator.host.streams.pipe import PipeError, Reader
from ftl_operator.host.streams.waker import Waker
from ftl_operator.host.wasi.http_types import Fields, FutureResponse, OutgoingRequest, method_of
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.raw_server import run_raw_server

SECONDS = 30.0
"""Seconds for a statement that ends by itself, on a busy machine."""


def run(statements: Sequence[str]) -> list[list[Any]]:
    """The rows of the last statement, all run in one new database."""
    with contextlib.closing(Database(None)) as database:
        connection = Connection(database)
        for statement in statements:
            answer = connection.execute(statement, [], SECONDS)
    return [[value for _, value in row["values"]] for row in answer["rows"]]


def run_shortly(statement: str) -> str:
    """The same with a second for the statement, and then another one, which must find the database free."""
    with contextlib.closing(Database(None)) as database:
        connection = Connection(database)
        connection.execute("CREATE TABLE t (a)", [], SECONDS)
        try:
            connection.execute(statement, [], 1.0)
        finally:
            assert connection.execute("SELECT name FROM sqlite_master", [], SECONDS)["rows"]
    return "ended"


TABLE = ["CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT)", "INSERT INTO t (b) VALUES ('x')"]
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c{}) SELECT count(*) FROM c"
HEAVY = "SELECT instr(zeroblob({0}), CAST(zeroblob({0} / 2) || x'01' AS BLOB))"
DENIED = r"not authorized|prohibited|authorization denied|unsafe use|user-defined function raised|SQL logic error|non-deterministic"
SQL = [
    ("an address of native code", ["SELECT fts3_tokenizer('simple')"], ["SELECT json('[1]')"]),
    (
        "native code by its address",
        ["SELECT fts3_tokenizer('evil', x'4141414141414141')"],
        ["SELECT hex(x'41')"],
    ),
    ("the same in another case", ["SELECT FTS3_Tokenizer('simple')"], ["SELECT JSON('[1]')"]),
    (
        "the same within a view",
        ["CREATE VIEW v AS SELECT fts3_tokenizer('simple')", "SELECT * FROM v"],
        ["CREATE VIEW v AS SELECT json('[1]')", "SELECT * FROM v"],
    ),
    (
        "the same within a trigger",
        [
            *TABLE,
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT fts3_tokenizer('x'); END",
            "INSERT INTO t DEFAULT VALUES",
        ],
        [
            *TABLE,
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t WHERE b = 'x'; END",
            "INSERT INTO t DEFAULT VALUES",
        ],
    ),
    (
        "the same within a generated column",
        ["CREATE TABLE g (a, b AS (fts3_tokenizer(a)))", "SELECT b FROM g"],
        ["CREATE TABLE g (a, b AS (upper(a)))", "SELECT b FROM g"],
    ),
    (
        "the same within an index",
        [*TABLE, "CREATE INDEX i ON t (fts3_tokenizer(b))"],
        [*TABLE, "CREATE INDEX i ON t (lower(b))"],
    ),
    (
        "the same within a default",
        ["CREATE TABLE d (a, b DEFAULT (load_extension('x')))", "INSERT INTO d (a) VALUES (1)"],
        ["CREATE TABLE d (a, b DEFAULT (abs(-1)))", "INSERT INTO d (a) VALUES (1)"],
    ),
    (
        "the same within a check that comes later",
        [*TABLE, "ALTER TABLE t ADD COLUMN c CHECK (fts3_tokenizer('x', x'41') IS NULL)", "INSERT INTO t (b) VALUES ('y')"],
        [*TABLE, "ALTER TABLE t ADD COLUMN c CHECK (json('[1]') IS NOT NULL)", "INSERT INTO t (b) VALUES ('y')"],
    ),
    (
        "a function of ALTER TABLE's own within a generated column that comes later",
        [*TABLE, "ALTER TABLE t ADD COLUMN c AS (sqlite_rename_quotefix('main', 'create table q(a)'))", "SELECT c FROM t"],
        [*TABLE, "ALTER TABLE t ADD COLUMN c AS (upper(b))", "SELECT c FROM t"],
    ),
    (
        "memory by an index, within a check that comes later",
        [*TABLE, "ALTER TABLE t ADD COLUMN c CHECK (sqlite_drop_column(12345, 'create table q(a, b)', 99) IS NULL)"],
        [*TABLE, "ALTER TABLE t RENAME COLUMN b TO c", "ALTER TABLE t ADD COLUMN d", "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t RENAME TO u", "SELECT d FROM u"],
    ),
    ("addresses in bytecode", ["EXPLAIN SELECT value FROM json_each('[1]')"], ["EXPLAIN QUERY PLAN SELECT value FROM json_each('[1]')"]),
    ("addresses behind a comment", ["; /* x */ explain SELECT * FROM pragma_table_list"], ["; /* x */ SELECT 'explain'"]),
    (
        "a virtual table of fts3",
        ["CREATE VIRTUAL TABLE t USING fts3(tokenize=evil)"],
        ["CREATE TABLE t (tokenize)"],
    ),
    ("a virtual table of fts5", ["CREATE VIRTUAL TABLE t USING fts5(a)"], ["CREATE TABLE fts5 (a)"]),
    ("a virtual table of rtree", ["CREATE VIRTUAL TABLE t USING rtree(i, a, b)"], ["CREATE TABLE t (i, a, b)"]),
    ("an extension", ["SELECT load_extension('libc.so.6')"], ["SELECT length('libc.so.6')"]),
    ("the pages of the file", ["SELECT count(*) FROM dbstat"], [*TABLE, "SELECT count(*) FROM t"]),
    (
        "a table that is a module",
        ["SELECT * FROM fts3tokenize('simple', 'a')"],
        ["SELECT value FROM json_each('[1, 2]')"],
    ),
    ("statements of others", ["SELECT sql FROM sqlite_stmt"], ["SELECT sql FROM sqlite_master"]),
    ("SQLite's log", ["SELECT sqlite_log(1, 'x')"], ["SELECT log(2)"]),
    ("another file", ["ATTACH DATABASE '/tmp/other.db' AS other"], ["SAVEPOINT other"]),
    ("another file in memory", ["ATTACH ':memory:' AS other"], ["CREATE TEMP TABLE other (a)"]),
    ("another file named by an expression", ["ATTACH 'a' || 'b' AS other"], ["SELECT 'a' || 'b' AS other"]),
    ("an unnamed file", ["ATTACH '' AS other"], ["VACUUM"]),
    ("a copy to any place", ["VACUUM INTO '/tmp/other.db'"], [*TABLE, "VACUUM main;"]),
    ("the schema written over", ["PRAGMA writable_schema = ON"], ["PRAGMA foreign_keys = ON"]),
    ("the schema's own table", [*TABLE, "DELETE FROM sqlite_master"], [*TABLE, "DELETE FROM sqlite_sequence"]),
    ("a schema that is trusted", ["PRAGMA trusted_schema = 1"], ["PRAGMA recursive_triggers = 1"]),
    ("a journal that loses data", ["PRAGMA journal_mode = OFF"], ["PRAGMA journal_mode = WAL"]),
    ("files for what is temporary", ["PRAGMA temp_store_directory = '/tmp'"], ["PRAGMA user_version = 7"]),
    ("more pages than there may be", ["PRAGMA max_page_count = 2000000000"], ["PRAGMA page_count"]),
    ("the memory of all", ["PRAGMA hard_heap_limit = 1"], ["PRAGMA cache_size = -4000"]),
    ("memory that is the file", ["PRAGMA mmap_size = 1000000000"], ["PRAGMA page_size"]),
    ("the path of the file", ["PRAGMA database_list"], ["PRAGMA table_list"]),
    ("the same pragma as a table", ["SELECT file FROM pragma_database_list"], ["SELECT name FROM pragma_table_info('t')"]),
    ("an index of statistics by hand", [*TABLE, "ANALYZE", "CREATE TABLE sqlite_stat4 (a)"], [*TABLE, "ANALYZE"]),
]  # fmt: skip
LIMITS = [
    ("a value without end", ["SELECT length(zeroblob(1000000000))"], ["SELECT length(zeroblob(1000000))"]),
    ("a text without end", ["SELECT hex(zeroblob(10000000))"], ["SELECT hex(zeroblob(1000))"]),
    (
        "a text that grows",
        ["SELECT replace(hex(zeroblob(4000000)), '0', hex(zeroblob(100)))"],
        ["SELECT length(replace(hex(zeroblob(400)), '0', hex(zeroblob(100))))"],
    ),
    (
        "rows without end",
        [ENDLESS.format(" LIMIT 1000000").replace("count(*)", "x")],
        [ENDLESS.format(" LIMIT 1000")],
    ),
    (
        "rows of large values",
        ["SELECT randomblob(10000000) FROM (VALUES (1), (2), (3), (4), (5))"],
        ["SELECT length(randomblob(1000000)) FROM (VALUES (1), (2), (3), (4), (5))"],
    ),
    ("an expression without end", ["SELECT " + "(" * 5000 + "1" + ")" * 5000], ["SELECT " + "(" * 50 + "1" + ")" * 50]),
    ("a union without end", [" UNION ALL ".join(["SELECT 1"] * 2000)], [" UNION ALL ".join(["SELECT 1"] * 100)]),
    (
        "a pattern without end",
        ["SELECT 'a' LIKE '" + "%a" * 30000 + "'"],
        ["SELECT 'a' LIKE '" + "%a" * 100 + "'"],
    ),
    (
        "a trigger that calls itself",
        [
            "PRAGMA recursive_triggers = ON",
            "CREATE TABLE t (a)",
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO t VALUES (new.a + 1); END",
            "INSERT INTO t VALUES (1)",
        ],
        [
            "PRAGMA recursive_triggers = ON",
            "CREATE TABLE t (a)",
            "CREATE TRIGGER r AFTER INSERT ON t WHEN new.a < 5 BEGIN INSERT INTO t VALUES (new.a + 1); END",
            "INSERT INTO t VALUES (1)",
        ],
    ),
    ("two statements", ["SELECT 1; SELECT 2"], ["SELECT 1;"]),
    (
        "memory by sorting",
        [ENDLESS.format(" LIMIT 200").replace("count(*)", "max(b) FROM (SELECT randomblob(8000000) AS b") + " ORDER BY b)"],
        [ENDLESS.format(" LIMIT 20").replace("count(*)", "max(length(b)) FROM (SELECT randomblob(8000) AS b") + " ORDER BY b)"],
    ),
]  # fmt: skip
TOO_MUCH = r"too (big|many|deep|large|complex)|has more than|stack overflow|one statement|out of memory|time or memory"
TIMES = [
    ("a count without end", ENDLESS.format(""), ENDLESS.format(" LIMIT 10")),
    ("a join without end", f"WITH n AS (SELECT value FROM json_each('[{'1,' * 2000}1]')) SELECT count(*) FROM n, n b, n c, n d",
     f"WITH n AS (SELECT value FROM json_each('[{'1,' * 20}1]')) SELECT count(*) FROM n, n b"),
    ("one function that never ends", HEAVY.format(16_000_000), HEAVY.format(1000)),
    ("rows that are written without end", f"INSERT INTO t {ENDLESS.format('').replace('count(*)', 'x')}", "INSERT INTO t VALUES (1)"),
    ("an index of what never ends", f"CREATE TABLE u AS {ENDLESS.format('').replace('count(*)', 'x')}", "CREATE TABLE u (a)"),
]  # fmt: skip

ROWS = [
    *(Attack(f"C1 SQL: {name}", run, attack, f"{DENIED}|may not be (modified|dropped)|reserved", twin) for name, attack, twin in SQL),
    *(Attack(f"C1 SQL limit: {name}", run, attack, TOO_MUCH, twin) for name, attack, twin in LIMITS),
    *(Attack(f"C1 SQL time: {name}", run_shortly, attack, "was stopped after|passed its time|out of memory", twin)
      for name, attack, twin in TIMES),
]  # fmt: skip


def target_of(parts: tuple[str, str, str]) -> Target:
    """The target that a guest's scheme, authority and path are."""
    scheme, authority, path = parts
    target = parse_target(scheme, authority, path)
    if target is None:
        raise ValueError("no target")
    return target


def calls(rule_and_url: tuple[str, str]) -> bool:
    """Whether a component with this one rule may call a URL."""
    rule, url = rule_and_url
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    target = parse_target(scheme, authority, slash + path)
    return target is not None and AllowedHosts([parse_rule(rule)]).allows(target)


class Echo(http.server.BaseHTTPRequestHandler):
    """Says who was called."""

    def do_GET(self) -> None:
        body = f"{self.server.server_address[1]} {self.path}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_OPTIONS = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        pass


def fetch(method_and_path: tuple[str, str]) -> str:
    """What a component gets that may call one of two servers; the path's `PORT` is the other's."""
    method, path = method_and_path
    with contextlib.ExitStack() as stack:
        allowed, other = (http.server.HTTPServer(("127.0.0.1", 0), Echo) for _ in range(2))
        for one in (allowed, other):
            stack.callback(one.server_close)
            stack.callback(one.shutdown)
            threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
        client = stack.enter_context(contextlib.closing(Client()))
        path = path.replace("PORT", str(other.server_port))
        request = OutgoingRequest(Fields([]))
        request.method = method_of(method)
        set_path = FUNCTIONS["wasi:http/types", "[method]outgoing-request.set-path-with-query"]
        set_authority = FUNCTIONS["wasi:http/types", "[method]outgoing-request.set-authority"]
        anyone = SimpleNamespace(charge=lambda _: None)
        try:
            set_path(anyone, request, path)
            set_authority(anyone, request, f"127.0.0.1:{allowed.server_port}")
        except Err:
            return "refused when it is set"
        target = parse_target("http", request.authority or "", request.path or "/", method)
        if target is None or not AllowedHosts([parse_rule(f"http://127.0.0.1:{allowed.server_port}")]).allows(
            target
        ):
            return "refused"
        guest = SimpleNamespace(deadline=time.monotonic() + SECONDS, waker=Waker())
        future = FutureResponse(guest)
        client.send(guest, request, None, target, future)
        outcome = future.get()
        assert isinstance(outcome, Ok)
        if isinstance(outcome.value, Err):
            return f"failed {outcome.value.value}"
        text = b"".join(Reader(outcome.value.value.pipe, guest.deadline)).decode()
        return "the allowed one" if text == f"{allowed.server_port} {path}" else text


def send_lengths(lengths_and_body: tuple[list[bytes], bytes | None]) -> str:
    """What a component gets that sends these content-lengths to a server, and whether the next request is whole."""
    lengths, data = lengths_and_body
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(server.serve(Hello(), port=0))
        client = stack.enter_context(contextlib.closing(Client()))
        guest = SimpleNamespace(deadline=time.monotonic() + SECONDS, waker=Waker(), defer=lambda act: act())
        said = ""
        for entries, body in (([("content-length", value) for value in lengths], data), ([], None)):
            request = OutgoingRequest(Fields(list(entries)))
            request.method = method_of("POST")
            if body is not None:
                try:
                    opened = request.open(guest)
                except Err:
                    return "refused"
                opened.pipe.write(body)
                opened.pipe.finish()
            future = FutureResponse(guest)
            target = parse_target("http", f"127.0.0.1:{running.port}", "/", "POST")
            assert target is not None
            client.send(guest, request, None, target, future)
            outcome = future.get()
            assert isinstance(outcome, Ok)
            if isinstance(outcome.value, Err):
                return "refused"
            said = b"".join(Reader(outcome.value.value.pipe, guest.deadline)).decode()
        return said


def drip(answer: tuple[bytes, bytes]) -> str:
    """How a component's request of one second ends at a server that says the first part, then the second again and again."""
    first, again = answer

    def script(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(first)
        while again:
            client.sendall(again)
            time.sleep(0.05)

    with run_raw_server(script) as port, contextlib.closing(Client()) as client:
        guest = SimpleNamespace(deadline=time.monotonic() + (1.0 if again else SECONDS), waker=Waker())
        request, future = OutgoingRequest(Fields([])), FutureResponse(guest)
        target = parse_target("http", f"127.0.0.1:{port}", "/")
        thread = threading.Thread(
            target=client.send, args=(guest, request, None, target, future), daemon=True
        )
        thread.start()
        thread.join(SECONDS)
        if thread.is_alive():
            return "held"
        outcome = future.get()
        assert isinstance(outcome, Ok)
        if isinstance(outcome.value, Err):
            return "late"
        try:
            return b"".join(Reader(outcome.value.value.pipe, guest.deadline)).decode()
        except PipeError:
            return "late"


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
DRIPS = [
    ("interim answers", (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
    ("a head", (b"HTTP/1.1 200 OK\r\nx: ", b"a"), b"HTTP/1.1 200 OK\r\nx: a\r\ncontent-length: 2\r\n\r\nok"),
    ("a chunk's extension", (CHUNKED + b"2;", b"a"), CHUNKED + b"2;a\r\nok\r\n0\r\n\r\n"),
    ("trailers", (CHUNKED + b"0\r\nx: ", b"a"), CHUNKED + b"2\r\nok\r\n0\r\nx: a\r\n\r\n"),
    ("a body", (b"HTTP/1.1 200 OK\r\n\r\n", b"a"), b"HTTP/1.1 200 OK\r\n\r\nok"),
]  # fmt: skip


def fill(values: int) -> str:
    """The answers that a component gets when it stores so many values of 4 MiB."""
    with contextlib.closing(Store(None)) as store:
        guest = SimpleNamespace(component=SimpleNamespace(stores={"default": store}))
        handle = FUNCTIONS["fermyon:spin/key-value", "[static]store.open"](guest, "default")
        write = FUNCTIONS["fermyon:spin/key-value", "[method]store.set"]
        try:
            for index in range(values):
                write(guest, handle, str(index), bytes(4 << 20))
        except Err as error:
            return str(error.value)
    return "kept"


def hand_over(headers: int) -> int:
    """How many headers of 64 KiB a component can have the host keep, of so many."""
    guest = GuestInstance(SimpleNamespace(id="tool", log=lambda *_: None), time.monotonic() + SECONDS)  # type: ignore[arg-type]
    fields = Fields([])
    append = FUNCTIONS["wasi:http/types", "[method]fields.append"]
    for index in range(headers):
        append(guest, fields, "x", index.to_bytes(4, "big").hex().encode() * (8 << 10))
    return len(fields.entries)


LENGTHS = [
    ("two", ([b"3", b"5"], b"abc"), ([b"3"], b"abc")),
    ("two that are the same", ([b"3", b"3"], b"abc"), ([], b"abc")),
    ("two in one", ([b"3, 5"], b"abc"), ([b"03"], b"abc")),
    ("a sign", ([b"+3"], b"abc"), ([b"3"], b"abc")),
    ("two without a body", ([b"3", b"5"], None), ([b"3"], None)),
]  # fmt: skip
PATHS = [
    ("a user before another host", ("GET", "*@127.0.0.1:PORT/secret"), ("GET", "/*@127.0.0.1:PORT/secret")),
    ("a user with a password", ("GET", ":x@127.0.0.1:PORT/secret"), ("GET", "/:x@127.0.0.1:PORT/secret")),
    ("the asterisk of another method", ("GET", "*"), ("OPTIONS", "*")),
    ("a number that goes on the port", ("GET", "0/secret"), ("GET", "/0/secret")),
    ("a whole URL", ("GET", "http://127.0.0.1:PORT/secret"), ("GET", "/http://127.0.0.1:PORT/secret")),
    ("a second line", ("GET", "/ HTTP/1.1\r\nhost: x\r\n\r\n"), ("GET", "/%20HTTP/1.1%0D%0Ahost:%20x")),
    ("a space", ("GET", "/a b"), ("GET", "/a%20b")),
    ("a fragment", ("GET", "/a#@127.0.0.1:PORT"), ("GET", "/a?@127.0.0.1:PORT")),
    ("letters that are not ASCII", ("GET", "/\u0131"), ("GET", "/%C4%B1")),
    ("a zero byte", ("GET", "/\0"), ("GET", "/%00")),
    ("a backslash", ("GET", "\\\\127.0.0.1:PORT/secret"), ("GET", "/a//127.0.0.1:PORT/secret")),
]  # fmt: skip
AUTHORITIES = [
    ("a user", "user@api.example", "api.example"), ("an empty user", "@api.example", "api.example:443"),
    ("letters that are not ASCII", "straße.test", "xn--strae-oqa.test"), ("a wide dot", "api\u3002example", "api.example"),
    ("a zone", "[fe80::1%eth0]", "[fe80::1]"), ("an encoded zone", "[fe80::1%25eth0]", "[2001:db8::1]:8443"),
    ("an encoded letter", "api%2eexample", "api.example"), ("a space", "api.example ", "api.example"),
    ("a tab", "api.example\t", "API.Example"), ("a zero byte", "api.example\0.evil", "api.example.evil"),
    ("a second line", "api.example\r\nx: y", "api.example"), ("a path", "api.example/x", "api.example"),
    ("a query", "api.example?x", "api.example"), ("a fragment", "api.example#x", "api.example"),
    ("a backslash", "api.example\\.evil", "api.example.evil"), ("two ports", "api.example:1:2", "api.example:1"),
    ("no number as port", "api.example:+80", "api.example:80"), ("a port that is none", "api.example:70000", "api.example:7000"),
    ("an empty label", "api..example", "api.example"), ("a short address", "127.1", "127.0.0.1"),
    ("a hexadecimal address", "0x7f000001", "x7f000001"), ("an octal address", "0177.0.0.1", "177.0.0.1"),
    ("a number", "2130706433", "a2130706433"), ("no host", ":80", "a:80"), ("an open bracket", "[::1", "[::1]"),
    ("no address in brackets", "[api.example]", "[::ffff:1.2.3.4]"),
]  # fmt: skip


def share(files: tuple[str, str]) -> bool:
    """Whether the apps of two files, both called `tools`, get one folder of the same state folder."""
    with tempfile.TemporaryDirectory() as name:
        app = FtlApp.parse({**APP, "metadata": {"name": "tools"}})
        folders = []
        for file in files:
            path = Path(name, file)
            path.parent.mkdir(exist_ok=True)
            path.touch()
            folders.append(state_folder(Path(name, "state"), app, str(path)))
        return folders[0] == folders[1]


def names(two: tuple[str, str]) -> bool:
    """Whether two apps of one file get one folder of the same state folder."""
    with tempfile.TemporaryDirectory() as name:
        apps = [FtlApp.parse({**APP, "metadata": {"name": app, "namespace": "a"}}) for app in two]
        first, second = (state_folder(Path(name), app, f"{name}/app.yaml") for app in apps)
        return first == second


APP = {
    "apiVersion": "ftl.tools/v1alpha1",
    "kind": "FtlApp",
    "spec": {"access": "public", "tools": [{"name": "a", "image": "r.io/a:1"}]},
}
STATE = [
    Attack("M8 state: another file with an app of this name", share, ("a/app.yaml", "b/app.yaml"),
           "another app of this name", ("a/app.yaml", "a/app.yaml"), bool),
    Attack("M8 state: another app", names, ("tools", "tools2"), lambda same: not same, ("tools", "tools"), bool),
]  # fmt: skip


class Hello:
    """The smallest application."""

    def handle(self, request: Request) -> Response:
        return Response.plain(200, request.body or b"hello")


def crowd(sent: Sequence[bytes]) -> bytes:
    """What a client gets of a server that has places for 50, after 150 connections that sent these parts."""
    before, server.MAX_CONNECTIONS = server.MAX_CONNECTIONS, 50
    try:
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(server.serve(Hello(), port=0))
            for _ in range(150):
                sock = stack.enter_context(
                    socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS)
                )
                for part in sent:
                    sock.sendall(part)
                if sent and sent[-1].endswith(b"\r\n\r\n"):
                    assert sock.recv(1000).endswith(b"hello")
            with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as one:
                one.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                return one.recv(1000)
    finally:
        server.MAX_CONNECTIONS = before


def header_of(line: bytes) -> bytes:
    """The value of a header that a client sends as this line."""
    head = read_head(io.BufferedReader(io.BytesIO(b"GET / HTTP/1.1\r\nhost: x\r\n" + line + b"\r\n\r\n")))
    assert head is not None
    return head.headers[-1][1]


SPACES = b" \t" * 30_000


class Long:
    """An application whose answer is longer than what a connection holds on its way."""

    body = bytes(16 << 20)

    def handle(self, request: Request) -> Response:
        return Response.plain(200, self.body if request.target == "/long" else b"short")


def crowd_that_reads(size: int) -> bytes:
    """What a client gets beside 150 connections that each read so much of a long answer, where 50 have places."""
    before, server.MAX_CONNECTIONS = server.MAX_CONNECTIONS, 50
    try:
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(server.serve(Long(), port=0))
            for _ in range(150):
                sock = stack.enter_context(
                    socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS)
                )
                sock.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
                with contextlib.suppress(OSError):
                    rest = size
                    while rest > 0 and (data := sock.recv(1 << 20)):
                        rest -= len(data)
            with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as one:
                one.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                return one.recv(1000)
    finally:
        server.MAX_CONNECTIONS = before


WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
CROWDS = [
    ("nothing", [b""], [WHOLE]),
    ("a byte of a head", [b"G"], [WHOLE, WHOLE]),
    ("half a head", [b"GET / HTTP/1.1\r\nhost: x\r\n"], [b"GET / HTTP/1.1\r\nhost: x\r\n", b"\r\n"]),
    ("half a body", [b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhell"],
     [b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"]),
    ("half a chunk", [b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhell"],
     [b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]),
]  # fmt: skip
SIBLING = "http://sibling.spin.internal"
CHAINING = [
    ("any host", ("*://*:*", f"{SIBLING}/x"), (f"{SIBLING}", f"{SIBLING}/x")),
    ("any host by http", ("http://*:80", f"{SIBLING}/x"), ("http://*:80", "http://api.example/x")),
    ("any host by https", ("https://*", "https://sibling.spin.internal/"), ("https://*", "https://api.example/")),
    ("any component", ("http://*.spin.internal", f"{SIBLING}/x"), ("http://*.example", "http://api.example/x")),
    ("any internal host", ("http://*.internal", f"{SIBLING}/x"), ("http://*.internal", "http://db.internal/x")),
    ("the gateway", ("*://*:*", "http://gateway.spin.internal/"), ("*://*:*", "http://gateway.example/")),
    ("capitals", ("*://*:*", "http://GATEWAY.Spin.INTERNAL/"), (SIBLING, "http://Sibling.Spin.Internal/")),
    ("another port", ("*://*:*", "http://gateway.spin.internal:8080/"), ("*://*:*", "http://gateway.example:8080/")),
    ("another component", (SIBLING, "http://gateway.spin.internal/"), (SIBLING, SIBLING + "/")),
    ("a component below another", (SIBLING, "http://gateway.sibling.spin.internal/"), (SIBLING, SIBLING + "/a")),
]  # fmt: skip
ROWS += [
    *STATE,
    *(Attack(f"H1 path: {name}", fetch, attack, lambda said: said.startswith("refused"), twin, lambda said: said == "the allowed one")
      for name, attack, twin in PATHS),
    *(Attack(f"H1 authority: {name}", target_of, ("https", attack, "/"), "no target", ("https", twin, "/"))
      for name, attack, twin in AUTHORITIES),
    *(Attack(f"H1 length: {name}", send_lengths, attack, lambda said: said == "refused", twin, lambda said: said == "hello")
      for name, attack, twin in LENGTHS),
    *(Attack(f"H3 outbound: a server that drips {name}", drip, attack, lambda said: said == "late", (twin, b""), lambda said: said == "ok")
      for name, attack, twin in DRIPS),
    Attack("H6 a store without end", fill, 80, lambda said: "full" in said, 20, lambda said: said == "kept"),
    Attack("H6 headers without end", hand_over, 2000, "more than 64 MiB", 500, lambda kept: kept == 500),
    Attack("H1 scheme", target_of, ("file", "api.example", "/etc/passwd"), "no target", ("http", "api.example", "/etc/passwd")),
    *(Attack(f"M5 chaining: {name}", calls, attack, lambda allowed: not allowed, twin, bool)
      for name, attack, twin in CHAINING),
    Attack("M5 chaining: a rule in capitals", calls, ("http://GATEWAY.spin.internal", SIBLING), "lower case",
           ("http://API.example", "http://api.example/"), bool),
    *(Attack(f"Low {name} that takes a pattern hours", header_of, b"x:" + attack, "malformed", b"x:" + twin, b"a".__eq__)
      for name, attack, twin in (("line of spaces", SPACES + b"\x01", SPACES + b"a"), ("line that ends in spaces", b"a" + SPACES + b"\x01", b"a" + SPACES))),
    Attack("Low crowd that does not read", crowd_that_reads, 1, lambda said: said.startswith(b"HTTP/1.1 200 "), 16 << 20,
           lambda said: said.startswith(b"HTTP/1.1 200 ")),
    *(Attack(f"Low crowd that sends {name}", crowd, attack, lambda said: said.startswith(b"HTTP/1.1 200 "), twin,
             lambda said: said.startswith(b"HTTP/1.1 200 ")) for name, attack, twin in CROWDS),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)


def test_a_database_that_has_a_virtual_table_already_is_not_opened(tmp_path: Path) -> None:
    import sqlite3

    from ftl_operator.errors import SpecError

    for name, statement in (
        ("virtual", "CREATE VIRTUAL TABLE t USING fts5(a)"),
        ("plain", "CREATE TABLE t (a)"),
    ):
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as made:
            made.execute(statement)
    with pytest.raises(SpecError, match="virtual table 't'"):
        Database(tmp_path / "virtual")
    Database(tmp_path / "plain").close()


def test_a_transaction_keeps_others_waiting_and_ends_with_whoever_began_it() -> None:
    with contextlib.closing(Database(None)) as database:
        first, second = Connection(database), Connection(database)
        first.execute("CREATE TABLE t (a)", [], SECONDS)
        first.execute("BEGIN", [], SECONDS)
        first.execute("INSERT INTO t VALUES (1)", [], SECONDS)
        with pytest.raises(DatabaseError, match="busy"):
            second.execute("SELECT * FROM t", [], 0.2)
        first.drop()
        assert second.execute("SELECT * FROM t", [], SECONDS)["rows"] == []
        second.execute("BEGIN", [], SECONDS)
        second.execute("INSERT INTO t VALUES (?)", [2], SECONDS)
        second.execute("COMMIT", [], SECONDS)
        second.drop()
        assert first.execute("SELECT a FROM t", [], SECONDS)["rows"] == [{"values": [("integer", 2)]}]


def test_values_come_back_as_they_were_given() -> None:
    values = [None, -(1 << 63), 1.5, "zwei\0ü", b"\x00\xff", ""]
    with contextlib.closing(Database(None)) as database:
        row = Connection(database).execute(f"SELECT {', '.join('?' * len(values))}", values, SECONDS)["rows"][
            0
        ]
    assert [value for _, value in row["values"]] == values
    assert [kind for kind, _ in row["values"]] == ["null", "integer", "real", "text", "blob", "text"]


def test_what_was_committed_outlives_a_statement_that_had_to_be_killed() -> None:
    with contextlib.closing(Database(None)) as database:
        connection = Connection(database)
        connection.execute("CREATE TABLE t (a)", [], SECONDS)
        with pytest.raises(DatabaseError):
            connection.execute(HEAVY.format(16_000_000), [], 0.5)
        assert connection.execute("SELECT name FROM sqlite_master", [], SECONDS)["rows"]


@pytest.mark.parametrize(
    "statement", [ENDLESS.format(""), HEAVY.format(16_000_000)], ids=["steps", "function"]
)
def test_a_database_closes_while_a_statement_never_ends(statement: str) -> None:
    database = Database(None)
    failed: list[str] = []

    def run_it() -> None:
        try:
            Connection(database).execute(statement, [], SECONDS)
        except DatabaseError as error:
            failed.append(str(error))

    thread = threading.Thread(target=run_it, daemon=True)
    thread.start()
    while not database._running:
        time.sleep(0.01)
    database.close()
    thread.join(60)
    assert len(failed) == 1
    assert "stopped after" not in failed[0], "the statement ran to its own end"
