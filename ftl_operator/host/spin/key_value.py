"""Spin's variables and key-value stores, in their own interfaces and in wasi:config and wasi:keyvalue."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ftl_operator.host.engine.interface import Err, Interface, Resource
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.spin.store import Store, StoreError
from ftl_operator.host.spin.variables import VariableError

Error = tuple[str, Any]


class StoreHandle(Resource):
    """fermyon:spin/key-value.store."""

    wit = "store"

    def __init__(self, store: Store) -> None:
        self.store = store


class Bucket(Resource):
    """wasi:keyvalue/store.bucket."""

    wit = "bucket"

    def __init__(self, store: Store) -> None:
        self.store = store


class Cas(Resource):
    """wasi:keyvalue/atomics.cas: a key with the value it had when it was read."""

    wit = "cas"

    def __init__(self, store: Store, key: str) -> None:
        self.store = store
        self.key = key
        self.seen = store.get(key)


_variables = Interface("fermyon:spin/variables")
_key_value = Interface("fermyon:spin/key-value")
_config = Interface("wasi:config/store")
_bucket = Interface("wasi:keyvalue/store")
_batch = Interface("wasi:keyvalue/batch")
_atomics = Interface("wasi:keyvalue/atomics")


@_variables.function("get")
def _get_variable(guest: GuestInstance, name: str) -> str:
    try:
        return guest.component.variables.get(name)
    except VariableError as error:
        raise Err((error.case, str(error))) from None


@_config.function("get")
def _config_get(guest: GuestInstance, name: str) -> str | None:
    try:
        return guest.component.variables.get(name)
    except VariableError as error:
        if error.case in ("undefined", "invalid-name"):
            return None
        raise Err(("upstream", str(error))) from None


@_config.function("get-all")
def _config_get_all(guest: GuestInstance) -> list[tuple[str, str]]:
    try:
        return guest.component.variables.all()
    except VariableError as error:
        raise Err(("upstream", str(error))) from None


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Convert a StoreError to the case `other` of both interfaces."""
    try:
        yield
    except StoreError as error:
        raise Err(("other", str(error))) from None


def _open(guest: GuestInstance, label: str) -> Store:
    if label not in guest.component.stores:
        # Spin also has no-such-store, for a label without a backend; here every granted label has one.
        raise Err(("access-denied", None))
    return guest.component.stores[label]


@_key_value.function("[static]store.open")
def _open_store(guest: GuestInstance, label: str) -> StoreHandle:
    return StoreHandle(_open(guest, label))


@_bucket.function("open")
def _open_bucket(guest: GuestInstance, label: str) -> Bucket:
    return Bucket(_open(guest, label))


@_key_value.function("[method]store.get")
@_bucket.function("[method]bucket.get")
def _get(_guest: GuestInstance, handle: StoreHandle | Bucket, key: str) -> bytes | None:
    return handle.store.get(key)


@_key_value.function("[method]store.set")
@_bucket.function("[method]bucket.set")
def _set(_guest: GuestInstance, handle: StoreHandle | Bucket, key: str, value: bytes) -> None:
    with _store_errors():
        handle.store.set([(key, value)])


@_key_value.function("[method]store.delete")
@_bucket.function("[method]bucket.delete")
def _delete(_guest: GuestInstance, handle: StoreHandle | Bucket, key: str) -> None:
    handle.store.delete([key])


@_key_value.function("[method]store.exists")
@_bucket.function("[method]bucket.exists")
def _exists(_guest: GuestInstance, handle: StoreHandle | Bucket, key: str) -> bool:
    return handle.store.get(key) is not None


@_key_value.function("[method]store.get-keys")
def _get_keys(_guest: GuestInstance, handle: StoreHandle) -> list[str]:
    return handle.store.keys()


@_bucket.function("[method]bucket.list-keys")
def _list_keys(_guest: GuestInstance, handle: Bucket, cursor: str | None) -> dict[str, Any]:
    if cursor:
        raise Err(("other", "this host lists all keys at once and takes no cursor"))
    return {"keys": handle.store.keys(), "cursor": None}


@_batch.function("get-many")
def _get_many(_guest: GuestInstance, bucket: Bucket, keys: list[str]) -> list[tuple[str, bytes | None]]:
    return [(key, bucket.store.get(key)) for key in keys]


@_batch.function("set-many")
def _set_many(_guest: GuestInstance, bucket: Bucket, pairs: list[tuple[str, bytes]]) -> None:
    with _store_errors():
        bucket.store.set(pairs)


@_batch.function("delete-many")
def _delete_many(_guest: GuestInstance, bucket: Bucket, keys: list[str]) -> None:
    bucket.store.delete(keys)


@_atomics.function("increment")
def _increment(_guest: GuestInstance, bucket: Bucket, key: str, delta: int) -> int:
    try:
        with _store_errors():
            return bucket.store.increment(key, delta)
    except ValueError as error:
        raise Err(("other", str(error))) from None


@_atomics.function("[static]cas.new")
def _cas_new(_guest: GuestInstance, bucket: Bucket, key: str) -> Cas:
    return Cas(bucket.store, key)


@_atomics.function("[method]cas.current")
def _cas_current(_guest: GuestInstance, cas: Cas) -> bytes | None:
    return cas.seen


@_atomics.function("swap")
def _swap(_guest: GuestInstance, cas: Cas, value: bytes) -> None:
    with _store_errors():
        swapped = cas.store.swap(cas.key, cas.seen, value)
    if not swapped:
        raise Err(("cas-failed", Cas(cas.store, cas.key)))
