"""The cost of planning an app's release, whose logins it uses, and when it is planned again."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, GatewayAuth
from ftl_operator.api.conditions import PIPELINE, ConditionType
from ftl_operator.api.login import CheckedLogin
from ftl_operator.api.names import NamespacedName
from ftl_operator.api.status import Condition, FtlAppStatus, HistoryEntry
from ftl_operator.cluster.cache import Cache
from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component, Tool
from ftl_operator.controller import releaser
from ftl_operator.controller.circuit_breaker import CircuitBreakers
from ftl_operator.controller.inspection_pool import InspectionPool
from ftl_operator.controller.pull_secrets import OperatorCredentials, PullSecrets
from ftl_operator.controller.releaser import Dependencies, ReleasePlanner
from ftl_operator.errors import ClusterError, Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Artifact, Descriptor, Layer
from ftl_operator.oci.reference import parse_reference, parse_repository
from ftl_operator.pipeline.compose import ComposeSettings
from ftl_operator.pipeline.plan import Stages, inputs_of
from ftl_operator.registry.client import PublishedApp
from ftl_operator.settings import Settings

REFERENCE = parse_reference("r.dev/tools/weather:1")
BYTES = Descriptor(WASM_LAYER, "sha256:" + "b" * 64, 1000)
GATEWAY = Layer(Descriptor(WASM_LAYER, "sha256:" + "c" * 64, 1000))
LOGIN = Layer(Descriptor(WASM_LAYER, "sha256:" + "e" * 64, 1000))
TOOL = Tool("forecast", None, "The weather.", {"type": "object"})
SETTINGS = Settings(publish_repository="registry.acme.dev/ftl")


class Registry:
    """Counts what a registry is asked, with whose logins."""

    def __init__(self):
        self.tag = "sha256:" + "a" * 64
        self.asked = []
        self.logins = None

    def with_credentials(self, credentials, reading=None):
        other = Registry()
        other.__dict__ = self.__dict__ | {"logins": credentials}
        return other

    def digest(self, reference):
        self.asked.append(f"HEAD {reference}")
        return self.tag

    def is_proven(self, repository, digest):
        return True

    def artifact(self, reference, component):
        self.asked.append(f"manifest {reference}")
        return Artifact(reference, reference.digest, BYTES, None)

    def push(self, image, target):
        self.asked.append(f"push {target.repository}")
        self.pushed_with = self.logins.find(target.repository)
        return PublishedApp(target, True, 1)


class World:
    """A releaser and what is around it."""

    def __init__(self, folder, secrets=()):
        self.cache, self.registry = Cache(), Registry()
        self.objects = {}
        self.auth = None
        for name, data in secrets:
            self.secret(name, data)
        self.component = Component(BYTES.digest, BYTES.size, Binary(Kind.WASI_0_2, (), ()), (TOOL,))
        inspector = SimpleNamespace(known=lambda source, where: self.component)
        self.inspections = InspectionPool(lambda key, seconds: None)
        self.config = folder / "config.json"
        self.config.write_text(docker(registry_acme_dev="operator")[".dockerconfigjson"])
        operator = OperatorCredentials(self.config)
        dependencies = Dependencies(
            lambda api, namespace, name: self.objects.get((api, name)),
            self.registry,
            operator,
            inspector,
            lambda app: self.auth,
            GATEWAY,
            LOGIN,
        )
        self.releaser = ReleasePlanner(
            SETTINGS, self.cache, dependencies, self.inspections, CircuitBreakers(4)
        )
        self.logins = PullSecrets(SETTINGS, self.cache, dependencies.read, operator)

    def secret(self, name, data, version="1"):
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version}
        self.objects[kinds.SECRET, name] = {"metadata": metadata, "data": encoded}
        self.cache.observe_event(kinds.SECRET, self.objects[kinds.SECRET, name])

    def release(self, app, status=None):
        steps = Stages()
        found = self.releaser.release(app, status or FtlAppStatus(), steps)
        asked, self.registry.asked[:] = list(self.registry.asked), []
        return found, steps, asked


def app(name="tools", annotations=None, **spec):
    weather = {"name": "weather", "image": str(REFERENCE), **spec.pop("tool", {})}
    return FtlApp.parse(
        {
            "apiVersion": "ftl.tools/v1alpha1",
            "kind": "FtlApp",
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": "u",
                "generation": 1,
                "annotations": annotations or {},
            },
            "spec": {"tools": [weather], "access": "public", **spec},
        }
    )


def status_of(found, steps):
    """The status that a finished reconcile would have written."""
    time = "2026-01-01T00:00:00Z"
    conditions = tuple(
        Condition(
            type=kind,
            status=said.status,
            reason=said.reason,
            message=said.message,
            last_transition_time=time,
        )
        for kind, said in steps.findings.items()
    )
    version = HistoryEntry(
        image=str(found.release.image),
        inputs=found.release.inputs,
        result="Serving",
        generation=1,
        time=time,
    )
    return FtlAppStatus(conditions=conditions, history=(version,), observed_generation=1, **found.facts)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.inspections.close()


def test_a_first_release_is_planned_and_published(world):
    found, steps, asked = world.release(app())
    assert str(found.release.image).startswith("registry.acme.dev/ftl/ns/tools@sha256:")
    assert [entry.split()[0] for entry in asked] == ["HEAD", "manifest", "push"]
    assert [tool.name for tool in found.facts["tools"]] == ["weather__forecast"]
    assert set(steps.findings) == set(PIPELINE)


def test_nothing_changed_costs_one_head_per_reference(world, monkeypatch):
    monkeypatch.setattr(releaser, "HEAD_SECONDS", 0.0)
    found, steps, _ = world.release(app())
    again, kept, asked = world.release(app(), status_of(found, steps))
    assert asked == [f"HEAD {REFERENCE}"]
    assert again.release == found.release
    assert not again.facts
    assert kept.findings == steps.findings


def test_many_apps_that_name_the_same_ask_once(world):
    status = dict.fromkeys(("one", "two", "three"))
    for name in status:
        found, steps, _ = world.release(app(name))
        status[name] = status_of(found, steps)
    heads = []
    for name, held in status.items():
        heads += world.release(app(name), held)[2]
    assert heads == []


def test_whoever_asks_for_a_reconcile_gets_the_registrys_word_of_now(world):
    found, steps, _ = world.release(app())
    asked = app(annotations={"ftl.tools/reconcile": "now"})
    assert world.release(asked, status_of(found, steps))[2] == [f"HEAD {REFERENCE}"]


@pytest.mark.parametrize(
    "change",
    [
        lambda world: setattr(world.registry, "tag", "sha256:" + "d" * 64),
        lambda world: None,
    ],
    ids=["a tag that moved", "nothing"],
)
def test_a_moved_tag_is_planned_anew(world, monkeypatch, change):
    monkeypatch.setattr(releaser, "HEAD_SECONDS", 0.0)
    found, steps, _ = world.release(app())
    before = world.registry.tag
    change(world)
    again = world.release(app(), status_of(found, steps))[0]
    assert (again.release.inputs == found.release.inputs) == (world.registry.tag == before)


def test_what_is_held_is_not_even_looked_up(world, monkeypatch):
    monkeypatch.setattr(releaser, "HEAD_SECONDS", 0.0)
    held = app(updatePolicy="hold")
    found, steps, _ = world.release(held)
    world.registry.tag = "sha256:" + "d" * 64
    again, _, asked = world.release(held, status_of(found, steps))
    assert asked == []
    assert again.release == found.release
    asked_for = app(updatePolicy="hold", annotations={"ftl.tools/reconcile": "now"})
    assert world.release(asked_for, status_of(found, steps))[0].release != found.release


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("weather:1.0", "weather:1"),
        ("weather:1", "weather:1.0"),
        ("weather:1", f"weather:1@sha256:{'e' * 64}"),
    ],
    ids=["a tag that the old one begins with", "a longer tag", "a digest"],
)
def test_what_was_held_of_another_reference_is_not_held(world, before, now):
    """The app's first reconcile with the new reference failed, so the status still has the old components."""
    host = str(REFERENCE).partition("/")[0]
    images = [f"{host}/{name}" for name in (before, now)]
    old, new = (app(updatePolicy="hold", tool={"image": image}) for image in images)
    found, steps, _ = world.release(old)
    status = status_of(found, steps)
    assert world.release(old, status)[2] == []
    assert f"HEAD {images[1]}" in world.release(new, status)[2]


