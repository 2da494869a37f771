"""The compose stack for real: built, started, watched, broken and started again. `make compose-test`; 6 minutes.

It wants Docker and the images that docker-compose.yml names, and uses a project, ports and volumes of its own.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
UP_SECONDS = 120
DEMO_SECONDS = 180
STAND_IN = "stand-in"
"""A Grafana that runs its panels' queries says so in its version; Grafana itself has no such route."""

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]


def free_range(length: int) -> int:
    """Return the first of so many ports of loopback in a row that nobody listens on."""
    for first in range(21_000, 32_000, length):
        probes = [socket.socket() for _ in range(length)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    pytest.fail("no range of free ports")


class Stack:
    """The compose stack under a project name and ports of its own."""

    def __init__(self, **variables: str) -> None:
        first = free_range(6)
        self.servers = (first, first + 1)
        self.prometheus, self.grafana = first + 2, first + 3
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": "freshet-test",
            "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
            "SERVER_PORTS": f"{first}-{first + 1}",
            "PROMETHEUS_PORT": str(self.prometheus),
            "GRAFANA_PORT": str(self.grafana),
            "ALERTMANAGER_PORT": str(first + 4),
            "KAFKA_PORT": str(first + 5),
            **variables,
        }

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run docker compose, with the demo's profile."""
        command = ["docker", "compose", "--profile", "demo", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr[-2_000:]}"
        return done

    def ask(self, query: str) -> dict[str, float]:
        """Return the answer of Prometheus to a query, by the values of its labels joined by commas."""
        url = f"http://127.0.0.1:{self.prometheus}/api/v1/query"
        found = httpx.get(url, params={"query": query}, timeout=10).json()["data"]["result"]
        return {",".join(one["metric"].values()): float(one["value"][1]) for one in found}

    def ledger(self) -> dict[str, Any]:
        """Return what `freshet ledger` tells in the trainer's container."""
        told: dict[str, Any] = json.loads(self.compose("exec", "-T", "trainer", "freshet", "ledger", "--json").stdout)
        return told


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Yield the stack with its demo, up and healthy; take it and its volumes away at the end."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("there is no Docker engine")
    stack = Stack()
    stack.compose("down", "--volumes")
    stack.compose("build")
    began = time.monotonic()
    try:
        stack.compose("up", "--detach", "--wait")
        took = time.monotonic() - began
        assert took < UP_SECONDS, f"healthy only after {took:.0f} s"
        yield stack
    finally:
        stack.compose("down", "--volumes", check=False)


def test_a_person_sees_a_model_lose_its_footing_and_recover(stack: Stack) -> None:
    """Within three minutes of healthy: promotions, a fall, and a champion far above the frozen model."""
    deadline = time.monotonic() + DEMO_SECONDS
    found: dict[str, float] = {}
    while time.monotonic() < deadline:
        accuracy = stack.ask("sum by (model) (freshet_prequential_accuracy)")
        promoted = stack.ask('sum(freshet_rounds_total{outcome="promoted"})').get("", 0.0)
        found = {**accuracy, "promoted": promoted}
        if promoted > 0 and accuracy.get("champion", 0.0) > accuracy.get("frozen", 1.0) + 0.2:
            break
        time.sleep(2)
    else:
        pytest.fail(f"not within {DEMO_SECONDS} s: {found}")
    lowest = stack.ask('min_over_time(freshet_prequential_accuracy{model="champion"}[3m])')
    assert min(lowest.values()) < found["champion"], "it never fell"
    targets = stack.ask('count by (job) (up{job=~"freshet-.*"} == 1)')
    assert targets == {"freshet-trainer": 1, "freshet-server": 2}


def test_every_panel_has_something_to_show(stack: Stack) -> None:
    """No query fails and none is empty, as far as a stand-in for Grafana can tell."""
    grafana = f"http://127.0.0.1:{stack.grafana}"
    if STAND_IN not in httpx.get(f"{grafana}/api/health", timeout=10).json()["version"]:
        pytest.skip("Grafana itself does not run its panels' queries for others")
    panels = httpx.get(f"{grafana}/{STAND_IN}/panels", timeout=60).json()
    assert panels
    assert not [panel for panel in panels if panel["error"] or not panel["series"]]


