"""The embedded host's server sends each answer of the gateway in one write."""

import http.client
import json
import socket

import pytest

from ftl_operator.host import Server

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}


def test_every_answer_leaves_in_one_write(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    def send(sock: socket.socket, data: bytes) -> None:
        writes.append(bytes(data))
        sock.sendall(data)

    monkeypatch.setattr("ftl_operator.host.http.server.send", send)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    for method, path, message in (
        ("POST", "/mcp", LIST),
        ("POST", "/mcp", PING),
        ("POST", "/mcp", {"jsonrpc": "2.0", "id": 3, "method": "nothing"}),
        ("POST", "/elsewhere", PING),
        ("GET", "/healthz", None),
    ):
        writes.clear()
        connection.request(method, path, message and json.dumps(message), headers)
        answer = connection.getresponse()
        answer.read()
        assert len(writes) == 1, (path, message, answer.status)
    connection.close()
