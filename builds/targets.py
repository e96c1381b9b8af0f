"""Everything there is to build, and how."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from builds.programs import uv
from builds.store import CACHE, ROOT, Build, BuildError, NotBuiltError, Store, Target

WASM_CARGO = ROOT / "scripts" / "wasm-cargo"
EXAMPLES = ROOT / "examples" / "tools"
CONTROL_PLANE = ROOT / "e2e" / "controlplane"
KUBELET = ROOT / "proof" / "kubelet" / "programs"
HTTP_ADD_ON = ROOT / "e2e" / "httpaddon"
STORE = Store(CACHE / "built")
PYTHON_CLIENTS = {"mcp-1": "mcp==1.30.0", "mcp-2": "mcp==2.3.0", "fastmcp": "fastmcp==4.1.2"}
"""The Python clients' names and requirements; each has an environment of its own."""
OLD_INTERCEPTOR = ("github.com/kedacore/http-add-on@v0.12.0", "./interceptor")
"""The interceptor of KEDA's HTTP add-on before InterceptorRoute."""
GOPHER_LUA = ("github.com/yuin/gopher-lua@v1.1.2", "./cmd/glua")
"""The Lua interpreter of Argo CD 3.5."""
KEYCLOAK = (
    "https://repo.maven.apache.org/maven2/org/keycloak/keycloak-quarkus-dist/26.7.3/keycloak-quarkus-dist-26.7.3.zip",
    "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f",
)
"""Keycloak's distribution and its SHA-256."""
ACTIONLINT = ("github.com/rhysd/actionlint@v1.7.12", "./cmd/actionlint")
"""The program that checks the workflows of `.github/`."""
CRD_FOLDERS = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
    "sigs.k8s.io/gateway-api@v1.7.0": "config/crd/standard",
    "github.com/argoproj/argo-cd/v3@v3.5.7": "manifests/crds",
    "github.com/fluxcd/helm-controller@v1.4.0": "config/crd/bases",
    "github.com/fluxcd/kustomize-controller@v1.10.1": "config/crd/bases",
    "github.com/fluxcd/source-controller@v1.10.1": "config/crd/bases",
}
"""Go modules, `NAME@VERSION`, and the folder in each that holds its CRDs."""
DEBIAN_BASE = ("bookworm", "python3,python3-venv,ca-certificates")
"""The release of Debian that stands for the Dockerfile's base, and what it has besides the least there is."""
_PROGRAMS = {
    "registry": "github.com/distribution/distribution/v3/cmd/registry",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "spin-operator": "github.com/spinkube/spin-operator/cmd",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}


def built(name: str) -> Path:
    """The folder of a target that was built.

    Raises:
        NotBuiltError: It was not, or this is a run that must get by without (`make unit`).
    """
    target = TARGETS[name]
    if os.environ.get("NOTHING_BUILT"):
        raise NotBuiltError(
            f"{name} is used in a run that needs nothing built: give the test @pytest.mark.needs({name!r})"
        )
    return STORE.find(target)


def built_wasm(name: str) -> Path:
    """A test component or example tool that was built, by its file's name without `.wasm`.

    Raises:
        NotBuiltError: It was not built.
    """
    return built(WASM[name]) / f"{name}.wasm"


WASM = {
    "guests": "guests",
    "conformance_tool": "conformance-tool",
    "auth_test_tool": "auth-tool",
    "template": "e2e-tool",
    "empty": "bench-guests",
    "forwarder": "bench-guests",
    "tool": "bench-guests",
    "text": "rust-tools",
    "units": "rust-tools",
    "text-core": "rust-tools",
    "dates": "python-tool",
    "words": "typescript-tool",
    "addresses": "go-tool",
}
"""The target that holds each component."""


def _cargo(crate: Path, *names: str) -> Callable[[Build], None]:
    """Build a crate's components. They share a target folder: what they have in common is built once."""

    def make(build: Build) -> None:
        target = CACHE / "target-tools"
        build.run(
            *(WASM_CARGO, "build", "--release", "--locked"), cwd=crate, env={"CARGO_TARGET_DIR": str(target)}
        )
        for name in names:
            shutil.copy(target / "wasm32-wasip2" / "release" / f"{name}.wasm", build.folder)

    return make


def _rust_tools(build: Build) -> None:
    crate, target = EXAMPLES / "rust", CACHE / "target-tools"
    _cargo(crate, "text", "units")(build)
    build.step("text as the core module that FTL's own command builds")
    build.run(
        *(WASM_CARGO, "build", "--release", "--locked", "--package", "text"),
        cwd=crate,
        env={"FTL_WASM_TARGET": "wasm32-wasip1", "CARGO_TARGET_DIR": str(target)},
    )
    shutil.copy(target / "wasm32-wasip1" / "release" / "text.wasm", build.folder / "text-core.wasm")