def test_both_servers_answer_with_the_same_model(stack: Stack) -> None:
    """Two replicas on one store, each at its own port, and neither runs as root or can write to its image."""
    ids = [
        httpx.get(f"http://127.0.0.1:{port}/v1/status", timeout=10).json()["serving"]["id"] for port in stack.servers
    ]
    assert all(ids)
    look = (
        "id -u; touch /opt/freshet/x 2>&1; touch /var/lib/freshet/store/x && rm /var/lib/freshet/store/x && echo writes"
    )
    told = stack.compose("exec", "-T", "server", "sh", "-c", look).stdout.splitlines()
    assert told[0] == "10001"
    assert "Read-only file system" in told[1]
    assert told[2] == "writes"


def test_a_broker_that_was_killed_and_came_back_costs_no_event_and_no_answer(stack: Stack) -> None:
    """Servers answer while it is away; afterwards every offset has one fate, and events come in again."""
    stack.compose("kill", "--signal", "KILL", "kafka")
    time.sleep(5)
    for port in stack.servers:
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200
    before = stack.ledger()["positions"][0]["offset"]
    stack.compose("up", "--detach", "--wait")
    deadline = time.monotonic() + UP_SECONDS
    while (after := stack.ledger())["positions"][0]["offset"] <= before:
        assert time.monotonic() < deadline, "no event came in again"
        time.sleep(1)
    assert (after["without_fate"], after["twice"], after["problems"]) == ([], [], [])


def test_down_and_up_again_loses_nothing(stack: Stack) -> None:
    """The ledger goes on where it was, the model that served serves, and the containers end by themselves."""
    stack.compose("stop", "sender")
    time.sleep(7)  # a snapshot is due after trainer.snapshot_seconds
    before, serving = stack.ledger(), _serving(stack)
    stack.compose("stop", "trainer", "server")
    ended = stack.compose("ps", "--all", "--format", "json", "trainer", "server", "sender").stdout.splitlines()
    assert [json.loads(line)["ExitCode"] for line in ended] == [0, 0, 0, 0]
    stack.compose("down")
    stack.compose("up", "--detach", "--wait", "server", "trainer")
    assert stack.ledger() == before
    assert _serving(stack) == serving
    assert (before["without_fate"], before["twice"], before["problems"]) == ([], [], [])


def test_a_wrong_configuration_ends_the_start_with_its_line(stack: Stack, tmp_path: Path) -> None:
    """Exit code 2, one line in the logs that names the key, and no role that is started over and over."""
    wrong = tmp_path / "freshet.yaml"
    wrong.write_text("schema: {numeric: [a]}\ntriger: {every_events: 5}\n")
    wrong.chmod(0o644)
    tmp_path.chmod(0o755)
    stack.compose("down")
    stack.environment["FRESHET_CONFIG_FILE"] = str(wrong)
    try:
        up = stack.compose("up", "--detach", "--wait", check=False)
        lines = stack.compose("logs", "--no-log-prefix", "topics").stdout.splitlines()
        roles = stack.compose("ps", "--all", "--format", "json", "trainer", "server").stdout.splitlines()
    finally:
        del stack.environment["FRESHET_CONFIG_FILE"]
        stack.compose("down")
    assert up.returncode != 0
    assert "exit 2" in up.stderr
    assert lines == ["freshet: /etc/freshet/freshet.yaml: triger: unknown key triger; did you mean trigger?"]
    assert {json.loads(line)["State"] for line in roles} == {"created"}


def _serving(stack: Stack) -> str:
    found: str = httpx.get(f"http://127.0.0.1:{stack.servers[0]}/v1/status", timeout=10).json()["serving"]["id"]
    return found
