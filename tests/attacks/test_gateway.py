"""M6: the cost of a caller without a token."""

from typing import Any

import pytest

from bench.charges import recorded
from ftl_operator.host import Request
from tests.attacks.table import Attack, check_refused, check_twin
from tests.field_cases.test_gateway import gateway

PRIVATE = {
    "access": "private",
    "issuer": "https://issuer.example",
    "audiences": ["https://tools.example/mcp"],
    "jwksUri": "https://issuer.example/keys",
    "algorithms": ["RS256"],
    "allowedSubjects": ["ann"],
}
CONFIG = {"name": "demo", "version": "1", "app": "sha256:0"}
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


Exchange = tuple[dict[str, Any] | None, Request]
"""The app's rules, None for a public one, and a request to it."""


def bytes_read(exchange: Exchange) -> tuple[int, int]:
    """Send a request to a gateway; the status, and how many bytes crossed into the component."""
    auth, request = exchange
    with recorded("gateway") as calls:
        app = gateway({**CONFIG, "auth": auth})
    status = app.handle(request).status
    app.close()
    return status, calls.bytes


def post(size: int, *headers: tuple[str, bytes]) -> Request:
    """A POST with a body of so many bytes, which is a message."""
    body = PING + b" " * (size - len(PING))
    return Request("POST", "/mcp", (*headers, ("content-type", b"application/json")), body)


def costs_little(answer: tuple[int, int]) -> bool:
    """Whether the answer is a refusal and the body stayed outside."""
    status, carried = answer
    return status in (401, 403, 413) and carried < 20_000


def is_read(answer: tuple[int, int]) -> bool:
    """Whether the message was answered, and all of it read for that."""
    status, carried = answer
    return status == 200 and carried >= 16 * MIB


MIB = 1 << 20
LONG = post(16 * MIB)
ROWS = [
    Attack(f"M6 {name}", bytes_read, attack, costs_little, (None, LONG), is_read)
    for name, attack in [
        ("16 MB without a token", (PRIVATE, LONG)),
        ("16 MB with a token that is none", (PRIVATE, post(16 * MIB, ("authorization", b"Bearer x.y.z")))),
        ("16 MB with a password", (PRIVATE, post(16 * MIB, ("authorization", b"Basic eDp5")))),
        ("16 MB from a foreign page", (None, post(16 * MIB, ("origin", b"https://evil.example")))),
        ("16 MB and one byte", (None, post(16 * MIB, ("content-length", b"16777217")))),
        ("a length that no number holds", (None, post(16 * MIB, ("content-length", b"9" * 30)))),
    ]
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
