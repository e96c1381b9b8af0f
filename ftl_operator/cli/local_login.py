"""The login of an app that `up` serves: its URL on this machine, and keys and a user to try it with."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.login import LOOPBACK, Login
from ftl_operator.api.names import LOGIN_JWKS_KEY, LOGIN_KEYS_KEY
from ftl_operator.cli import users
from ftl_operator.cli.environment import state_directory
from ftl_operator.cli.private_file import write_private
from ftl_operator.cli.workspace import AppFile
from ftl_operator.errors import SpecError
from ftl_operator.manifests.login_secret import LoginKey, jwks_text, keys_text, new_keys, read_keys

USER = "developer"
"""The user that is made if the app names no subject."""


class LocalLogin:
    """Prepares an app with a login for this machine; other apps stay as they are.

    What the file's Secrets lack is made: keys are kept for the next run, so that clients stay known; a user
    gets another password in each run.

    Args:
        file: The file with the FtlApp.
        url: The URL at which the app is served, without a slash at its end.
    """

    def __init__(self, file: str, url: str) -> None:
        self._file = file
        self._url = url
        self._line = ""
        self._upstream = ""
        self.made: Mapping[str, str] = {}
        """Name and password of the user that was made; empty if none was."""

    @property
    def words(self) -> list[str]:
        """What a person must know to sign in, as lines."""
        if self._upstream:
            return [
                f"People sign in at {self._upstream}; {self._url}/login/callback must be registered there."
            ]
        if not self.made:
            return []
        return [
            f"Sign in as {self.made['user']} with the password {self.made['password']}",
            "(for this run only: the file has no users; 'ftl-operator user add' adds one)",
        ]

    def prepare(self, app_file: AppFile) -> AppFile:
        """The file with the app's URL on this machine, and with the Secrets that it lacks.

        Raises:
            SpecError: Other machines would reach the login without encryption, or a line of its users cannot
                be read.
            OSError: The keys cannot be kept.
        """
        app = app_file.app
        auth = app.spec.auth
        if auth is None or auth.login is None:
            return app_file
        if urlsplit(self._url).hostname not in LOOPBACK:
            raise SpecError(
                "people would send their passwords without encryption: an app with a login is served at a "
                "loopback address only; leave --address out",
                field="spec.auth.login",
            )
        login = auth.login.model_copy(update={"url": self._url})
        self._upstream = login.upstream.issuer if login.upstream is not None else ""
        objects = dict(app_file.objects)
        place = ("Secret", login.secret_of(app.metadata.name))
        if place not in objects:
            keys = self._kept_keys(app)
            objects[place] = {LOGIN_KEYS_KEY: keys_text(keys), LOGIN_JWKS_KEY: jwks_text(keys)}
        self._add_user(login, auth.allowed_subjects, objects)
        spec = app.spec.model_copy(update={"auth": auth.model_copy(update={"login": login})})
        return replace(app_file, app=app.model_copy(update={"spec": spec}), objects=objects)

    def _add_user(
        self, login: Login, subjects: tuple[str, ...], objects: dict[tuple[str, str], Mapping[str, str]]
    ) -> None:
        if login.users is None:
            self.made = {}
            return
        reference = login.users.secret_ref
        place = ("Secret", reference.name)
        given = objects.get(place, {}).get(reference.key, "")
        if given.strip():
            self.made = {}
            _check_users(given)
            return
        if not self._line:
            name = next((subject for subject in subjects if users.is_name(subject)), USER)
            password = users.new_password()
            self._line = str(users.user_line(name, password))
            self.made = {"user": name, "password": password}
        objects[place] = {**objects.get(place, {}), reference.key: self._line}

    def _kept_keys(self, app: FtlApp) -> tuple[LoginKey, ...]:
        own = f"{app.metadata.namespace}\0{app.metadata.name}\0{Path(self._file).resolve()}"
        folder = state_directory() / "login"
        path = folder / f"{hashlib.sha256(own.encode()).hexdigest()[:16]}.json"
        try:
            return read_keys(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, SpecError):
            keys = new_keys()
        folder.mkdir(parents=True, exist_ok=True)
        write_private(path, keys_text(keys).encode())
        return keys


def _check_users(text: str) -> None:
    """Refuse lines that the login takes for nobody; in a cluster only its log would say so."""
    try:
        list(users.read_lines(text))
    except SpecError as error:
        error.field = "spec.auth.login.users.secretRef"
        raise
