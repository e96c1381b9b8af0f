"""Services as kube-proxy makes them: each ClusterIP listens and spreads connections over ready endpoints.

And the cluster's DNS for them, because a program in a pod asks for `NAME.NAMESPACE.svc`.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading

from e2e.cluster.api import Api, Informer, Object
from e2e.node.settings import NodeSettings

Address = tuple[str, int]


class Services:
    """Listens on every Service's ClusterIP. A connection goes to one ready endpoint, once."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._servers: dict[Address, asyncio.Server] = {}
        self._backends: dict[Address, list[Address]] = {}
        self._dirty = asyncio.Event()

    def start(self, *, forward: bool = True) -> None:
        """Serve names and, unless a real kube-proxy does, the Services themselves."""
        threading.Thread(target=self._loop.run_forever, name="services", daemon=True).start()
        api = Api(self._settings.proxy)
        self._services = Informer(api, "/api/v1/services", self._changed)
        self._slices = Informer(api, "/apis/discovery.k8s.io/v1/endpointslices", self._changed)
        asyncio.run_coroutine_threadsafe(self._serve_dns(), self._loop).result()
        if forward:
            asyncio.run_coroutine_threadsafe(self._follow(), self._loop)

    def _changed(self, _key: tuple[str, str], _obj: Object | None) -> None:
        self._loop.call_soon_threadsafe(self._dirty.set)

    async def _follow(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._backends = self._table()
            for address in set(self._servers) - set(self._backends):
                self._servers.pop(address).close()
            for address in set(self._backends) - set(self._servers):
                try:
                    self._servers[address] = await asyncio.start_server(
                        self._handler(address), *address, limit=1 << 18, backlog=512
                    )
                except OSError as error:
                    print(f"service {address}: {error}", flush=True)

    def _table(self) -> dict[Address, list[Address]]:
        slices: dict[tuple[str, str], list[Object]] = {}
        for (namespace, _), item in list(self._slices.items.items()):
            service = item["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
            slices.setdefault((namespace, service), []).append(item)
        table: dict[Address, list[Address]] = {}
        for key, service in list(self._services.items.items()):
            spec = service["spec"]
            address = spec.get("clusterIP", "None")
            if address in ("None", "") or key == ("default", "kubernetes"):
                continue
            for port in spec.get("ports", []):
                # Without endpoints nothing listens, and a connection is refused as kube-proxy's REJECT does.
                if endpoints := _endpoints(slices.get(key, []), port.get("name", "")):
                    table[address, port["port"]] = endpoints
        return table

    def _handler(self, address: Address):
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            backends = self._backends.get(address, [])
            try:
                if not backends:
                    raise ConnectionRefusedError
                target_reader, target = await asyncio.open_connection(*random.choice(backends))
            except OSError:
                _reset(writer)
                return
            await asyncio.gather(_copy(reader, target), _copy(target_reader, writer))

        return handle

    async def _serve_dns(self) -> None:
        await self._loop.create_datagram_endpoint(
            lambda: _Dns(self._resolve), local_addr=(self._settings.dns, 53)
        )

    def _resolve(self, name: str) -> str | None:
        parts = name.rstrip(".").lower().removesuffix(".cluster.local").split(".")
        if len(parts) != 3 or parts[2] != "svc":
            return None
        service = self._services.items.get((parts[1], parts[0]))
        if service and service["spec"].get("type") == "ExternalName":
            # A server of names would give the other name; a resolver asks for that one's address then.
            return self._resolve(service["spec"]["externalName"])
        return service["spec"].get("clusterIP") if service else None


def _endpoints(slices: list[Object], port_name: str) -> list[Address]:
    """The ready endpoints; if there are none, those that end but still serve, as kube-proxy does."""
    ready, terminating = [], []
    for item in slices:
        for port in item.get("ports") or []:
            if (port.get("name") or "") != port_name:
                continue
            for endpoint in item.get("endpoints") or []:
                conditions = endpoint.get("conditions", {})
                target = (endpoint["addresses"][0], port["port"])
                if conditions.get("ready", True):
                    ready.append(target)
                elif conditions.get("serving") and conditions.get("terminating"):
                    terminating.append(target)
    return ready or terminating


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection in the way its endpoint ended."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    except OSError:
        writer.transport.abort()
    finally:
        # The other direction may still carry data, so only this one's end is told.
        if reader.at_eof() and writer.transport.is_closing():
            writer.close()


class _Dns(asyncio.DatagramProtocol):
    """Answers A queries for Services (RFC 1035); every other name does not exist here."""

    def __init__(self, resolve) -> None:
        self._resolve = resolve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            name, end = _question(data)
        except (IndexError, UnicodeDecodeError):
            return
        address = self._resolve(name)
        kind = int.from_bytes(data[end : end + 2], "big")
        answers = b""
        if address and kind == 1:
            # A pointer to the question's name, type A, class IN, 5 seconds, 4 bytes.
            answers = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04" + socket.inet_aton(address)
        flags = 0x8580 if address else 0x8583
        header = data[:2] + struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0)
        self._transport.sendto(header + data[12 : end + 4] + answers, addr)  # type: ignore[attr-defined]


def _question(data: bytes) -> tuple[str, int]:
    """The name of the first question and the offset behind it."""
    labels, at = [], 12
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    return ".".join(labels), at + 1