def test_a_stage_that_did_not_finish_is_run_again(world):
    found, steps, _ = world.release(app())
    status = status_of(found, steps)
    unfinished = tuple(item for item in status.conditions if item.type != ConditionType.PUBLISHED)
    status = status.model_copy(update={"conditions": unfinished})
    assert any(entry.startswith("push") for entry in world.release(app(), status)[2])


NO_SUCH_KEY = {"secretKeyRef": {"name": "opaque", "key": "no"}}


def docker(**logins):
    auths = {
        registry.replace("_", "."): {"username": user, "password": "p"} for registry, user in logins.items()
    }
    return {".dockerconfigjson": json.dumps({"auths": auths})}


def user(credentials, repository):
    login = credentials.find(parse_repository(repository))
    return login.username if login is not None else None


def test_the_operators_login_is_for_the_apps_default_repository_alone(world):
    push = world.logins.push
    default = parse_repository("registry.acme.dev/ftl/ns/tools")
    assert user(push(app(), default), str(default)) == "operator"
    assert user(push(app(), default), "registry.acme.dev/ftl/ns/other") is None
    assert user(push(app(), default), "registry.acme.dev/private") is None
    for elsewhere in ("registry.acme.dev/ftl/other/tools", "registry.acme.dev/ftl/ns/other"):
        named = app(publish={"repository": elsewhere})
        assert user(push(named, parse_repository(elsewhere)), elsewhere) is None
    assert user(world.logins.pull(app()), "registry.acme.dev/ftl/ns/tools") is None


