"""One grammar and one matcher for every list of hosts."""

import ipaddress

import pytest

from ftl_operator.hosts import HostError, HostPatterns, is_loopback, is_public, parse_authority, parse_url


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("https://Login.Acme.dev", "https://login.acme.dev/"),
        ("https://acme.dev:443/a?b=c", "https://acme.dev/a?b=c"),
        ("http://acme.dev:443/", "http://acme.dev:443/"),
        ("https://acme.dev.:8443/a", "https://acme.dev:8443/a"),
        ("https://acme.dev:/a", "https://acme.dev/a"),
        ("https://[0:0:0:0:0:0:0:1]:5000/v2/", "https://[::1]:5000/v2/"),
        ("https://xn--strae-oqa.test/", "https://xn--strae-oqa.test/"),
        ("http://key_cloak:8080/realms/x", "http://key_cloak:8080/realms/x"),
        ("https://acme.dev/a%2Fb?x=%40", "https://acme.dev/a%2Fb?x=%40"),
        ("https://acme.dev?x=1", "https://acme.dev/?x=1"),
    ],
)
def test_urls(text: str, parsed: str) -> None:
    assert str(parse_url(text)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "https://straße.test/",
        "https://user@acme.dev/",
        "https://acme.dev@evil.test/",
        "https://acme.dev\\@evil.test/",
        "https://acme.dev\t/",
        "https://acme%2edev/",
        "https://acme..dev/",
        "https://.acme.dev/",
        "https://acme.dev:99999/",
        "https://acme.dev:+443/",
        "https://acme.dev:٤٤٣/",
        "https://[::1%25lo]/",
        "https://[fe80::1%eth0]/",
        "https://[127.0.0.1]/",
        "https://::1/",
        "https://2130706433/",
        "https://127.1/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://-acme.dev/",
        "https:///path",
        "https:acme.dev",
        "//acme.dev/",
        "ftp://acme.dev/",
        "acme.dev",
        "https://acme.dev/a b",
        "https://acme.dev/#a",
        "https://acme.dev/\r\nX: y",
        "https://" + "a" * 300 + ".dev/",
        "https://acme.dev/" + "a" * 9000,
        "",
    ],
)
def test_what_is_no_url_that_one_may_follow(text: str) -> None:
    with pytest.raises(HostError):
        parse_url(text)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/x?a=b", "https://reg.dev:5000/v2/x?a=b"),
        ("y", "https://reg.dev:5000/v2/a/y"),
        ("https://cdn.dev/z#part", "https://cdn.dev/z"),
        ("//cdn.dev/z", "https://cdn.dev/z"),
    ],
)
def test_locations(location: str, target: str) -> None:
    assert str(parse_url("https://reg.dev:5000/v2/a/b").join(location)) == target


@pytest.mark.parametrize("location", ["https://[::1/", "javascript:1", "https://a@b/", "https://ü.dev/"])
def test_locations_that_lead_nowhere(location: str) -> None:
    with pytest.raises(HostError):
        parse_url("https://reg.dev/v2/").join(location)


@pytest.mark.parametrize(
    ("host", "patterns", "allowed"),
    [
        ("ghcr.io", ("*",), True),
        ("ghcr.io", ("ghcr.io",), True),
        ("ghcr.io", ("GHCR.io.",), True),
        ("ghcr.io", ("ghcr.io:443",), True),
        ("ghcr.io:8443", ("ghcr.io:443",), False),
        ("ghcr.io:8443", ("ghcr.io",), True),
        ("a.acme.dev", ("*.acme.dev",), True),
        ("a.b.acme.dev:5000", ("*.acme.dev",), True),
        ("a.acme.dev", ("*.acme.dev:5000",), False),
        ("acme.dev", ("*.acme.dev",), False),
        ("evilacme.dev", ("*.acme.dev",), False),
        ("ghcr.io.evil.dev", ("ghcr.io",), False),
        ("evil.test:443", ("*.acme.dev",), False),
        ("[::1]:5000", ("[0:0::1]",), True),
        ("[::1]:5000", ("[::1]:5001",), False),
        ("ghcr.io", (), False),
    ],
)
def test_patterns(host: str, patterns: tuple[str, ...], *, allowed: bool) -> None:
    authority = parse_authority(host)
    assert HostPatterns.parse(patterns).allow(authority.host, authority.port or 443) is allowed


def test_a_star_allows_a_host_and_does_not_name_it() -> None:
    patterns = HostPatterns.parse(("*", "*.acme.dev"))
    assert patterns.allow("evil.test", 443)
    assert not patterns.name("evil.test", 443)
    assert patterns.name("reg.acme.dev", 443)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*.",
        "**",
        "*acme.dev",
        "acme.*",
        "*:443",
        "reg*.acme.dev",
        "*.*.dev",
        "*.1.2.3.4",
        "*.[::1]",
        "https://ghcr.io",
        "ghcr.io/acme",
        "ghcr.io/acme/*",
        "straße.test",
        "user@ghcr.io",
        "ghcr.io:",
        "ghcr.io:x",
        "ghcr.io, quay.io",
    ],
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(HostError, match="is not a pattern of hosts"):
        HostPatterns.parse((pattern,))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("64:ff9b::5db8:d822", True),
        ("2002:5db8:d822::1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.20.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("fec0::1", False),
        ("2002:a00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
    ],
)
def test_public_addresses(address: str, *, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "app.localhost", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("localhost.evil.test", "128.0.0.1", "acme.dev")))
