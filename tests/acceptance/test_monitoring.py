"""A real Prometheus scrapes trainer and server; contract, conventions and dashboards are held against what it finds."""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from dashboards.every import EVERY
from dashboards.frame import as_plain
from tests.acceptance.conftest import ANSWER_SECONDS, Service, close_and_tell, eventually
from tests.acceptance.streams import events
from tests.ports import free_port

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

pytestmark = pytest.mark.timeout(240)

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "rules"

BOTH = {"freshet_events_rejected_total", "freshet_dead_letters_total"}

ROLES = {"champion", "challenger", "previous", "frozen"}


def needed(program: str) -> str:
    """Return the program's path; without it the test is skipped with the reason, and fails with CI=true."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


class Monitored(NamedTuple):
    """A service, a client of the Prometheus that scrapes it, and how many records were sent, a batch each."""

    service: Service
    prometheus: httpx.Client
    sent: list[int]

    def ask(self, path: str, **parameters: str) -> dict[str, Any] | None:
        """Return what Prometheus' API answers, None while nobody does."""
        try:
            answer: dict[str, Any] = self.prometheus.get(f"/api/v1/{path}", params=parameters).json()
        except httpx.TransportError:
            return None
        return answer

    def found(self, expr: str) -> list[dict[str, Any]]:
        """Return an expression's series now; fails where Prometheus reports an error or a doubt."""
        answer = self.ask("query", query=expr)
        assert answer is not None
        assert answer["status"] == "success", (expr, answer)
        assert not answer.get("warnings"), (expr, answer)
        assert not answer.get("infos"), (expr, answer)
        data = answer["data"]
        return list(data["result"]) if data["resultType"] == "vector" else [{"metric": {}, "value": data["result"]}]


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Yield a service that has learnt, refused and answered while Prometheus looked on."""
    program = needed("prometheus")
    folder = tmp_path_factory.mktemp("monitored")
    # Rounds for the sake of time would go on while what is shown is compared.
    service, port = Service(folder, trigger={"every_seconds": 3_600.0}), free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{RULES}/*.yml']\n"
        "scrape_configs:\n"
        f"- {{job_name: trainer, static_configs: [{{targets: ['127.0.0.1:{service.trainer_port}']}}]}}\n"
        f"- {{job_name: server, static_configs: [{{targets: ['127.0.0.1:{service.server_port}']}}]}}\n"
    )
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS) as client,
    ):
        try:
            yield _at_work(Monitored(service, client, []))
        finally:
            process.terminate()
            close_and_tell(service)


def _at_work(monitored: Monitored) -> Monitored:
    """Let it do everything once, each thing after a scrape that has seen that it was not done yet."""
    service = monitored.service
    service.start("run")
    service.await_ready(trainer=True)
    eventually(lambda: monitored.ask("query", query="up") is not None, "Prometheus")
    eventually(lambda: len(monitored.found("up == 1")) == 2, "a scrape of both")
    _send(monitored, events(400), "2000")
    service.await_ready()
    _send(monitored, [*events(1_200), {"a": "text", "b": 1.0, "label": "yes"}], "1000")
    assert service.predict(a=1.0, b=1.0).status_code == 200
    assert service.predict(a="text").status_code == 422
    eventually(lambda: service.metric("freshet_dead_letters_total") == 1, "the dead letter to be written")
    for seed in range(1, 10):
        eventually(lambda: _rests(monitored), "the last round to end")
        if service.status()["prequential"].keys() >= ROLES:
            break
        _send(monitored, events(600, seed=seed), "1000")  # rounds that take long are few
    last = service.status()["roles"]["champion"]
    eventually(lambda: monitored.found(f'freshet_checkpoint_info{{id="{last}"}}'), "a scrape of the last checkpoint")
    return monitored


def _send(monitored: Monitored, rows: list[dict[str, Any]], rate: str) -> None:
    """Send rows at a rate."""
    monitored.service.send(f"rows-{len(monitored.sent)}", rows, "--rate", rate)
    monitored.sent.append(len(rows))


def _rests(monitored: Monitored) -> bool:
    """Tell whether all is taken in, no round is in flight or due, and the server has followed."""
    service = monitored.service
    told, answer = service.status(), service.predict(a=1.0, b=1.0).json()
    return bool(
        told["events"]["accepted"] + told["events"]["refused"] == sum(monitored.sent)
        and told["round"] is None
        and told["new_events"] < 300
        and told["roles"]["champion"] == answer["checkpoint"]["id"]
    )


def test_prometheus_finds_every_name(monitored: Monitored) -> None:
    """Both targets are up, and each exports what is its own, and what it refused."""

    def names(job: str) -> set[str]:
        answer = monitored.ask("label/__name__/values", **{"match[]": f'{{job="{job}"}}'})
        return set(answer["data"]) if answer else set()

    eventually(lambda: names("trainer") >= set(TRAINER), "every metric of the trainer")
    eventually(lambda: names("server") >= set(SERVER), "every metric of the server")
    assert names("server") & set(TRAINER) == BOTH
    assert monitored.service.metric("freshet_events_consumed_total") == sum(monitored.sent)


def test_promtool_finds_nothing_to_mend(monitored: Monitored) -> None:
    """Names, units and help texts follow the conventions."""
    promtool = needed("promtool")
    for trainer in (True, False):
        answer = monitored.service.get("/metrics", trainer=trainer)
        assert answer is not None
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=answer.text, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


WITHOUT_A_NUMBER = {
    "Missing values",  # nothing may be missing
    "New categories",  # there are no categories
    "Shadow's agreement",  # there is no shadow
    "Shadow's difference",
    "Shadow's gaps",
    "Forgetting",  # there are too few rounds for a look at memory
    "Drift of predictions",  # and of a champion's first ones perhaps too few
}
OPTIONAL = {"measure"}
"""A label that a legend names and only a regression's series have."""


