"""What the harness tells the node when it starts it."""

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The node's configuration; `programs` maps the last part of an image, perhaps tagged, to a command."""

    name: str
    kubelet: Path
    proxy: Path
    folder: Path
    logs: Path
    runtime_class: str
    pods: IPv4Network
    dns: str
    programs: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> "NodeSettings":
        raw = json.loads(path.read_text())
        return cls(
            name=raw["name"],
            kubelet=Path(raw["kubelet"]),
            proxy=Path(raw["proxy"]),
            folder=Path(raw["folder"]),
            logs=Path(raw["logs"]),
            runtime_class=raw["runtime_class"],
            pods=IPv4Network(raw["pods"]),
            dns=raw["dns"],
            programs=raw["programs"],
        )