def test_an_apps_own_logins_pull_and_push(tmp_path):
    world = World(
        tmp_path, [("pull", docker(r_dev="puller", p_dev="puller")), ("push", docker(p_dev="pusher"))]
    )
    mine = app(
        imagePullSecrets=[{"name": "pull"}],
        publish={"repository": "p.dev/app", "secretRef": {"name": "push"}},
    )
    assert user(world.logins.pull(mine), "r.dev/tools/weather") == "puller"
    credentials = world.logins.push(mine, parse_repository("p.dev/app"))
    assert user(credentials, "p.dev/app") == "pusher"
    assert user(credentials, "r.dev/tools/weather") == "puller"
    world.secret("pull", docker(r_dev="another"), version="2")
    assert user(world.logins.pull(mine), "r.dev/tools/weather") == "another"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"imagePullSecrets": [{"name": "absent"}]}, "spec.imagePullSecrets[0]"),
        ({"imagePullSecrets": [{"name": "opaque"}]}, "spec.imagePullSecrets[0]"),
        ({"publish": {"repository": "p.dev/a", "secretRef": {"name": "absent"}}}, "spec.publish.secretRef"),
        (
            {"tool": {"variables": [{"name": "k", "valueFrom": NO_SUCH_KEY}]}},
            "spec.tools[0].variables[0].valueFrom",
        ),
    ],
)
def test_a_missing_source_is_named_with_its_field(tmp_path, spec, field):
    world = World(tmp_path, [("opaque", {"key": "hush-hush"})])
    with pytest.raises(ClusterError) as caught:
        world.release(app(**spec))
    assert (caught.value.reason, caught.value.field) == (Reason.SOURCE_NOT_FOUND, field)
    assert "hush" not in str(caught.value)


def test_pods_roll_when_what_they_read_changes_and_only_then(tmp_path):
    world = World(tmp_path, [("weather", {"key": "one"}), ("other", {"key": "one"})])
    source = {"secretKeyRef": {"name": "weather", "key": "key"}}
    reads = app(tool={"variables": [{"name": "k", "valueFrom": source}]})
    before = world.releaser.pods_digest(reads)
    world.secret("other", {"key": "two"}, "2")
    world.secret("weather", {"key": "one"}, "3")
    assert world.releaser.pods_digest(reads) == before
    world.secret("weather", {"key": "two"}, "4")
    assert world.releaser.pods_digest(reads) != before
    assert world.releaser.pods_digest(app()) == ""


def test_without_any_repository_the_spec_must_say_where(tmp_path):
    world = World(tmp_path)
    world.releaser._settings = Settings()
    with pytest.raises(SpecError) as caught:
        world.release(app())
    assert caught.value.field == "spec.publish.repository"


