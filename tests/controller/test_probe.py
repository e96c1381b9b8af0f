"""The probe against a real HTTP server that answers as the gateway does, correctly and wrongly."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ftl_operator.api.names import PROBE_HEADER
from ftl_operator.controller.probe import Probe
from ftl_operator.errors import Reason

TOKEN = "the-apps-own-word"
EXPECTED = ["weather__forecast", "weather__history"]


class App:
    """What the app answers, and what it was asked."""

    def __init__(self):
        self.ready = (200, {"status": "ready", "components": 1, "silent": []})
        self.listed = (200, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": n} for n in EXPECTED]}})
        self.pages = {}
        self.asked = []


@pytest.fixture
def app():
    return App()


@pytest.fixture
def url(app):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(app.ready)

        def do_POST(self):
            self.body = self.rfile.read(int(self.headers["Content-Length"]))
            cursor = json.loads(self.body)["params"].get("cursor")
            self.answer(app.pages.get(cursor, app.listed))

        def answer(self, said):
            app.asked.append((self.command, self.path, self.headers.get(PROBE_HEADER)))
            status, body = said
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(url, *, is_public=True):
    found = Probe(5).ask(url, TOKEN, expected=EXPECTED, is_public=is_public)
    return found.status, found.reason, found.message


def test_an_app_that_answers_for_every_tool(app, url):
    assert ask(url) == ("True", Reason.TOOLS_VERIFIED, "the running app answers for 2 tools")
    assert app.asked == [("GET", "/readyz", TOKEN), ("POST", "/mcp", None)]


def test_an_app_that_is_not_public_is_asked_by_the_deep_probe_alone(app, url):
    assert ask(url, is_public=False)[0] == "True"
    assert app.asked == [("GET", "/readyz", TOKEN)]


def test_a_silent_component_is_named(app, url):
    silent = [{"component": "weather", "error": "it traps"}]
    app.ready = (503, {"status": "degraded", "components": 2, "silent": silent})
    status, reason, message = ask(url)
    assert (status, reason) == ("False", Reason.TOOLS_SILENT)
    assert "weather: it traps" in message


def test_an_app_that_is_not_ready_for_another_reason(app, url):
    app.ready = (503, {"status": "degraded", "error": "the catalog cannot be read"})
    status, reason, message = ask(url)
    assert (status, reason) == ("Unknown", Reason.NOT_VERIFIED)
    assert "the catalog cannot be read" in message


def test_a_tool_that_is_not_listed_is_named(app, url):
    app.listed = (200, {"result": {"tools": [{"name": EXPECTED[0]}]}})
    status, reason, message = ask(url)
    assert (status, reason) == ("False", Reason.TOOLS_SILENT)
    assert EXPECTED[1] in message


def test_all_pages_of_a_list_count(app, url):
    app.listed = (200, {"result": {"tools": [{"name": EXPECTED[0]}], "nextCursor": "1"}})
    app.pages = {"1": (200, {"result": {"tools": [{"name": EXPECTED[1]}]}})}
    assert ask(url)[0] == "True"


@pytest.mark.parametrize(
    "answer", [(500, {}), (200, b"<html>"), (200, {"error": {"code": -32600}}), (200, [])]
)
def test_nonsense_is_no_list(app, url, answer):
    app.listed = answer
    assert ask(url)[:2] == ("False", Reason.TOOLS_SILENT)


def test_an_app_that_cannot_be_reached(url):
    status, reason, message = ask("http://127.0.0.1:9")
    assert (status, reason) == ("Unknown", Reason.NOT_VERIFIED)
    assert "could not be asked" in message
