"""Readiness, liveness and startup probes over HTTP, with the kubelet's counting rules."""

import http.client
import time

from e2e.cluster.api import Object


class Probe:
    """One probe of a running container. `check` is called often and asks when it is time.

    Attributes:
        passing: The probe's verdict so far: thresholds counted as the kubelet does.
    """

    def __init__(self, spec: Object, container: Object, address: str, *, passing: bool) -> None:
        self._spec = spec
        self._address = address
        self._container = container
        self.passing = passing
        self.message = ""
        self._next = time.monotonic() + spec.get("initialDelaySeconds", 0)
        self._same = 0
        self._failures = 0

    @property
    def has_failed(self) -> bool:
        """Whether it failed as often in a row as its `failureThreshold`."""
        return self._failures >= self._spec.get("failureThreshold", 3)

    def check(self) -> bool:
        """Ask if it is time to, and return the verdict."""
        if time.monotonic() < self._next:
            return self.passing
        self._next = time.monotonic() + self._spec.get("periodSeconds", 10)
        good = self._ask()
        self._failures = 0 if good else self._failures + 1
        if good == self.passing:
            self._same = 0
            return self.passing
        self._same += 1
        needed = self._spec.get("successThreshold", 1) if good else self._spec.get("failureThreshold", 3)
        if self._same >= needed:
            self.passing, self._same = good, 0
        return self.passing

    def _ask(self) -> bool:
        get = self._spec.get("httpGet")
        if not get:
            return True
        port = get["port"]
        if isinstance(port, str):
            port = next(p["containerPort"] for p in self._container["ports"] if p.get("name") == port)
        connection = http.client.HTTPConnection(
            get.get("host") or self._address, port, timeout=self._spec.get("timeoutSeconds", 1)
        )
        try:
            headers = {header["name"]: header["value"] for header in get.get("httpHeaders") or []}
            connection.request(
                "GET", get.get("path", "/"), headers={"user-agent": "kube-probe/1.34", **headers}
            )
            answer = connection.getresponse()
            body = answer.read(1024).decode(errors="replace")
            self.message = f"HTTP probe failed with statuscode: {answer.status} {body}".strip()
            return 200 <= answer.status < 400
        except (OSError, http.client.HTTPException) as error:
            self.message = f"Get {get.get('path', '/')}: {error}"
            return False
        finally:
            connection.close()