def asked(expr: str, *, instance: str = ".*") -> str:
    """Return an expression as Grafana sends it, with everything chosen."""
    expr = expr.replace("$__rate_interval", "5m").replace("$__range", "5m").replace("$instance", instance)
    return re.sub(r"\$(model|feature)", ".*", expr)


def panels() -> list[tuple[str, str, str]]:
    """Return panel, expression and legend of every query of every dashboard."""
    return [
        (panel["title"], target["expr"], target["legendFormat"])
        for make in EVERY.values()
        for panel in as_plain(make())["panels"]
        for target in panel.get("targets", [])
    ]


def test_every_panel_shows_what_happened(monitored: Monitored) -> None:
    """Series without an error, their legends' labels among them, and numbers wherever there is one to show."""
    for title, expr, legend in panels():

        def numbers(title: str = title, expr: str = expr) -> list[dict[str, Any]] | None:
            series = monitored.found(asked(expr))
            is_shown = any(not math.isnan(float(one["value"][1])) for one in series)
            return series if series and (is_shown or title in WITHOUT_A_NUMBER) else None

        for one in eventually(numbers, f"a number in {title}: {expr}"):
            labels = set(re.findall(r"{{(\w+)}}", legend)) - OPTIONAL
            assert labels <= one["metric"].keys() or title in WITHOUT_A_NUMBER, (title, legend, one["metric"])


def test_panels_say_what_the_metrics_say(monitored: Monitored) -> None:
    """The refused event by its reason, the failed request by its status, the models by their roles."""
    queries = {title: (asked(expr), legend) for title, expr, legend in panels()}

    def shows(title: str, expected: dict[str, float] | set[str]) -> None:
        expr, legend = queries[title]
        label = "".join(re.findall(r"{{(\w+)}}", legend)[:1])

        def is_shown() -> bool:
            found = {one["metric"].get(label, legend): float(one["value"][1]) for one in monitored.found(expr)}
            return (found if isinstance(expected, dict) else found.keys()) == expected

        eventually(is_shown, f"{title} to show {expected}")

    shows("Refused events by reason", {"wrong_type"})
    shows("Failed requests by status", {"422"})
    shows("Requests by route", {"/v1/predict"})
    shows("How right each model is on new events", ROLES)
    shows("Trainers that learn", {"ready": 1})
    shows("Servers that answer", {"ready": 1})
    shows("Learning", {"learning": 0})
    shows("Processes that went silent", {"silent": 0})
    shows("Checkpoint by server", {monitored.service.predict(a=1.0, b=1.0).json()["checkpoint"]["id"]})


def test_nothing_errs_before_there_is_anything_to_show(monitored: Monitored) -> None:
    """Where no process has been scraped yet a panel has no series, or some that say so: at 0, or without a number."""
    for title, expr, _ in panels():
        for one in monitored.found(asked(expr, instance="nowhere")):
            assert float(one["value"][1]) == 0 or math.isnan(float(one["value"][1])), (title, one)


def test_annotations_are_where_it_happened(monitored: Monitored) -> None:
    """A promotion at the time that its checkpoint was made, in milliseconds, by its id; alarms are asked for, too."""
    for make in EVERY.values():
        for note in as_plain(make())["annotations"].get("list", []):
            found = monitored.found(asked(note["expr"]))
            if note["useValueForTime"]:
                (one,) = found
                made = monitored.found(
                    f"freshet_checkpoint_timestamp_seconds * on (instance) group_left (id) "
                    f'freshet_checkpoint_info{{id="{one["metric"]["id"]}"}}'
                )
                assert float(one["value"][1]) == pytest.approx(1_000 * float(made[0]["value"][1]))


def test_rules_can_be_evaluated_on_what_is_exported(monitored: Monitored) -> None:
    """No rule fails on real series, for example since two match one; what is recorded is there; a healthy one is quiet.

    Jobs have other names here: only those alerts stand that know processes by them.
    """

    def evaluated() -> list[dict[str, Any]] | None:
        answer = monitored.ask("rules")
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]] if answer else []
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = eventually(evaluated, "every rule to be evaluated")
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    standing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["alerts"]}
    assert standing <= {"FreshetNoTrainer", "FreshetNoServer"}
    for rule in rules:
        if rule["type"] == "recording":
            assert monitored.found(rule["name"]), rule["name"]