def _python_tool(build: Build) -> None:
    build.run(EXAMPLES / "python" / "build", build.folder / "dates.wasm", cwd=EXAMPLES / "python")


def _go_tool(build: Build) -> None:
    build.run(EXAMPLES / "go" / "build", build.folder / "addresses.wasm", cwd=EXAMPLES / "go")


def _typescript_tool(build: Build) -> None:
    source = build.folder / "source"
    shutil.copytree(
        EXAMPLES / "typescript", source, ignore=shutil.ignore_patterns("node_modules", "build", "*.wasm")
    )
    build.run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=source)
    build.run("npm", "run", "--silent", "build", cwd=source)
    (source / "words.wasm").rename(build.folder / "words.wasm")
    shutil.rmtree(source)


def _npm(source: Path, *options: str) -> Callable[[Build], None]:
    """The scripts of a folder beside what they import: Node.js looks from the script's own place."""

    def make(build: Build) -> None:
        for path in source.iterdir():
            if path.is_file():
                shutil.copy(path, build.folder)
        build.run("npm", "ci", "--silent", "--no-audit", "--no-fund", *options, cwd=build.folder)

    return make


def _python_clients(build: Build) -> None:
    for name, requirement in PYTHON_CLIENTS.items():
        build.step(requirement)
        place = build.folder / name
        build.run(uv(), "venv", "--quiet", "--python", sys.executable, place, cwd=build.folder)
        python = str(place / "bin" / "python")
        build.run(uv(), "pip", "install", "--quiet", "--python", python, requirement, cwd=build.folder)


def _go_client(build: Build) -> None:
    source = ROOT / "tests" / "gateway" / "go_client"
    output = str(build.folder / "client")
    build.run("go", "build", "-mod=readonly", "-o", output, ".", cwd=source, env={"GOFLAGS": ""})


