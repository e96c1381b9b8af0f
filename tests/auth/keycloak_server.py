"""A real Keycloak with the realm of `keycloak/realm.json`, for the length of a test module."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builds import built
from tests.auth.serving import HERE, START_SECONDS, free_port

REALM = HERE / "keycloak" / "realm.json"
DOCUMENTED_AUDIENCE = "https://tools.acme.dev/mcp"
"""The audience in the realm file: the URL of an app that clients here could not reach."""
AUDIENCE = "apps-of-these-tests"
"""The audience that the realm's tokens have instead."""
ALICE = "7f1c1c9e-4b1d-4f35-9f0e-5a8a2f0c0001"
"""The subject of the realm's user who is a member of the organization `acme`; bob is none."""
PASSWORD = "correct horse"
_ADMIN = {"username": "admin", "password": "a password for this run only"}
_SHARED = ("conf", "lib", "providers", "themes", "version.txt")


@dataclass(frozen=True)
class Keycloak:
    """A running Keycloak.

    Args:
        url: Its URL.
    """

    url: str

    @property
    def issuer(self) -> str:
        """The realm's issuer."""
        return f"{self.url}/realms/acme"

    def add_signing_key(self) -> None:
        """Give the realm a new key, which signs from now on; the old one still verifies."""
        provider = {
            "name": "rotated",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["200"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]},
        }
        self._admin("POST", "/components", provider)

    def key_ids(self) -> set[str]:
        """The ids of the keys that are published."""
        with urllib.request.urlopen(f"{self.issuer}/protocol/openid-connect/certs", timeout=30) as answer:
            return {key["kid"] for key in json.load(answer)["keys"]}

    def add_client(self, client: Mapping[str, Any]) -> None:
        """Register a client as an administrator does."""
        self._admin("POST", "/clients", client)

    def _admin(self, method: str, path: str, body: object) -> None:
        form = {"grant_type": "password", "client_id": "admin-cli", **_ADMIN}
        token_url = f"{self.url}/realms/master/protocol/openid-connect/token"
        with urllib.request.urlopen(token_url, urllib.parse.urlencode(form).encode(), timeout=60) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(
            f"{self.url}/admin/realms/acme{path}",
            json.dumps(body).encode(),
            {"authorization": f"Bearer {token}", "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60):
            pass


@contextmanager
def keycloak(folder: Path) -> Iterator[Keycloak]:
    """Run Keycloak until the body ends; `folder` is an empty one for what it writes."""
    home, distribution = folder / "keycloak", built("keycloak") / "home"
    (home / "bin").mkdir(parents=True)
    (home / "data" / "import").mkdir(parents=True)
    # The script finds the rest beside itself; everything but the data is shared between runs.
    (home / "bin" / "kc.sh").write_bytes((distribution / "bin" / "kc.sh").read_bytes())
    for name in _SHARED:
        (home / name).symlink_to(distribution / name)
    realm = REALM.read_text(encoding="utf-8").replace(DOCUMENTED_AUDIENCE, AUDIENCE)
    (home / "data" / "import" / "acme-realm.json").write_text(realm, encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["bash", str(home / "bin" / "kc.sh"), "start", "--optimized", "--import-realm"]
    command += ["--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}", f"--hostname={url}"]
    environment = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN["username"],
        "KC_BOOTSTRAP_ADMIN_PASSWORD": _ADMIN["password"],
        "JAVA_OPTS_APPEND": "-Xmx512m",
    }
    log = folder / "keycloak.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
        try:
            server = Keycloak(url)
            _wait(child, server, log)
            yield server
        finally:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _wait(child: subprocess.Popen[bytes], server: Keycloak, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            server.key_ids()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
        else:
            return
    text = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise AssertionError(f"Keycloak did not start: {text}")
