"""A browser for clients that open one themselves (`BROWSER`): logs in, and calls the client's own address."""

import sys
import threading
import urllib.parse
import urllib.request

from flow import follow_to_code


def main() -> None:
    start = sys.argv[1]
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(start).query))
    back = query["redirect_uri"]
    parameters = urllib.parse.urlencode(follow_to_code(start, back))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{back}?{parameters}", timeout=30) as answer:
        answer.read()


if __name__ == "__main__":
    threading.Thread(target=main).start()
