"""Addresses of pods and Services: a private range of this machine, chosen at random per cluster.

The API server refuses loopback addresses for endpoints, so they are real addresses, made local by one route
of type `local` on the loopback device. That, and binding port 80, needs root or a user namespace.
"""

import contextlib
import ipaddress
import random
import subprocess
from dataclasses import dataclass

from e2e.support.process import HarnessError


@dataclass(frozen=True, slots=True)
class Network:
    """Ranges of one cluster: pods in the lower half, Services in the upper half of a /16.

    The API server and the registry listen at `address`.
    """

    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network
    address: str = "127.0.0.1"

    @property
    def whole(self) -> ipaddress.IPv4Network:
        return self.pods.supernet()

    @property
    def dns(self) -> str:
        """The address of the cluster's DNS, by kubeadm's custom the tenth of the Services' range."""
        return str(self.services[10])


def open_network() -> Network:
    """Choose a free range and make its addresses local. Raises HarnessError that says what is missing."""
    _ip("link", "set", "lo", "up")
    taken = subprocess.run(
        ["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=False
    )
    for second in random.sample(range(64, 255), 50):
        whole = ipaddress.ip_network(f"10.{second}.0.0/16")
        if f" 10.{second}." in taken.stdout or f"{whole} " in taken.stdout:
            continue
        _ip("route", "add", "local", str(whole), "dev", "lo")
        pods, services = whole.subnets()
        return Network(pods, services)
    raise HarnessError("every range 10.64.0.0/16 to 10.254.0.0/16 that was tried is in use on this machine")


def free_range(whole: str) -> None:
    """Make a range's addresses foreign again; nothing happens if they are."""
    with contextlib.suppress(HarnessError):
        _ip("route", "del", "local", whole, "dev", "lo")


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HarnessError("no `ip` on PATH: apt-get install iproute2") from error
    if done.returncode:
        raise HarnessError(
            f"ip {' '.join(arguments)}: {done.stderr.strip()}. The harness needs root for the "
            "addresses of pods and Services; without root run it in a namespace: "
            "unshare --net --mount --map-root-user COMMAND"
        )
