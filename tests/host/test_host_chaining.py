"""Requests between components of one application, and to the application itself."""

import time

from conftest import Start

from ftl_operator.host import Code, Limits

BACK = "http://back.spin.internal"


def test_a_granted_component_answers(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}})
    assert app.get(f"/fetch?{BACK}/hello") == (200, b"hello")
    _, body = app.get(f"/fetch?{BACK}/request", "POST", b"data")
    assert body.startswith(b'Method::Post Some("/request") Some(Scheme::Http) Some("back.spin.internal")\n')
    assert b"x-from: guest\n" in body
    assert b"spin-client-addr: 0.0.0.0:0\n" in body
    assert b"\nhost:" not in body


def test_bodies_pass_in_both_directions(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}})
    data = bytes(range(256)) * 8000
    assert app.get(f"/fetch?{BACK}/echo", "POST", data) == (200, data)
    small = data[:100_000]
    assert app.get(f"/fetch?{BACK}/pipe", "POST", small) == (200, small)
    assert app.get(f"/fetch?{BACK}/flood/8") == (200, b"x" * (8 << 20))


def test_only_what_is_granted(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}, "other": {}})
    assert app.get("/fetch?http://other.spin.internal/hello") == (500, b"ErrorCode::HttpRequestDenied")
    assert app.get("/fetch?https://back.spin.internal/hello") == (500, b"ErrorCode::HttpRequestDenied")
    assert app.get("/fetch?http://back.spin.internal:8080/hello") == (500, b"ErrorCode::HttpRequestDenied")
    assert app.get("/fetch?/hello") == (500, b"ErrorCode::HttpRequestDenied")
    assert "denied a request to http://other.spin.internal" in app.text


def test_no_wildcard_means_another_component(start: Start) -> None:
    for rule in ("http://*.spin.internal", "*://*:*", "http://*", "http://*.internal"):
        app = start({"front": {"allowed_outbound_hosts": [rule]}, "back": {}})
        assert app.get(f"/fetch?{BACK}/hello") == (500, b"ErrorCode::HttpRequestDenied"), rule


def test_an_unknown_component_is_told(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": ["http://missing.spin.internal"]}})
    assert app.get("/fetch?http://missing.spin.internal/") == (500, b"ErrorCode::DestinationNotFound")
    assert "'missing', which is not a component of this application" in app.text


def test_several_components_work_at_the_same_time(start: Start) -> None:
    names = ["http://back.spin.internal", "http://other.spin.internal"]
    app = start({"front": {"allowed_outbound_hosts": names}, "back": {}, "other": {}})
    app.get(f"/fetch?{BACK}/hello")
    app.get("/fetch?http://other.spin.internal/hello")
    urls = [f"http://{name}.spin.internal/sleep/400" for name in ("back", "other", "back", "other")]
    before = time.monotonic()
    assert app.get(f"/many?{','.join(urls)}") == (200, b"slept\n" * 4)
    assert time.monotonic() - before < 1.5


def test_a_component_that_fails_gives_its_caller_a_500(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}})
    assert app.get(f"/fetch?{BACK}/trap") == (500, b"")
    assert "[back] component 'back' trapped" in app.text
    assert (
        b"internal-error" in app.get(f"/fetch?{BACK}/late-trap")[1].lower()
        or b"HttpProtocolError" in app.get(f"/fetch?{BACK}/late-trap")[1]
    )


def test_the_time_of_a_request_holds_for_all_it_calls(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}}, limits=Limits(time=1))
    app.app.prepare()
    before = time.monotonic()
    assert app.get(f"/fetch?{BACK}/loop")[0] == 500
    assert time.monotonic() - before < 4


def test_requests_to_the_application_itself(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": ["http://self"]}})
    assert app.get("/fetch?/hello") == (200, b"hello")
    assert app.get("/fetch?http://self.alt/hello") == (200, b"hello")


def test_instructions_of_all_components_are_listed(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": [BACK]}, "back": {}}, code=Code.METERED)
    response = app.open(f"/fetch?{BACK}/hello")
    assert response.read() == b"hello"
    assert len(response.fuel) == 2
