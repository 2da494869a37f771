"""The Kubernetes manifests: as each overlay renders, held against the schemas, the image and the settings."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from service.configuration import load_settings
from service.settings import Settings
from service.tracing.sending import FLUSH_SECONDS

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("single-node", "cluster", "monitored")
VERSIONS = ("1.29", "1.37")
"""The oldest and the newest that the manifests are held against."""
CRDS = json.loads((ROOT / "tests" / "kubernetes" / "prometheus-operator.json").read_bytes())["schemas"]
GRACE_SPARE_SECONDS = 3.0

Resource = dict[str, Any]


def rendered(folder: Path) -> list[Resource]:
    """Return the resources of a folder's kustomization; skip where nothing can render it."""
    program = next((found for name in ("kustomize", "kubectl") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    command = [program, "build" if Path(program).name == "kustomize" else "kustomize"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    """Return the resources of each overlay in turn."""
    return rendered(MANIFESTS / "overlays" / request.param)


def of_kind(resources: list[Resource], kind: str) -> dict[str, Resource]:
    """Return the resources of a kind by name."""
    return {one["metadata"]["name"]: one for one in resources if one["kind"] == kind}


def workloads(resources: list[Resource]) -> dict[str, Resource]:
    """Return what has pods, by component."""
    both = of_kind(resources, "Deployment") | of_kind(resources, "StatefulSet")
    assert set(both) == {"freshet-server", "freshet-trainer"}
    return {name.removeprefix("freshet-"): one for name, one in both.items()}


def validate(resource: Resource) -> None:
    """Raise if a resource is not as its schema says, unknown keys included."""
    if resource["kind"] in CRDS:
        jsonschema_rs.validator_for(CRDS[resource["kind"]]).validate(resource)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


def files() -> list[Resource]:
    """Return what the files hold, each as it is before kustomize."""
    folders = (MANIFESTS / "base", MANIFESTS / "components" / "prometheus-operator")
    paths = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    parts = [path for path in paths if path.name not in ("kustomization.yaml", "freshet.yaml")]
    return [resource for path in parts for resource in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def test_every_file_is_valid_by_itself() -> None:
    """Without a tool that renders, too."""
    found = files()
    assert len(found) > 10
    for resource in found:
        validate(resource)


def test_a_slip_is_found() -> None:
    """An unknown key, a wrong type: what the API server would refuse, or worse, ignore."""
    monitor = of_kind(files(), "ServiceMonitor")["freshet"]
    monitor["spec"]["endpoints"][0]["intervall"] = "5s"
    with pytest.raises(jsonschema_rs.ValidationError, match="intervall"):
        validate(monitor)
    server = of_kind(files(), "Deployment")["freshet-server"]
    server["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        validate(server)


def test_an_overlay_renders_to_valid_resources(resources: list[Resource]) -> None:
    """Every resource fits its schema, the Prometheus Operator's too."""
    kinds = {resource["kind"] for resource in resources}
    assert {"StatefulSet", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= kinds
    for resource in resources:
        validate(resource)


def test_pods_may_do_next_to_nothing(resources: list[Resource]) -> None:
    """What the Pod Security Standard `restricted` wants, a root file system that cannot be written to, and no token."""
    for workload in workloads(resources).values():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        about = pod["securityContext"]
        assert (about["runAsNonRoot"], about["runAsUser"], about["fsGroup"]) == (True, 10001, 10001)
        assert about["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def test_selectors_and_ports_lead_to_the_pods(resources: list[Resource]) -> None:
    """A service, a budget, a policy or an autoscaler that misses its pods is silent about it."""
    pods = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in workloads(resources).items()}

    def chosen(selector: dict[str, str]) -> set[str]:
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for component in ("server", "trainer"):
        name = f"freshet-{component}"
        workload = workloads(resources)[component]
        assert chosen(workload["spec"]["selector"]["matchLabels"]) == {component}
        service = of_kind(resources, "Service")[name]
        assert chosen(service["spec"]["selector"]) == {component}
        ports = {port["name"]: port for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]]["containerPort"] == port["port"]
        budget = of_kind(resources, "PodDisruptionBudget")[name]
        assert chosen(budget["spec"]["selector"]["matchLabels"]) == {component}
        policy = of_kind(resources, "NetworkPolicy")[name]
        assert chosen(policy["spec"]["podSelector"]["matchLabels"]) == {component}
        for monitor in of_kind(resources, "ServiceMonitor").values():
            assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
            assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {
                one["name"] for one in service["spec"]["ports"]
            }
    target = of_kind(resources, "HorizontalPodAutoscaler")["freshet-server"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "freshet-server")
    assert (
        "replicas" not in workloads(resources)["server"]["spec"]
    )  # else each apply would undo the autoscaler's choice


def image_environment() -> dict[str, str]:
    """Return the settings that the image makes."""
    return dict(re.findall(r"(FRESHET_\w+)=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8")))


def settings_of(resources: list[Resource], component: str, folder: Path) -> Settings:
    """Return the settings that a pod starts with, from its ConfigMap, the image and its own environment."""
    pod = workloads(resources)[component]["spec"]["template"]["spec"]
    named = next(volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "config")
    file = folder / "freshet.yaml"
    file.write_text(of_kind(resources, "ConfigMap")[named]["data"]["freshet.yaml"])
    own = {one["name"]: one["value"] for one in pod["containers"][0].get("env", ())}
    return load_settings(file, (), image_environment() | own)


def test_a_pod_starts_with_valid_settings_and_has_what_they_name(resources: list[Resource], tmp_path: Path) -> None:
    """Paths are mounted volumes, ports are the declared ones, and the kubelet waits for as long as a stop may take."""
    for component in ("server", "trainer"):
        settings = settings_of(resources, component, tmp_path)
        pod = workloads(resources)[component]["spec"]["template"]["spec"]
        container = pod["containers"][0]
        role = settings.serve if component == "server" else settings.trainer
        assert role.host == "0.0.0.0"  # noqa: S104 - that is what is looked for
        assert container["ports"] == [{"name": "http", "containerPort": role.port}]
        assert container["args"] == ["serve" if component == "server" else "train"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert str(settings.store.path) in mounts
        assert (str(settings.trainer.state_path) in mounts) == (component == "trainer")
        assert image_environment()["FRESHET_CONFIG"] in mounts
        assert pod["terminationGracePeriodSeconds"] >= role.grace_seconds + FLUSH_SECONDS + GRACE_SPARE_SECONDS
        assert settings.source.kind == "kafka"  # the embedded log is a file of one machine


@pytest.mark.parametrize(
    ("overlay", "mode", "trainers"), [("single-node", "ReadWriteOnce", 1), ("cluster", "ReadWriteMany", 2)]
)
def test_storage_fits_where_the_pods_are(overlay: str, mode: str, trainers: int) -> None:
    """A volume of one node keeps all pods on it; a standby shares the state, and is on another node."""
    resources = rendered(MANIFESTS / "overlays" / overlay)
    claims = of_kind(resources, "PersistentVolumeClaim")
    assert {name: claim["spec"]["accessModes"] for name, claim in claims.items()} == {
        "freshet-store": [mode],
        "freshet-state": [mode],
    }
    both = workloads(resources)
    assert both["trainer"]["spec"]["replicas"] == trainers
    assert "volumeClaimTemplates" not in both["trainer"]["spec"]
    affinities = {name: one["spec"]["template"]["spec"].get("affinity", {}) for name, one in both.items()}
    if trainers > 1:
        assert set(affinities["trainer"]) == {"podAntiAffinity"}
    else:
        assert all(set(affinity) == {"podAffinity"} for affinity in affinities.values())


def test_the_overlay_in_the_documentation_renders(tmp_path: Path) -> None:
    """As it stands there, beside a copy of `deploy`; its configuration and its image take the place of ours."""
    shutil.copytree(MANIFESTS, tmp_path / "deploy" / "kubernetes")
    text = (ROOT / "docs" / "KUBERNETES.md").read_text(encoding="utf-8")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    (mine / "freshet.yaml").write_text("schema: {numeric: [own]}\n")
    resources = rendered(mine)
    for resource in resources:
        validate(resource)
        assert resource["metadata"]["namespace"] == "freshet"
    assert settings_of(resources, "server", tmp_path).schema_.names == ("own",)
    images = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in workloads(resources).values()}
    assert images == {"registry.example/freshet:0.1.0"}


def test_the_image_is_of_this_version() -> None:
    """The tag that the manifests name is the project's version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    kustomization = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text(encoding="utf-8"))
    assert kustomization["images"] == [{"name": "freshet", "newTag": version}]


def test_the_alert_rules_become_a_valid_resource(tmp_path: Path) -> None:
    """The script puts the groups of all files, in the order of their names, into one PrometheusRule."""
    for name in ("b", "a"):
        rule = {"alert": f"Freshet{name.upper()}", "expr": "up == 0", "for": "1m", "labels": {"severity": "page"}}
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
    script = MANIFESTS / "prometheus_rule.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    resource = yaml.safe_load(done.stdout)
    validate(resource)
    assert [group["name"] for group in resource["spec"]["groups"]] == ["a", "b"]
    own = yaml.safe_load(subprocess.run([sys.executable, script], capture_output=True, check=True).stdout)
    validate(own)