def _go_options(kubernetes: str) -> list[str]:
    minor = kubernetes.split(".")[1]
    variables = {"gitVersion": kubernetes, "gitMajor": "1", "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items())
    return ["-trimpath", "-ldflags", f"-s -w {flags}"]


def _module_version(build: Build, module: str, what: str, place: Path = CONTROL_PLANE) -> str:
    return build.run("go", "list", "-m", "-f", f"{{{{.{what}}}}}", module, cwd=place).strip()


def _copy(source: Path, target: Path) -> None:
    """Copy a folder of the module cache, which is read-only; the copy is not, so that it can be removed."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _helm(build: Build) -> None:
    options = _go_options(_module_version(build, "k8s.io/kubernetes", "Version"))
    build.run(
        *("go", "build", *options, "-o", str(build.folder / "helm"), "helm.sh/helm/v3/cmd/helm"),
        cwd=CONTROL_PLANE,
        env={"CGO_ENABLED": "0"},
    )


def _control_plane(build: Build) -> None:
    options = _go_options(_module_version(build, "k8s.io/kubernetes", "Version"))
    for name, package in _PROGRAMS.items():
        build.step(name)
        build.run(
            *("go", "build", *options, "-o", str(build.folder / name), package),
            cwd=CONTROL_PLANE,
            env={"CGO_ENABLED": "0"},
        )
    source = Path(_module_version(build, "github.com/spinkube/spin-operator", "Dir"))
    _copy(source / "config", build.folder / "spin-operator-config")


def _kubelet(build: Build) -> None:
    options = _go_options(_module_version(build, "k8s.io/kubernetes", "Version", KUBELET))
    kubernetes = "k8s.io/kubernetes/cmd"
    for name, package in {
        "kubelet": f"{kubernetes}/kubelet",
        "kube-proxy": f"{kubernetes}/kube-proxy",
        "pause": "./pause",
    }.items():
        build.step(name)
        output = str(build.folder / name)
        build.run(
            *("go", "build", "-mod=readonly", *options, "-o", output, package),
            cwd=KUBELET,
            env={"CGO_ENABLED": "0"},
        )


def _http_add_on(build: Build) -> None:
    module = "github.com/kedacore/http-add-on"
    programs = {part: f"{module}/{part}" for part in ("interceptor", "operator", "scaler")}
    for name, package in {**programs, "ask-scaler": "."}.items():
        build.step(name)
        options = ("-mod=readonly", "-trimpath", "-ldflags=-s -w")
        output = str(build.folder / name)
        build.run("go", "build", *options, "-o", output, package, cwd=HTTP_ADD_ON, env={"CGO_ENABLED": "0"})
    _copy(Path(_module_version(build, module, "Dir", HTTP_ADD_ON)) / "config", build.folder / "config")


def _module(build: Build, module: str, *, may_fail: bool = False) -> dict[str, str]:
    """What Go says of a module that it downloaded: `Dir` in the module cache, read-only, and `Zip`."""
    # Outside of this repository, whose go.mod files have other versions of what the module needs.
    with tempfile.TemporaryDirectory() as empty:
        text = build.run("go", "mod", "download", "-json", module, cwd=Path(empty), may_fail=may_fail)
    told: dict[str, str] = json.loads(text)
    return told


def _go_program(module: str, package: str) -> Callable[[Build], None]:
    """A program of a Go module, built in the module's folder so that its own go.mod decides on the rest."""

    def make(build: Build) -> None:
        output = str(build.folder / package.rpartition("/")[2])
        build.run(
            *("go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", output, package),
            cwd=Path(_module(build, module)["Dir"]),
            env={"CGO_ENABLED": "0"},
        )

    return make


def _crds(build: Build) -> None:
    for module, below in CRD_FOLDERS.items():
        build.step(module)
        place = build.folder / module.replace("/", "_")
        place.mkdir()
        # A module for a later Go is refused and not unpacked, but it is there; only its YAML is wanted.
        with zipfile.ZipFile(_module(build, module, may_fail=True)["Zip"]) as archive:
            for entry in archive.namelist():
                if entry.startswith(f"{module}/{below}/") and entry.endswith(".yaml"):
                    (place / PurePosixPath(entry).name).write_bytes(archive.read(entry))


def _keycloak(build: Build) -> None:
    url, expected = KEYCLOAK
    archive = build.folder / "keycloak.zip"
    build.run("curl", "--fail", "--silent", "--show-error", "--output", archive, url, cwd=build.folder)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != expected:
        raise BuildError(f"{url} has the SHA-256 {digest}, not {expected}")
    with zipfile.ZipFile(archive) as files:
        files.extractall(build.folder)
    archive.unlink()
    (home,) = build.folder.glob("keycloak-*")
    home.rename(build.folder / "home")
    # What can be decided beforehand is decided here, so that each start is quick.
    script = build.folder / "home" / "bin" / "kc.sh"
    build.run("bash", script, "build", "--db=dev-mem", cwd=build.folder)


def _debian_base(build: Build) -> None:
    release, packages = DEBIAN_BASE
    root = build.folder / "root"
    build.run("debootstrap", "--variant=minbase", f"--include={packages}", release, root, cwd=build.folder)
    for made in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / made)
    # Devices are the container's own, and an archive with them can be unpacked by root only.
    shutil.rmtree(root / "dev")
    (root / "dev").mkdir()
    build.run("tar", "--create", "--file", "root.tar", "--directory", root, ".", cwd=build.folder)
    shutil.rmtree(root)


@functools.cache
def _go_version() -> str:
    return subprocess.run(
        ["go", "env", "GOVERSION", "GOARCH"], capture_output=True, text=True, check=True
    ).stdout


