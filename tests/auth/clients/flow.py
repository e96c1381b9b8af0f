"""What a person does in a browser, and a store in memory: shared by the clients of both Python SDKs."""

import html.parser
import http.cookiejar
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

REDIRECT_URL = "http://127.0.0.1:1/callback"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class _Forms(html.parser.HTMLParser):
    """The first form of a page: where it goes, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._is_first = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._is_first = self.action is None
            self.action = self.action or given["action"]
        elif self._is_first and "name" in given:
            self.fields.setdefault(given["name"], given.get("value", ""))


def _answer(page: str, user: Mapping[str, str]) -> tuple[str, bytes]:
    """What a person sends from a page with a form: name and password, or the first button."""
    form = _Forms()
    form.feed(page)
    if form.action is None:
        raise RuntimeError(f"the login ends with {page}")
    filled = {name: user.get(name, value) for name, value in form.fields.items()}
    return form.action, urllib.parse.urlencode(filled).encode()


def follow_to_code(start: str, redirect_url: str = REDIRECT_URL) -> dict[str, str]:
    """Follow the authorization page to the end; the parameters of the redirect to the client.

    `LOGIN_USER` has the user's name and password as JSON, for pages that ask.
    """
    # Like browsers, which take this machine's http for a secure context.
    policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https"))
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(policy))
    opener = urllib.request.build_opener(_NoRedirect, jar, urllib.request.ProxyHandler({}))
    user = json.loads(os.environ.get("LOGIN_USER", "{}"))
    url, body = start, None
    for _ in range(10):
        try:
            with opener.open(urllib.request.Request(url, body), timeout=30) as response:
                headers, page = response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            headers, page = error.headers, error.read().decode()
        location, body = headers["Location"], None
        if location is None:
            action, body = _answer(page, user)
            url = urllib.parse.urljoin(url, action)
            continue
        url = urllib.parse.urljoin(url, location)
        if url.startswith(redirect_url):
            return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    raise RuntimeError("the login goes in circles")


class MemoryStorage:
    """Tokens and the client's registration."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None
        self.registrations = 0

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client: Any) -> None:
        if self.client is None or self.client.client_id != client.client_id:
            self.registrations += 1
        self.client = client


class Person:
    """Logs in when the SDK asks for it, and remembers which scopes were asked for."""

    def __init__(self) -> None:
        self.authorizations: list[str | None] = []
        self.parameters: dict[str, str] = {}

    async def redirect(self, url: str) -> None:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        self.authorizations.append(query.get("scope"))
        self.parameters = follow_to_code(url)
