"""The compose file, the image's recipe and their locks, as far as they can be judged without starting anything."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import health
from service.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-+])([^}]*))?\}")
OURS = {"topics", "trainer", "server", "sender"}
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ]+)( ;[^\\]*)?", flags=re.MULTILINE)


def expanded(text: str) -> str:
    """Return what compose makes of a text without any variable set."""
    return VARIABLE.sub(lambda found: (found[3] or "") if found[2] == "-" else "", text)


STACK: dict[str, Any] = yaml.safe_load(expanded(COMPOSE))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def pins(lock: str) -> set[tuple[str, ...]]:
    """Return name, version and platforms of everything that a lock pins."""
    return {match.groups(default="") for match in PIN.finditer((ROOT / lock).read_text(encoding="utf-8"))}


def mounted(service: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return what a service mounts of this repository, and whether for reading alone."""
    found = []
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            found.append((volume["source"], volume["read_only"]))
        elif volume.startswith("."):
            source, _, mode = volume.split(":")
            found.append((source, mode == "ro"))
    return found


def test_these_services_and_no_others() -> None:
    """What starts by itself, and what starts with the demo."""
    usual = {"kafka", "topics", "trainer", "server", "prometheus", "alertmanager", "grafana"}
    assert {name for name, service in SERVICES.items() if not service.get("profiles")} == usual
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["demo"]} == {"sender"}


@each_service
def test_no_service_can_do_more_than_it_must(name: str) -> None:
    """A root file system for reading, no capability, no new privileges, and bounds on memory and processes."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"} & set(service)
    assert set(service["deploy"]["resources"]["limits"]) >= {"memory", "pids"}


@each_service
def test_whatever_is_published_is_so_to_this_machine(name: str) -> None:
    """Ports bind to loopback; what only other containers ask for is not published at all."""
    ports = SERVICES[name].get("ports", [])
    assert all(re.match(r"127\.0\.0\.1:\d+(-\d+)?:\d+$", port) for port in ports)
    assert bool(ports) == (name in {"kafka", "server", "prometheus", "alertmanager", "grafana"})


@each_service
def test_who_stays_up_is_started_again_and_asked_for_its_health(name: str) -> None:
    """All but the set-up, which runs once; the image of ours brings its own check."""
    service = SERVICES[name]
    # The sender ends with exit code 2 when the configuration is not for its loans: that is not tried for ever.
    assert service["restart"] == {"topics": "no", "sender": "on-failure:3"}.get(name, "unless-stopped")
    if name in {"topics", "sender"}:
        assert service["healthcheck"] == {"disable": True}
    elif name in OURS:  # by its role, so that on the host's network none is well by another's answer
        assert service["healthcheck"] == {"test": ["CMD", "python", "-m", "service.health", name]}
        assert name in health.PORTS
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@each_service
def test_everything_that_is_mounted_exists(name: str) -> None:
    """Files of this repository are there, and are mounted for reading alone; volumes are declared."""
    service = SERVICES[name]
    assert all((ROOT / source).exists() and read_only for source, read_only in mounted(service))
    named = [volume.split(":")[0] for volume in service.get("volumes", []) if isinstance(volume, str)]
    assert {volume for volume in named if not volume.startswith(".")} <= set(STACK["volumes"])
    assert set(service.get("secrets", ())) <= set(STACK["secrets"])


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_is_unset_in_env_leaves_the_configuration_alone(name: str) -> None:
    """The environment goes before the file, as null if it is empty: only what the stack itself decides is in it."""
    service = SERVICES[name]
    fixed = {key: value for key, value in service["environment"].items() if value is not None}
    assert set(fixed) == {"FRESHET_SOURCE__KIND", "FRESHET_SOURCE__KAFKA__BOOTSTRAP_SERVERS"}
    assert all(fixed.values())
    assert not [file["path"] for file in service["env_file"] if (ROOT / file["path"]).exists() or file["required"]]


def test_what_env_names_goes_before_the_configuration() -> None:
    """Variables without a value are handed through; a secret that is named brings the path that it is mounted at."""
    named: dict[str, Any] = yaml.safe_load(VARIABLE.sub(lambda found: found[3] or "", COMPOSE))["services"]
    for name in sorted(OURS):
        handed = {key for key, value in named[name]["environment"].items() if value is None}
        files = [(ROOT / file["path"]).read_text(encoding="utf-8") for file in named[name]["env_file"]]
        told = dict(line.split("=") for file in files for line in file.splitlines() if not line.startswith("#"))
        assert told.pop("FRESHET_SOURCE__KAFKA__SECURITY__PASSWORD_FILE") == "/run/secrets/kafka_password"
        assert "kafka_password" in named[name]["secrets"]
        if name == "server":
            assert told.pop("FRESHET_SERVE__TOKENS_FILE") == "/run/secrets/tokens"
            assert "tokens" in named[name]["secrets"]
            handed.remove("FRESHET_SERVE__ANNOUNCE_SECONDS")
        assert not told
        assert handed == {"FRESHET_LOG__LEVEL"}


def test_a_secret_is_a_file_and_none_is_in_here() -> None:
    """Until you name a file of yours, an empty one stands in its place; no variable holds a secret itself."""
    for secret in STACK["secrets"].values():
        assert (ROOT / secret["file"]).read_bytes() == b""
    for service in SERVICES.values():
        secret_like = {key for key in service.get("environment", {}) if re.search("PASSWORD|TOKEN|SECRET", key)}
        assert all(key.endswith("FILE") for key in secret_like)


def test_images_are_pinned() -> None:
    """A version, not what happens to be the newest; ours is built from here."""
    for name, service in SERVICES.items():
        if name in OURS:
            assert service["image"] == "freshet"
            assert service["build"]["context"] == "."
        else:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE))
    assert bases == {"${PYTHON_IMAGE}", "venv"}
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert base
    assert base[1] == SERVICES["trainer"]["build"]["args"]["PYTHON_IMAGE"] == "python:3.13-slim"


def test_the_image_is_built_by_the_front_end_that_docker_brings() -> None:
    """Nothing is downloaded to read the recipe with, and an older BuildKit reads it as well."""
    assert not re.search(r"^# *syntax *=|<<|^COPY .*--link", DOCKERFILE, flags=re.MULTILINE)


def test_nothing_starts_before_what_it_needs() -> None:
    """The broker answers, then the topics are there, then the roles start; the demo's stream begins after that."""
    waits = {
        name: {other: how["condition"] for other, how in service["depends_on"].items()}
        for name, service in SERVICES.items()
        if "depends_on" in service
    }
    assert waits == {
        "topics": {"kafka": "service_healthy"},
        "trainer": {"topics": "service_completed_successfully"},
        "server": {"topics": "service_completed_successfully"},
        "sender": {"trainer": "service_healthy"},
        "grafana": {"prometheus": "service_healthy"},
    }


