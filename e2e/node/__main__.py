"""`python -m e2e.node SETTINGS`: run the node until SIGTERM. The harness starts it."""

import signal
import sys
import threading
from pathlib import Path

from e2e.node.kubelet import Kubelet
from e2e.node.services import Services
from e2e.node.settings import NodeSettings


def main() -> None:
    settings = NodeSettings.read(Path(sys.argv[1]))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    Services(settings).start()
    Kubelet(settings).start()
    print("node started", flush=True)
    ended.wait()


if __name__ == "__main__":
    main()
