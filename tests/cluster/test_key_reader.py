"""What the auth stage reads of ConfigMaps and Secrets in a cluster."""

import base64
from typing import Any

import pytest

from ftl_operator.__main__ import key_reader
from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.errors import ClusterError, Reason
from tests.support.specs import ftlapp

TEXTS = {"jwks": "{}", "broken": "%%", "bytes": base64.b64encode(b"\xff").decode()}


class Cluster:
    def get(self, api: kinds.Api, namespace: str, name: str) -> dict[str, Any] | None:
        assert namespace == "agents"
        if name != "there":
            return None
        if api == kinds.CONFIG_MAP:
            return {"data": {"jwks": "{}"}}
        return {"data": {**TEXTS, "jwks": base64.b64encode(b"{}").decode()}}


@pytest.mark.parametrize("api", [kinds.CONFIG_MAP, kinds.SECRET])
def test_a_text_is_read_as_it_was_written(api: kinds.Api) -> None:
    read = key_reader(Cluster(), FtlApp.parse(ftlapp()), api)  # type: ignore[arg-type]
    assert read("there", "jwks") == "{}"
    for name, key in (("there", "other"), ("gone", "jwks")):
        with pytest.raises(ClusterError) as caught:
            read(name, key)
        assert caught.value.reason is Reason.SOURCE_NOT_FOUND
        assert f"no {api.kind} {name!r} with the key {key!r}" in caught.value.message


@pytest.mark.parametrize("key", ["broken", "bytes"])
def test_what_is_no_text_is_nothing(key: str) -> None:
    read = key_reader(Cluster(), FtlApp.parse(ftlapp()), kinds.SECRET)  # type: ignore[arg-type]
    assert read("there", key) == ""
