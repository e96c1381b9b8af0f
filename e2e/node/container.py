"""The process of one Spin container: `python -m e2e.node.container FILE`, the shim's place in this node.

FILE is JSON: `locked` (the locked application), `blobs` (folder), `variables`, `address`, `port`, `state`
(folder). SIGTERM ends it as it ends Spin: at once, with every request that runs.
"""

import json
import sys
import threading
from pathlib import Path

from ftl_operator.host import HostApp, serve


def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text())
    blobs = Path(config["blobs"])
    app = HostApp(
        config["locked"],
        lambda digest: blobs / digest.replace(":", "-"),
        variables=config["variables"],
        state_dir=Path(config["state"]),
    )
    server = serve(app, address=config["address"], port=config["port"])
    print(f"serving on {server.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