_TESTS = ROOT / "tests"
_GO_MODULE = (CONTROL_PLANE / "go.mod", CONTROL_PLANE / "go.sum")
_ALL = (
    Target(
        "rust-tools",
        "the example tools in Rust",
        "two minutes, most of it for Rust's standard library for Wasm",
        (EXAMPLES / "rust", WASM_CARGO),
        _rust_tools,
    ),
    Target(
        "guests",
        "the components of the embedded host's tests",
        "a minute",
        (_TESTS / "host/guests", WASM_CARGO),
        _cargo(_TESTS / "host/guests", "guests"),
    ),
    Target(
        "conformance-tool",
        "the component with the tools of the MCP conformance suite",
        "half a minute",
        (_TESTS / "gateway/conformance_tool", WASM_CARGO),
        _cargo(_TESTS / "gateway/conformance_tool", "conformance_tool"),
    ),
    Target(
        "auth-tool",
        "the component of the authorization tests",
        "half a minute",
        (_TESTS / "auth/tool", WASM_CARGO),
        _cargo(_TESTS / "auth/tool", "auth_test_tool"),
    ),
    Target(
        "bench-guests",
        "the components that the gateway is compared with",
        "half a minute",
        (ROOT / "bench/guests", WASM_CARGO),
        _cargo(ROOT / "bench/guests", "empty", "forwarder", "tool"),
    ),
    Target("python-tool", "the example tool in Python", "a minute", (EXAMPLES / "python",), _python_tool),
    Target(
        "typescript-tool",
        "the example tool in TypeScript",
        "a minute",
        (EXAMPLES / "typescript",),
        _typescript_tool,
    ),
    Target(
        "go-tool",
        "the example tool in Go",
        "two minutes, most of it for what makes a component",
        (EXAMPLES / "go",),
        _go_tool,
        versions=_go_version,
    ),
    Target(
        "mcp-node",
        "the MCP conformance suite and the TypeScript clients",
        "half a minute",
        (_TESTS / "gateway/node",),
        _npm(_TESTS / "gateway/node"),
    ),
    Target(
        "auth-node",
        "the authorization server and the clients that log in there",
        "half a minute",
        (_TESTS / "auth/node",),
        _npm(_TESTS / "auth/node", "--ignore-scripts"),
    ),
    Target(
        "browser",
        "what drives Chromium through the login's pages",
        "a quarter of a minute",
        (_TESTS / "auth/browser",),
        _npm(_TESTS / "auth/browser", "--ignore-scripts"),
    ),
    Target(
        "inspector",
        "the MCP inspector",
        "a minute",
        (_TESTS / "auth/inspector",),
        _npm(_TESTS / "auth/inspector", "--ignore-scripts"),
    ),
    Target(
        "python-clients",
        "the MCP clients in Python",
        "half a minute",
        (),
        _python_clients,
        versions=lambda: f"{sys.base_prefix} {sys.version_info[:2]} {sorted(PYTHON_CLIENTS.items())}",
    ),
    Target(
        "go-client",
        "the MCP client in Go",
        "half a minute",
        (_TESTS / "gateway/go_client",),
        _go_client,
        versions=_go_version,
    ),
    Target(
        "gopher-lua",
        "the Lua interpreter of Argo CD",
        "half a minute",
        (),
        _go_program(*GOPHER_LUA),
        versions=lambda: f"{GOPHER_LUA} {_go_version()}",
    ),
    Target(
        "actionlint",
        "the linter of GitHub's workflows",
        "half a minute",
        (),
        _go_program(*ACTIONLINT),
        versions=lambda: f"{ACTIONLINT} {_go_version()}",
    ),
    Target(
        "keycloak",
        "Keycloak, ready to start",
        "a minute",
        (),
        _keycloak,
        versions=lambda: str(KEYCLOAK),
    ),
    Target("helm", "helm", "three minutes", _GO_MODULE, _helm, versions=_go_version),
    Target(
        "crds",
        "the CRDs of KEDA, prometheus-operator, Gateway API, Argo CD and Flux",
        "half a minute",
        (),
        _crds,
        versions=lambda: str(CRD_FOLDERS),
    ),
    Target(
        "e2e-tool",
        "the component of the end-to-end tests",
        "half a minute",
        (ROOT / "e2e/tools", WASM_CARGO),
        _cargo(ROOT / "e2e/tools", "template"),
    ),
    Target(
        "control-plane",
        "the Kubernetes control plane, spin-operator and a registry",
        "five minutes",
        _GO_MODULE,
        _control_plane,
        versions=lambda: f"{_PROGRAMS} {_go_version()}",
    ),
    Target(
        "http-add-on",
        "KEDA's HTTP add-on: its interceptor, scaler and operator",
        "two minutes",
        (HTTP_ADD_ON,),
        _http_add_on,
        versions=_go_version,
    ),
    Target(
        "interceptor",
        "the interceptor of KEDA's HTTP add-on 0.12",
        "two minutes",
        (),
        _go_program(*OLD_INTERCEPTOR),
        versions=lambda: f"{OLD_INTERCEPTOR} {_go_version()}",
    ),
    Target(
        "debian-base",
        "Debian's files, on which the operator's image is built",
        "three minutes",
        (),
        _debian_base,
        versions=lambda: str(DEBIAN_BASE),
    ),
    Target(
        "kubelet",
        "the kubelet and kube-proxy of the control plane's version",
        "three minutes",
        (KUBELET,),
        _kubelet,
        versions=_go_version,
    ),
)
TARGETS = {target.name: target for target in _ALL}
"""By name, in the order in which `make test` wants them."""
END_TO_END = (
    "control-plane",
    "helm",
    "crds",
    "e2e-tool",
    "http-add-on",
    "interceptor",
    "python-clients",
    "auth-node",
)
"""What the end-to-end tests use."""
PROOF = ("debian-base", "kubelet")
"""What `make proof` uses, and nothing else does."""
PROOF_CLUSTER = ("control-plane", "helm", "crds", "e2e-tool", "http-add-on")
"""What its cluster uses besides."""
_BOTH = ("helm", "python-clients", "auth-node")
INTEGRATION = tuple(name for name in TARGETS if name in _BOTH or name not in END_TO_END + PROOF)
"""What the integration tests use."""
