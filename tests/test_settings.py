import pytest
from pydantic import ValidationError

from ftl_operator.errors import SpecError
from ftl_operator.oci.reference import parse_reference
from ftl_operator.settings import Settings, Tenancy


def test_the_environment_fills_every_kind_of_field():
    settings = Settings.from_env(
        {
            "FTL_PUBLISH_REPOSITORY": "registry.acme.dev/ftl",
            "FTL_ALLOWED_REGISTRIES": "ghcr.io, *.acme.dev",
            "FTL_NAMESPACES": "",
            "FTL_WORKERS": "3",
            "FTL_LEADER_ELECTION": "false",
            "FTL_OPERATOR_SERVICE_HOST": "10.0.0.1",
        }
    )
    assert settings == Settings(
        publish_repository="registry.acme.dev/ftl",
        allowed_registries=("ghcr.io", "*.acme.dev"),
        workers=3,
        leader_election=False,
    )
    assert str(settings.default_repository("agents", "tools")) == "registry.acme.dev/ftl/agents/tools"


def test_without_a_publish_repository_there_is_no_default():
    assert Settings().default_repository("agents", "tools") is None


def test_nodes_may_name_the_registry_otherwise_and_the_names_lead_back():
    settings = Settings(publish_repository="r.ftl.svc:5000/apps", pull_repository="localhost:30500/apps")
    published = parse_reference(f"r.ftl.svc:5000/apps/agents/tools@sha256:{'0' * 64}")
    pulled = settings.as_pulled(published)
    assert str(pulled) == f"localhost:30500/apps/agents/tools@sha256:{'0' * 64}"
    assert settings.as_pulled(pulled) == pulled
    assert settings.as_published(pulled) == published


@pytest.mark.parametrize("elsewhere", ["ghcr.io/acme/tools:1", "r.ftl.svc:5000/apps2/tools:1"])
def test_what_an_app_publishes_elsewhere_keeps_its_name(elsewhere):
    settings = Settings(publish_repository="r.ftl.svc:5000/apps", pull_repository="localhost:30500/apps")
    image = parse_reference(elsewhere)
    assert settings.as_pulled(image) == settings.as_published(image) == image
    assert Settings(publish_repository="r.ftl.svc:5000/apps").as_pulled(image) == image


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FTL_WORKERS", "many", "valid integer"),
        ("FTL_WORKERS", "0", "greater than or equal to 1"),
        ("FTL_PUBLISH_REPOSITORY", "acme", "it names no registry"),
        ("FTL_PULL_REPOSITORY", "acme", "it names no registry"),
        ("FTL_SERVICE_URL", "http://{pod}", "only {name} and {namespace}"),
        ("FTL_SERVICE_URL", "ftp://{name}", "http:// or https://"),
        ("FTL_LOG_LEVEL", "LOUD", "pattern"),
        ("FTL_INTERCEPTOR_NAMESPACE", "keda.svc", "pattern"),
        ("FTL_CLUSTER_DOMAIN", "cluster.local.", "pattern"),
    ],
)
def test_an_unusable_value_names_its_variable(variable, value, said):
    with pytest.raises(SpecError) as caught:
        Settings.from_env({variable: value})
    assert variable in str(caught.value)
    assert said in str(caught.value)


def test_settings_cannot_change():
    with pytest.raises(ValidationError):
        Settings().workers = 2


LISTED = {
    "FTL_TENANCY": "shared",
    "FTL_ALLOWED_REGISTRIES": "ghcr.io",
    "FTL_ALLOWED_ISSUERS": "login.acme.dev",
    "FTL_ROUTE_HOSTS": "agents=tools.acme.dev",
}


def test_with_tenants_what_they_may_name_is_listed():
    assert Settings.from_env(LISTED).tenancy is Tenancy.SHARED


@pytest.mark.parametrize("name", ["FTL_ALLOWED_REGISTRIES", "FTL_ALLOWED_ISSUERS", "FTL_ROUTE_HOSTS"])
@pytest.mark.parametrize("value", ["", "*"])
def test_with_tenants_a_star_alone_is_refused(name, value):
    value = f"agents={value}" if value and name == "FTL_ROUTE_HOSTS" else value
    with pytest.raises(SpecError, match=f"tenancy shared needs {name}"):
        Settings.from_env(LISTED | {name: value})


@pytest.mark.parametrize(
    "value",
    ["agents", "=a.dev", "a b=a.dev", "agents=", "agents=a.dev:443", "agents=https://a.dev", "a=*.*.dev"],
)
def test_hosts_of_routes_that_are_not_usable_stop_the_start(value):
    with pytest.raises(SpecError, match="FTL_ROUTE_HOSTS"):
        Settings.from_env({"FTL_ROUTE_HOSTS": value})
