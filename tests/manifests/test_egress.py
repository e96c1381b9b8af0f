import pytest

from ftl_operator.manifests.egress import EVERY_PORT, Target, parse_outbound, parse_url, targets_of


def named(host, *ports):
    return Target(host, ports, is_address=False)


def address(host, *ports):
    return Target(host, ports, is_address=True)


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("https://api.acme.dev", named("api.acme.dev", 443, 443)),
        ("http://API.acme.dev", named("api.acme.dev", 80, 80)),
        ("https://api.acme.dev:8443", named("api.acme.dev", 8443, 8443)),
        ("http://api.acme.dev:8000..8010", named("api.acme.dev", 8000, 8010)),
        ("https://*.acme.dev", named("*.acme.dev", 443, 443)),
        ("*://*:*", named("*", *EVERY_PORT)),
        ("redis://10.1.2.3", address("10.1.2.3/32", 6379, 6379)),
        ("postgres://10.1.0.0/16:5433", address("10.1.0.0/16", 5433, 5433)),
        ("https://[2001:db8::1]:8443", address("2001:db8::1/128", 8443, 8443)),
        ("https://2001:db8::/32", address("2001:db8::/32", 443, 443)),
        ("tcp://broker.acme.dev", named("broker.acme.dev", *EVERY_PORT)),
        ("http://self", None),
        ("http://weather.spin.internal", None),
        ("http://*.spin.internal", None),
    ],
)
def test_outbound_hosts(pattern, target):
    assert parse_outbound(pattern) == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://login.acme.dev/keys", named("login.acme.dev", 443, 443)),
        ("http://127.0.0.1:9000/keys", address("127.0.0.1/32", 9000, 9000)),
        ("rediss://:secret@cache.svc/0", named("cache.svc", 6379, 6379)),
        ("custom://host", named("host", *EVERY_PORT)),
        ("not a url", None),
        ("http://host:port/", None),
    ],
)
def test_urls(url, target):
    assert parse_url(url) == target


def test_targets_are_distinct_and_sorted():
    found = targets_of(["https://b.dev", "https://a.dev", "https://b.dev:443"], ["https://a.dev/keys"])
    assert found == [named("a.dev", 443, 443), named("b.dev", 443, 443)]
