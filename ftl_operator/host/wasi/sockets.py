"""What this host does not have, sockets and databases other than SQLite: each opens with a clear error."""

from collections.abc import Callable
from typing import Any

from ftl_operator.host.engine.interface import Err, Interface, Resource
from ftl_operator.host.guest import GuestInstance


class Network(Resource):
    """wasi:sockets/network.network: a handle that opens nothing."""

    wit = "network"


@Interface("wasi:sockets/instance-network").function("instance-network")
def _instance_network(_guest: GuestInstance) -> Network:
    return Network()


def _refuse(what: str, error: Any) -> Callable[..., None]:
    def refuse(guest: GuestInstance, *_arguments: Any) -> None:
        guest.component.log(guest.component.id, f"asked for {what}, which this host does not give")
        raise Err(error)

    return refuse


for _interface, _function, _what in (
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket", "a TCP socket"),
    ("wasi:sockets/udp-create-socket", "create-udp-socket", "a UDP socket"),
    ("wasi:sockets/ip-name-lookup", "resolve-addresses", "a name's addresses"),
):
    Interface(_interface).function(_function)(_refuse(_what, "access-denied"))

_TEXT = "the embedded host has no "
for _interface, _function, _what, _case in (
    ("fermyon:spin/redis", "[static]connection.open", "Redis", "other"),
    ("fermyon:spin/mqtt", "[static]connection.open", "MQTT", "other"),
    ("fermyon:spin/postgres", "[static]connection.open", "PostgreSQL", "connection-failed"),
    ("fermyon:spin/mysql", "[static]connection.open", "MySQL", "connection-failed"),
    ("spin:postgres/postgres", "[static]connection.open", "PostgreSQL", "connection-failed"),
    ("fermyon:spin/llm", "infer", "language model", "runtime-error"),
    ("fermyon:spin/llm", "generate-embeddings", "language model", "runtime-error"),
):
    Interface(_interface).function(_function)(_refuse(_what, (_case, _TEXT + _what)))
