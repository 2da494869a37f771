"""A real Prometheus scrapes trainer and server, and finds every metric that the contract names."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import MakeService, Service, eventually, free_port
from tests.acceptance.streams import events

TRAINER = (
    "freshet_events_consumed_total",
    "freshet_events_rejected_total",
    "freshet_dead_letters_total",
    "freshet_consumer_lag_events",
    "freshet_partition_last_progress_timestamp_seconds",
    "freshet_window_events",
    "freshet_replay_events",
    "freshet_heldout_events",
    "freshet_prequential_loss",
    "freshet_prequential_accuracy",
    "freshet_drift_score",
    "freshet_drift_alarms_total",
    "freshet_triggers_total",
    "freshet_rounds_total",
    "freshet_round_duration_seconds_count",
    "freshet_training_loss",
    "freshet_gate_decisions_total",
    "freshet_heldout_loss",
    "freshet_worker_restarts_total",
    "freshet_poll_gap_seconds_count",
)
SERVER = (
    "freshet_checkpoint_info",
    "freshet_checkpoint_timestamp_seconds",
    "freshet_trained_until_timestamp_seconds",
    "freshet_swaps_total",
    "freshet_request_duration_seconds_count",
    "freshet_requests_in_flight",
)

BOTH = {"freshet_events_rejected_total", "freshet_dead_letters_total"}


def needed(program: str) -> str:
    """Return the program's path; without it the test is skipped with the reason, and fails with CI=true."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


@pytest.fixture
def running(make_service: MakeService) -> Service:
    """Return a service that has learnt, refused and answered."""
    service = make_service()
    service.start("run")
    service.await_ready(trainer=True)
    service.send("good", events(1_200), "--rate", "2000")
    service.send("bad", [{"a": "text", "b": 1.0, "label": "yes"}])
    service.await_ready()
    assert service.predict(a=1.0, b=1.0).status_code == 200
    eventually(lambda: service.metric("freshet_dead_letters_total") == 1, "the dead letter to be written")
    return service


@pytest.fixture
def prometheus(running: Service, tmp_path: Path) -> Iterator[str]:
    """Start Prometheus on both targets and yield its address."""
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"- {{job_name: trainer, static_configs: [{{targets: ['127.0.0.1:{running.trainer_port}']}}]}}\n"
        f"- {{job_name: server, static_configs: [{{targets: ['127.0.0.1:{running.server_port}']}}]}}\n"
    )
    command = [
        needed("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_prometheus_finds_every_name(running: Service, prometheus: str) -> None:
    """Both targets are up, and each exports what is its own, and what it refused."""

    def names(job: str) -> set[str]:
        try:
            answer = httpx.get(f"{prometheus}/api/v1/label/__name__/values", params={"match[]": f'{{job="{job}"}}'})
            return set(answer.json()["data"]) if answer.status_code == 200 else set()
        except httpx.TransportError:
            return set()

    eventually(lambda: names("trainer") >= set(TRAINER), "every metric of the trainer", 60)
    eventually(lambda: names("server") >= set(SERVER), "every metric of the server", 60)
    assert names("server") & set(TRAINER) == BOTH
    assert running.metric("freshet_events_consumed_total") == 1_201


def test_promtool_finds_nothing_to_mend(running: Service) -> None:
    """Names, units and help texts follow the conventions."""
    promtool = needed("promtool")
    for trainer in (True, False):
        answer = running.get("/metrics", trainer=trainer)
        assert answer is not None
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=answer.text, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
