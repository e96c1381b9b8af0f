"""Adds the Secret of a login to a manifest, and rotates the keys of one."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.names import LOGIN_JWKS_KEY, LOGIN_KEYS_KEY
from ftl_operator.cli.key_file import Form, KeyFile, Place, appended, find_text, read_key_file
from ftl_operator.cli.yaml_documents import read_documents
from ftl_operator.errors import Reason, SpecError
from ftl_operator.manifests.login_secret import (
    LoginKey,
    jwks_text,
    keys_text,
    login_secret,
    read_keys,
    rotated,
)
from ftl_operator.yaml_writer import write_yaml

MAX_BYTES = 4 << 20
LINE_WIDTH = 110


def add(path: Path, name: str, namespace: str, keys: Sequence[LoginKey]) -> None:
    """Add the Secret of a login to a manifest; a missing file is made. Only its owner may read it afterwards.

    Raises:
        SpecError: The file has a Secret of that name, or is no manifest.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError(f"{path} must be a manifest, whose name ends in .yaml")
    found = read_key_file(path, Place((), LOGIN_KEYS_KEY, name))
    if found.form is not Form.MISSING:
        raise SpecError(
            f"{path} has a Secret {name!r} already; rotate its keys with --rotate", reason=Reason.CONFLICT
        )
    text = appended(found.content, write_yaml([login_secret(namespace, name, keys)], LINE_WIDTH))
    KeyFile(path, text, text, 0, len(text), Form.LINES).write(text, private=True)


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
OWN_KEYS = (LOGIN_KEYS_KEY, LOGIN_JWKS_KEY)


def rotate(path: Path, name: str) -> None:
    """Rotate the keys of the Secret of a login in a manifest. Everything else in it stays.

    Raises:
        SpecError: The file has no such Secret, or the keys are not those of a login.
    """
    if not path.exists():
        raise SpecError(f"{path} does not exist", reason=Reason.SOURCE_NOT_FOUND)
    found = read_key_file(path, Place((), LOGIN_KEYS_KEY, name))
    keys = rotated(read_keys(found.text))
    half = found.replaced(f"{keys_text(keys)}\n")
    public = find_text(path, half, Place((), LOGIN_JWKS_KEY, name))
    public.write(f"{jwks_text(keys)}\n", private=True)


def rotated_manifest(text: str, name: str) -> dict[str, Any]:
    """Rotate the keys of a Secret that `kubectl get` prints. Everything else that people give it stays.

    So does its version, by which the API server refuses the result if somebody else has changed the Secret
    meanwhile.

    Raises:
        SpecError: The text has no such Secret, or the keys are not those of a login.
    """
    if len(text) > MAX_BYTES:
        raise SpecError("standard input is too long for a Secret", reason=Reason.TOO_LARGE)
    for document in read_documents(text.encode(), "standard input"):
        metadata = document.get("metadata") or {}
        if document.get("kind") == kinds.SECRET.kind and metadata.get("name") == name:
            keys = rotated(read_keys(_value(document, LOGIN_KEYS_KEY)))
            made = login_secret(str(metadata.get("namespace") or ""), name, keys)
            owners = metadata.get("ownerReferences")
            if owners:
                # The operator made it, and the cluster deletes it together with the app.
                made["metadata"]["ownerReferences"] = owners
            annotations = dict(metadata.get("annotations") or {})
            # It would hold the old private keys.
            annotations.pop(LAST_APPLIED, None)
            kept = {key: metadata[key] for key in ("labels", "resourceVersion") if metadata.get(key)}
            made["metadata"] |= kept | ({"annotations": annotations} if annotations else {})
            others = {k: v for k, v in (document.get("data") or {}).items() if k not in OWN_KEYS}
            return made | ({"data": others} if others else {})
    raise SpecError(f"standard input has no Secret {name!r}", reason=Reason.SOURCE_NOT_FOUND)


def _value(document: dict[str, Any], key: str) -> str:
    plain = (document.get("stringData") or {}).get(key)
    if plain is not None:
        return str(plain)
    try:
        return base64.b64decode(str((document.get("data") or {})[key]), validate=True).decode()
    except (LookupError, binascii.Error, UnicodeDecodeError):
        raise SpecError(f"the Secret has no key {key!r}", reason=Reason.SOURCE_NOT_FOUND) from None
