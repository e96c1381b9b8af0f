"""The console script as a subprocess: help, exit codes, errors in both forms, what inspect says."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.command import DEADLINE, QUICKSTART, ROOT, SCRIPT, Shell, poll
from tests.support.hostile import HOSTILE
from tests.support.registries import IMAGE_INDEX, LiveRegistry, digest_of, run_registry

COMMANDS = ("up", "render", "inspect", "publish", "crd", "token")
TEXT = QUICKSTART / "text.wasm"
PUBLIC = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools}
spec:
  access: public
  tools: [{name: text, image: "file:text.wasm"}]
"""
PRIVATE = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools}
spec:
  access: private
  auth: {issuer: "http://127.0.0.1:1", audiences: [tools], allowedSubjects: [ann]}
  tools: [{name: text, image: "file:text.wasm"}]
"""


# -- help and usage


def test_help_names_every_command_and_exit_code(shell: Shell) -> None:
    out = shell.ok("--help").out
    for command in COMMANDS:
        assert f"\n  {command} " in out
    for code in ("0", "2", "65", "69", "130"):
        assert code in out
    assert shell.ok("-h").out == out
    assert shell.ok("--version").out == "ftl-operator, version 0.1.0\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_every_option(shell: Shell, command: str) -> None:
    lines = shell.invoke(command, "--help").out.splitlines()
    assert lines[0].startswith(f"Usage: ftl-operator {command} [OPTIONS]")
    assert lines[2].strip()
    options = [line for line in lines[lines.index("Options:") + 1 :] if line.startswith("  -")]
    assert any("--output" in line for line in options)
    for at, line in enumerate(lines):
        if line in options:
            explained = line.strip().partition("  ")[2] or lines[at + 1].strip()
            assert explained, line


def test_help_and_a_cached_inspection_load_nothing_slow(shell: Shell, caches: Path) -> None:
    shell.ok("inspect", f"file:{TEXT}")
    slow = {
        "pydantic",
        "oras",
        "requests",
        "kubernetes",
        "kopf",
        "wasmtime",
        "jsonschema",
        "cryptography",
        "yaml",
    }
    for arguments in (["--help"], ["inspect", "-o", "json", f"file:{TEXT}"]):
        code = (
            "import sys; from ftl_operator.cli.main import main\n"
            f"try: main({arguments!r})\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=shell.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE,
        )
        assert slow.isdisjoint(done.stderr.split()), arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve"], "No such command 'serve'"),
        (["up"], "Missing argument 'FILE'"),
        (["up", "app.yaml", "--prot", "1"], "No such option"),
        (["up", "app.yaml", "--port", "65536"], "65536 is not in the range 0<=x<=65535"),
        (["up", "app.yaml", "--host", "docker"], "'docker' is not one of 'embedded', 'spin'"),
        (["up", "app.yaml", "--variable", "hush-hush"], "write NAME=VALUE"),
        (["up", "-", "--watch"], "--watch needs a file"),
        (["up", "app.yaml", "--watch", "--host", "spin"], "embedded host only"),
        (["render", "app.yaml", "--ca-file", "none.pem"], "'none.pem' does not exist"),
        (["crd", "--output", "text"], "'text' is not one of 'yaml', 'json'"),
        (["token", "app.yaml", "--lifetime", "0"], "0 is not in the range x>=1"),
        (["token", "app.yaml", "--claim", "=x"], "write NAME=VALUE"),
    ],
)
def test_wrong_usage_is_told_in_both_forms(shell: Shell, arguments: list[str], said: str) -> None:
    done = shell.invoke(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "hush-hush" not in done.err
    if "--output" not in arguments:
        done = shell.invoke(*arguments, "--output", "json")
        assert (done.code, done.out) == (2, "")
        assert done.error["reason"] == "Usage"
        assert said in done.error["message"]


@pytest.mark.parametrize("form", [["--output=json"], ["-o", "json"], ["-ojson"]])
def test_json_is_asked_for_in_any_way(shell: Shell, form: list[str]) -> None:
    assert shell.invoke("up", *form).error["reason"] == "Usage"


# -- input that cannot be used, and an outside that does not answer


@pytest.mark.parametrize(
    ("text", "reason", "field", "said"),
    [
        ("", "InvalidSpec", "", "app.yaml must hold one FtlApp; it holds nothing"),
        ("kind: Pod\n---\nkind: Service", "InvalidSpec", "", "it holds Pod, Service"),
        (f"{PUBLIC}---{PUBLIC}", "InvalidSpec", "", "it holds FtlApp, FtlApp"),
        ("a: [", "InvalidSpec", "", "app.yaml is not YAML"),
        ("a: 2026-99-99", "InvalidSpec", "", "app.yaml is not YAML"),
        ("[" * 5000, "InvalidSpec", "", "app.yaml is not YAML"),
        ("\0", "InvalidSpec", "", "app.yaml is not YAML"),
        ("just words", "InvalidSpec", "", "app.yaml holds str 'just words' beside its objects"),
        (PUBLIC.replace("access: public", "access: open"), "InvalidSpec", "spec.access", "public"),
        (PUBLIC + "  tools: []", "InvalidSpec", "", "the key 'tools' appears twice"),
        (PUBLIC + "  replicas: 2", "InvalidSpec", "spec.replicas", "there is no such field"),
        (PUBLIC.replace("public", "private"), "NoUsableRule", "spec", "needs auth"),
        (
            PUBLIC.replace("file:text.wasm", "acme/text"),
            "InvalidReference",
            "spec.tools[0].image",
            "it names no registry",
        ),
        (
            PUBLIC.replace("file:text.wasm", "file:gone.wasm"),
            "ReferenceNotFound",
            "spec.tools[0].image",
            "gone.wasm cannot be read: No such file or directory",
        ),
        (
            PUBLIC.replace("file:text.wasm", "file:app.yaml"),
            "InvalidComponent",
            "spec.tools[0].image",
            "not a WebAssembly binary",
        ),
        (
            f"{PUBLIC}---\nkind: Secret\nmetadata: {{name: s}}\ndata: [1]",
            "InvalidSpec",
            "",
            "Secret s: data is",
        ),
        (
            f"{PUBLIC}---\nkind: Secret\nmetadata: {{name: s}}\ndata: {{k: hush-hush}}",
            "InvalidSpec",
            "",
            "Secret s: data.k is not base64; write the text into stringData",
        ),
    ],
)
def test_an_unusable_file_is_told_with_its_place(
    shell: Shell, text: str, reason: str, field: str, said: str
) -> None:
    (shell.folder / "text.wasm").write_bytes(TEXT.read_bytes())
    shell.write("app.yaml", text)
    arguments = ("render", "app.yaml", "--repository", "registry.example.com/acme/tools")
    done = shell.invoke(*arguments, "--output", "json")
    assert (done.code, done.out) == (65, "")
    assert done.error["reason"] == reason
    assert done.error["field"] == field
    assert said in done.error["message"]
    plain = shell.invoke(*arguments)
    assert (plain.code, plain.out) == (65, "")
    assert plain.err.startswith(f"error ({reason}): {field}")
    assert "hush-hush" not in plain.err + done.err


def test_a_file_that_is_not_there_or_too_large(shell: Shell) -> None:
    assert "none.yaml cannot be read: No such file" in shell.invoke("render", "none.yaml").err
    assert "cannot be read: Is a directory" in shell.invoke("render", shell.folder).err
    shell.write("app.yaml", "#" * (5 << 20))
    assert shell.invoke("render", "app.yaml", "-o", "json").error["reason"] == "TooLarge"
    assert shell.invoke("render", "-", "-o", "json", stdin=b"#" * (5 << 20)).error["reason"] == "TooLarge"


@pytest.mark.parametrize(
    ("reference", "reason", "said"),
    [
        ("acme/text:1", "InvalidReference", "write the host too, for example ghcr.io/acme/weather"),
        ("ghcr.io/acme/text", "InvalidReference", "no 'latest' is assumed, write ghcr.io/acme/text:TAG"),
        ("file:none.wasm", "ReferenceNotFound", "none.wasm cannot be read: No such file or directory"),
        ("file:.", "ReferenceNotFound", "cannot be read: Is a directory"),
        ("file:/dev/zero", "ReferenceNotFound", "/dev/zero is not a regular file"),
        ("here.wasm", "InvalidSpec", "here.wasm is a file here and no OCI reference; write file:here.wasm"),
        ("file:here.wasm", "InvalidComponent", "not a WebAssembly binary"),
        ("file:empty.wasm", "InvalidComponent", "not a WebAssembly binary"),
        ("file:cut.wasm", "InvalidComponent", "bytes long and"),
    ],
)
def test_inspect_refuses_what_is_no_component(shell: Shell, reference: str, reason: str, said: str) -> None:
    shell.write("here.wasm", "not wasm")
    shell.write("empty.wasm", "")
    (shell.folder / "cut.wasm").write_bytes(TEXT.read_bytes()[:100_000])
    done = shell.invoke("inspect", reference, "-o", "json")
    assert (done.code, done.out) == (65, "")
    assert done.error["reason"] == reason
    assert said in done.error["message"]


def test_what_does_not_answer_is_69(shell: Shell) -> None:
    done = shell.run("inspect", "127.0.0.1:1/acme/text:1", "--plain-http", "127.0.0.1:1", "-o", "json")
    assert (done.code, done.error["reason"]) == (69, "RegistryUnavailable")
    assert "127.0.0.1:1" in done.error["message"]


# -- interruption


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found |= {int(entry.name), *descendants(int(entry.name))}
    return found


def running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_inspection_leaves_no_sandbox_behind(
    shell: Shell, number: signal.Signals, code: int
) -> None:
    (shell.folder / "loop.wasm").write_bytes(HOSTILE["loop"])
    process = subprocess.Popen(
        [str(SCRIPT), "inspect", "file:loop.wasm"],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        poll(lambda: descendants(process.pid), "the sandbox's process", 30)
        children = descendants(process.pid)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (code, "")
        assert "Traceback" not in err
        poll(lambda: not any(map(running, children)), "the sandbox's end", 10)
    finally:
        process.kill()


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{SCRIPT}' crd | head -1; exit 0"],
        env=shell.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert (done.stdout, done.stderr) == ("apiVersion: apiextensions.k8s.io/v1\n", "")


# -- inspect


def test_inspect_a_file_for_people_and_for_programs(shell: Shell) -> None:
    out = shell.ok("inspect", f"file:{TEXT}").out
    document = shell.ok("inspect", f"file:{TEXT}", "--output", "json").document
    assert document["reference"] == f"file:{TEXT}"
    assert document["digest"] == digest_of(TEXT.read_bytes())
    assert document["size"] == TEXT.stat().st_size
    assert (document["kind"], document["dynamicReason"]) == ("wasi-0.2", "")
    assert any(name.startswith("wasi:http/incoming-handler@0.2") for name in document["exports"])
    assert document["tools"]
    for tool in document["tools"]:
        assert f"{tool['name']}(" in out
        assert tool["inputSchema"]["type"] == "object"
    for name in (*document["imports"], *document["exports"], document["digest"]):
        assert name in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loop", "passed its time limit of 10 s"),
        ("allocate", "its memory limit is 512 MiB"),
        ("print", "passed its time limit of 10 s; it printed:"),
    ],
)
def test_a_component_without_end_ends_with_a_clear_error(shell: Shell, name: str, said: str) -> None:
    (shell.folder / f"{name}.wasm").write_bytes(HOSTILE[name])
    started = time.monotonic()
    done = shell.run("inspect", f"file:{name}.wasm", "-o", "json")
    assert time.monotonic() - started < 60
    assert (done.code, done.error["reason"]) == (65, "ComponentFailed")
    assert done.error["message"].startswith(f"file:{name}.wasm: ")
    assert said in done.error["message"]
    assert len(done.err) < 8000


def test_a_component_cannot_command_the_terminal(shell: Shell) -> None:
    text = "evil\x1b]0;owned\x07\x1b[2Jgood\x9b31m\u202eback"
    kept = Path(shell.environment["XDG_CACHE_HOME"]) / "ftl-operator" / "inspect"
    copy = shell.folder / "copy.wasm"
    copy.write_bytes(TEXT.read_bytes() + b"\0\x05\x04note")  # a custom section: another digest
    shell.ok("inspect", "file:copy.wasm")
    (entry,) = kept.rglob(f"{digest_of(copy.read_bytes()).removeprefix('sha256:')}.json")
    document = json.loads(entry.read_text())
    document["tools"][0]["tool"]["description"] = text
    entry.write_text(json.dumps(document))
    out = shell.ok("inspect", "file:copy.wasm").out
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
    assert "good" in out
    raw = shell.ok("inspect", "file:copy.wasm", "-o", "json").out
    assert json.loads(raw)["tools"][0]["description"] == text


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> LiveRegistry:
    with run_registry(tmp_path_factory.mktemp("registry")) as live:
        yield live


def spin_application(live: LiveRegistry, repository: str, components: dict[str, bytes]) -> None:
    """As `spin registry push` lays it out."""
    locked = {
        "spin_lock_version": 0,
        "metadata": {"name": "app", "version": "1", "trigger": {"type": "http"}},
        "triggers": [],
        "components": [
            {"id": name, "source": {"content_type": "application/wasm", "digest": digest_of(raw)}}
            for name, raw in components.items()
        ],
    }
    raws = [("application/vnd.wasm.content.layer.v1+wasm", raw, "") for raw in components.values()]
    live.put_artifact(
        repository,
        "1",
        [("application/vnd.fermyon.spin.application.v1+config", json.dumps(locked).encode(), ""), *raws],
    )


def test_inspect_every_form_in_which_tools_are_published(shell: Shell, registry: LiveRegistry) -> None:
    text, units = TEXT.read_bytes(), (QUICKSTART / "units.wasm").read_bytes()
    raw = "application/vnd.wasm.content.layer.v1+wasm"
    plain = registry.put_artifact("acme/raw", "1", [(raw, text, "text.wasm")])
    registry.put_artifact("acme/wkg", "1", [("application/wasm", text, "")])
    registry.put_artifact("acme/two", "1", [(raw, text, "text.wasm"), (raw, units, "units.wasm")])
    spin_application(registry, "acme/spin", {"text": text})
    spin_application(registry, "acme/spin-two", {"text": text, "units": units})
    single = registry.request("GET", "acme/raw", f"manifests/{plain}").content
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": plain,
        "size": len(single),
        "platform": {"os": "wasip1", "architecture": "wasm"},
    }
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [entry]}
    registry.put_manifest("acme/raw", "index", index, IMAGE_INDEX)

    def inspect(reference: str, *more: str) -> dict[str, object]:
        full = f"{registry.host}/{reference}"
        done = shell.ok("inspect", full, "--plain-http", registry.host, "-o", "json", *more)
        return done.document

    for reference in ("acme/raw:1", "acme/raw:index", "acme/wkg:1", "acme/spin:1", f"acme/raw@{plain}"):
        document = inspect(reference)
        assert document["digest"] == digest_of(text), reference
        assert document["reference"].startswith(f"{registry.host}/{reference.partition('@')[0]}")
        assert "@sha256:" in document["reference"]
    assert inspect("acme/two:1", "--component", "units.wasm")["digest"] == digest_of(units)
    assert inspect("acme/two:1", "--component", digest_of(text))["digest"] == digest_of(text)
    assert inspect("acme/spin-two:1", "--component", "units")["digest"] == digest_of(units)
    for repository, names in (
        ("acme/two", ("text.wasm", "units.wasm")),
        ("acme/spin-two", ("text", "units")),
    ):
        done = shell.run(
            "inspect", f"{registry.host}/{repository}:1", "--plain-http", registry.host, "-o", "json"
        )
        assert (done.code, done.error["reason"]) == (65, "UnsupportedArtifact")
        assert all(name in done.error["message"] for name in names)


def test_inspect_tells_a_registry_s_refusals_apart(shell: Shell, registry: LiveRegistry) -> None:
    here = ("--plain-http", registry.host, "-o", "json")
    done = shell.run("inspect", f"{registry.host}/acme/none:1", *here)
    assert done.error["reason"] == "ReferenceNotFound"
    done = shell.run("inspect", f"{registry.host}/acme/none:1", "-o", "json")
    assert done.code == 69
    assert "--plain-http" in done.error["message"] or "TLS" in done.error["message"]


# -- crd and token


def test_crd_is_the_committed_one(shell: Shell) -> None:
    committed = (ROOT / "crds" / "ftlapps.yaml").read_text().partition("\n")[2]
    assert shell.invoke("crd").out == committed
    assert shell.invoke("crd", "--output", "json").document == yaml.safe_load(committed)
    schema = json.loads((ROOT / "crds" / "ftlapp.schema.json").read_text())
    assert shell.invoke("crd", "--schema", "-o", "json").document == schema


def test_token_says_what_is_missing(shell: Shell) -> None:
    shell.write("public.yaml", PUBLIC)
    shell.write("private.yaml", PRIVATE)
    done = shell.invoke("token", "public.yaml", "-o", "json")
    assert (done.code, done.error["field"]) == (65, "spec.access")
    assert "no token is needed" in done.error["message"]
    done = shell.invoke("token", "private.yaml", "-o", "json")
    assert done.code == 65
    assert "start one with 'ftl-operator up --dev-issuer FILE'" in done.error["message"]


# -- the 37 MB Python component


def test_a_python_component_is_inspected_in_time(shell: Shell, tmp_path: Path, python_tool: Path) -> None:
    def inspect() -> tuple[list[str], float]:
        """The tools' names and the processor's seconds: a clock would measure what else is done."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cache = str(tmp_path / "cold")
        done = shell.ok("inspect", f"file:{python_tool}", "-o", "json", XDG_CACHE_HOME=cache)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [tool["name"] for tool in done.document["tools"]], used

    assert python_tool.stat().st_size > 30e6
    names, cold = inspect()
    assert names == ["weekday", "days_between"]
    again, cached = inspect()
    assert again == names
    assert (cold < 60, cached < 1) == (True, True), f"cold {cold:.1f} s, cached {cached:.2f} s"