def test_stopping_gives_each_role_its_grace_time() -> None:
    """Docker kills no role before it has had the time that its settings grant."""
    settings = yaml.safe_load((ROOT / "config" / "freshet.yaml").read_text(encoding="utf-8"))
    for name, section in (("trainer", "trainer"), ("server", "serve")):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > settings[section]["grace_seconds"]


def test_the_example_shows_each_variable_with_its_default() -> None:
    """.env.example has a line for every variable of the compose file, and for nothing else."""
    settings = Settings()
    defaults = {name: value for name, sign, value in VARIABLE.findall(COMPOSE) if sign == "-"}
    defaults["FRESHET_LOG__LEVEL"] = settings.log.level
    defaults["FRESHET_SERVE__ANNOUNCE_SECONDS"] = f"{settings.serve.announce_seconds:g}"
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    assert all((ROOT / file).exists() for file in shown.pop("COMPOSE_FILE").split(":"))  # read by compose itself
    handed = set(re.findall(r"^ +(FRESHET_\w+):(?: #.*)?$", COMPOSE, flags=re.MULTILINE))
    assert set(shown) == {name for name, _, _ in VARIABLE.findall(COMPOSE)} | handed
    for name, value in shown.items():
        # Of a secret the example shows where it may lie.
        assert value == defaults[name] or (defaults[name].endswith("/no-secret") and value.startswith("./secrets/"))


def test_the_image_has_one_user_and_says_what_it_is() -> None:
    """Not root, by number, so that an orchestrator can see it; one entry point, stopped by SIGTERM, with a check."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, flags=re.MULTILINE)
    assert 'ENTRYPOINT ["freshet"]' in last
    assert "STOPSIGNAL SIGTERM" in last
    assert re.search(r'^HEALTHCHECK .*CMD \["python", "-m", "service.health"\]$', last, flags=re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f'org.opencontainers.image.version="{project["version"]}"' in last
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in last
    assert not re.search(r"apt-get|gcc|build-essential", DOCKERFILE)


def test_the_locks_of_the_image_are_parts_of_the_lock() -> None:
    """Torch and what it needs of CUDA in one, all else in the other: the same versions as everywhere, with hashes."""
    whole, torch, packages = (
        pins("requirements.lock"),
        pins("deploy/locks/torch.lock"),
        pins("deploy/locks/packages.lock"),
    )
    cuda = {name for name, _, _ in torch}
    assert cuda >= {"torch", "triton"}
    assert {name for name in cuda if not name.startswith(("nvidia-", "cuda-"))} == {"torch", "triton"}
    assert torch <= whole
    assert {pin[:2] for pin in packages} <= {pin[:2] for pin in whole}
    assert not cuda & {name for name, _, _ in packages}
    assert {"kafka-python", "fastapi", "numpy", "zstandard", "opentelemetry-sdk"} <= {name for name, _, _ in packages}
    assert not {"pytest", "ruff", "pyarrow", "plotly", "matplotlib"} & {name for name, _, _ in packages}


@pytest.mark.parametrize("lock", ["torch", "packages", "build"])
def test_a_lock_names_no_address_and_pins_every_hash(lock: str) -> None:
    """As requirements.lock: it works with any registry, and installs nothing that was changed since."""
    text = (ROOT / "deploy" / "locks" / f"{lock}.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert "://" not in text
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


def test_no_file_of_the_deployment_names_a_registry() -> None:
    """Where packages come from is the builder's affair."""
    for text in (COMPOSE, EXAMPLE, DOCKERFILE):
        assert not re.search(r"https?://(?!127\.0\.0\.1|server:)", text)