def test_another_spin_of_the_executor_is_told_and_makes_no_new_image(tmp_path):
    def executor(version):
        annotations = {"ftl.tools/spin-version": version}
        metadata = {"namespace": "ns", "name": "containerd-shim-spin", "annotations": annotations}
        world.cache.observe_event(kinds.SPIN_APP_EXECUTOR, {"metadata": metadata})

    world = World(tmp_path)
    world.component = replace(world.component, needs="Spin 4.1")
    executor("3.6.3")
    before, steps, _ = world.release(app())
    assert "has Spin 3.6.3, which does not run it" in steps.findings[ConditionType.INSPECTED].message
    executor("4.1.0")
    after, steps, _ = world.release(app(), status_of(before, steps))
    assert "has Spin 4.1.0" in steps.findings[ConditionType.INSPECTED].message
    assert after.release.image == before.release.image
    assert after.release.inputs != before.release.inputs


PEOPLE = {
    "access": "private",
    "auth": {"login": {"url": "https://t.dev", "users": {"secretRef": {"name": "people", "key": "users"}}}},
}


def checked(kid):
    """What the auth stage finds of an app with a login whose current key is this one."""
    return GatewayAuth(
        access=Access.PRIVATE,
        issuer="https://t.dev",
        audiences=("https://t.dev/mcp",),
        algorithms=("ES256",),
        jwks={"keys": [{"kid": kid}]},
        login=CheckedLogin("https://t.dev", ("claude.ai",)),
    )


def test_new_public_keys_of_a_login_make_a_new_image_and_other_changes_roll_pods_alone(world):
    world.secret("people", {"users": "ann x"})
    world.secret("tools-login", {"keys": "k", "jwks": "j"})
    world.auth = checked("one")
    found, steps, _ = world.release(app(**PEOPLE))
    assert found.release.issuer_urls == ("https://claude.ai",)
    status = status_of(found, steps)
    world.secret("people", {"users": "ann y"}, version="2")
    again, _, asked = world.release(app(**PEOPLE), status)
    assert not any(entry.startswith("push") for entry in asked)
    assert again.release.image == found.release.image
    assert again.release.sources != found.release.sources
    world.auth = checked("two")
    newer, _, asked = world.release(app(**PEOPLE), status)
    assert any(entry.startswith("push") for entry in asked)
    assert newer.release.image != found.release.image


def test_another_login_component_is_another_input_for_apps_with_a_login_alone():
    own = [ComposeSettings(GATEWAY, layer) for layer in (LOGIN, GATEWAY)]
    plain, people = app(), app(**PEOPLE)
    assert len({inputs_of(plain, {}, None, item) for item in own}) == 1
    assert len({inputs_of(people, {}, checked("one"), item) for item in own}) == 2


@pytest.mark.parametrize(
    ("there", "field", "words"),
    [
        (
            {},
            "spec.auth.login.secretRef",
            "no Secret 'tools-login' in the namespace; 'ftl-operator login secret'",
        ),
        (
            {"tools-login": {"jwks": "j"}},
            "spec.auth.login.secretRef",
            "no Secret 'tools-login' with the key 'keys' in the namespace",
        ),
        (
            {"tools-login": {"keys": "k", "jwks": "j"}},
            "spec.auth.login.users.secretRef",
            "no Secret 'people' in the namespace; 'ftl-operator user add'",
        ),
    ],
)
def test_a_missing_secret_of_a_login_is_told_in_auth_ready(world, there, field, words):
    for name, data in there.items():
        world.secret(name, data)
    document = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "tools", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"tools": [{"name": "weather", "image": str(REFERENCE)}], **PEOPLE},
    }
    world.cache.observe_event(kinds.FTL_APP, document)
    snapshot = world.cache.snapshot(NamespacedName("ns", "tools"), datetime.now(UTC))
    planned = world.releaser.plan(snapshot)
    assert planned.error.field == field
    assert planned.error.reason is Reason.SOURCE_NOT_FOUND
    found = planned.stages[ConditionType.AUTH_READY]
    assert (found.status, found.reason) == ("False", Reason.SOURCE_NOT_FOUND)
    assert words in found.message
