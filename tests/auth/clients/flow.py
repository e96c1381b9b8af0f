"""What a person does in a browser, and a store in memory: shared by the clients of both Python SDKs."""

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

REDIRECT_URL = "http://127.0.0.1:1/callback"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def follow_to_code(start: str) -> dict[str, str]:
    """Follow the authorization page to the end; the parameters of the redirect to the client."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    opener = urllib.request.build_opener(_NoRedirect, jar, urllib.request.ProxyHandler({}))
    url = start
    for _ in range(10):
        try:
            with opener.open(url, timeout=10) as response:
                headers = response.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        location = headers["Location"]
        if location is None:
            raise RuntimeError(f"the login ends at {url}")
        url = urllib.parse.urljoin(url, location)
        if url.startswith(REDIRECT_URL):
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
