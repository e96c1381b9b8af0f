"""The embedded host behind Spin's command line, as SpinKube's operator calls it in a `spinImage`.

    up --listen ADDRESS:PORT -f REFERENCE --runtime-config-file FILE

Variables come from `SPIN_VARIABLE_NAME`. The application is pulled without a login, as Spin pulls it in a
container. SIGTERM ends it as it ends Spin: at once, with every request that runs.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from pull import Puller, PullError

from ftl_operator.host import HostApp, serve

_VARIABLE = "SPIN_VARIABLE_"


def main() -> None:
    """Serve until SIGTERM. Exits with 1 and a line on standard error if the application cannot be pulled."""
    parser = argparse.ArgumentParser(prog="spin")
    up = parser.add_subparsers(required=True).add_parser("up")
    up.add_argument("--listen", default="127.0.0.1:3000")
    up.add_argument("-f", "--from", dest="reference", required=True)
    up.add_argument("--runtime-config-file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="spin."))
    try:
        image = Puller(folder / "blobs").pull(arguments.reference, [])
    except PullError as error:
        sys.exit(f"Error: {error}")
    app = HostApp(
        image.locked,
        lambda digest: image.folder / digest.replace(":", "-"),
        variables={
            name.removeprefix(_VARIABLE).lower(): value
            for name, value in os.environ.items()
            if name.startswith(_VARIABLE)
        },
        cache=folder / "compiled",
    )
    # Spin compiles before it listens.
    app.prepare()
    address, _, port = arguments.listen.rpartition(":")
    server = serve(app, address=address, port=int(port))
    print(f"Serving {server.url}", flush=True)
    threading.Event().wait()


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    main()
