"""`oras push REFERENCE FILE:TYPE` as far as the documentation uses it, for the registry of this harness.

Run as `python -m e2e.support.oras FOLDER push …`; REGISTRY, REGISTRY_USER and REGISTRY_PASSWORD say where.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import urllib3

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def main(arguments: list[str]) -> int:
    folder, verb, reference, named = arguments
    if verb != "push":
        print(f"oras {verb} is not here", file=sys.stderr)
        return 2
    file, _, media_type = named.partition(":")
    repository, _, tag = reference.removeprefix(f"{os.environ['REGISTRY']}/").rpartition(":")
    layers = [
        _push(repository, b"{}", EMPTY),
        {
            **_push(repository, Path(folder, file).read_bytes(), media_type),
            "annotations": {"org.opencontainers.image.title": file},
        },
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": layers[0],
        "layers": layers[1:],
    }
    _request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), MANIFEST)
    print(f"Pushed [registry] {reference}")
    return 0


def _push(repository: str, content: bytes, media_type: str) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    location = _request("POST", f"/v2/{repository}/blobs/uploads/", b"", "").headers["location"]
    path = "/" + location.partition("//")[2].partition("/")[2] if "//" in location else location
    sign = "&" if "?" in path else "?"
    _request("PUT", f"{path}{sign}digest={digest}", content, "application/octet-stream")
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _request(method: str, path: str, body: bytes, content_type: str) -> urllib3.BaseHTTPResponse:
    login = f"{os.environ['REGISTRY_USER']}:{os.environ['REGISTRY_PASSWORD']}"
    headers = {**urllib3.make_headers(basic_auth=login), "content-type": content_type}
    answer = urllib3.request(method, f"http://{os.environ['REGISTRY']}{path}", body=body, headers=headers)
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {answer.data.decode()}")
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
