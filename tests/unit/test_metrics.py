"""The names, labels and beginnings of metrics, as users' dashboards rely on them."""

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import generate_latest

from service import observer as hooks
from service.metrics import PrometheusObserver, ServerObserver, TrainerObserver
from service.records import REFUSAL_REASONS

DECISIONS = [("promote", "better"), ("reject", "worse_recent")]
BOTH = {
    "freshet_events_rejected": "counter",
    "freshet_dead_letters": "counter",
    "freshet_ready": "gauge",
    "freshet_store_last_reached_timestamp_seconds": "gauge",
}
TRAINER = BOTH | {
    "freshet_events_consumed": "counter",
    "freshet_snapshot_duration_seconds": "histogram",
    "freshet_consumer_lag_events": "gauge",
    "freshet_partition_last_progress_timestamp_seconds": "gauge",
    "freshet_window_events": "gauge",
    "freshet_replay_events": "gauge",
    "freshet_heldout_events": "gauge",
    "freshet_prequential_loss": "gauge",
    "freshet_prequential_accuracy": "gauge",
    "freshet_drift_score": "gauge",
    "freshet_drift_alarms": "counter",
    "freshet_triggers": "counter",
    "freshet_rounds": "counter",
    "freshet_round_duration_seconds": "histogram",
    "freshet_training_loss": "gauge",
    "freshet_gate_decisions": "counter",
    "freshet_heldout_loss": "gauge",
    "freshet_worker_restarts": "counter",
    "freshet_poll_gap_seconds": "histogram",
}
SERVER = BOTH | {
    "freshet_checkpoint_info": "gauge",
    "freshet_checkpoint_timestamp_seconds": "gauge",
    "freshet_trained_until_timestamp_seconds": "gauge",
    "freshet_swaps": "counter",
    "freshet_request_duration_seconds": "histogram",
    "freshet_requests_in_flight": "gauge",
    "freshet_batch_instances": "histogram",
    "freshet_event_to_served_seconds": "histogram",
}
BEYOND_THE_CONTRACT = {
    "freshet_positions_gone_events": "counter",
    "freshet_events_evicted_unlearnt": "counter",
    "freshet_intake_held_back_seconds": "counter",
    "freshet_training_paused": "gauge",
    "freshet_learning_speculative": "gauge",
    "freshet_suspicion_turns": "counter",
    "freshet_training_cpu_seconds": "counter",
    "freshet_unserved_age_seconds": "gauge",
    "freshet_round_spacing_ratio": "gauge",
    "freshet_drift_reference_timestamp_seconds": "gauge",
    "freshet_portfolio_share_ratio": "gauge",
    "freshet_snapshot_overdue_seconds": "gauge",
    "freshet_lease_held": "gauge",
}

SERVER_BEYOND_THE_CONTRACT = {
    "freshet_shadow_instances": "counter",
    "freshet_shadow_agreed": "counter",
    "freshet_shadow_score_difference": "counter",
    "freshet_shadow_dropped": "counter",
    "freshet_pinned": "gauge",
    "freshet_checkpoint_published": "gauge",
}


def types_of(observer: PrometheusObserver) -> dict[str, str]:
    """Return the type of each of our own metrics."""
    return {m.name: m.type for m in observer.registry.collect() if m.name.startswith("freshet_")}


def value(observer: PrometheusObserver, name: str, **labels: str) -> float | None:
    """Return one sample, None if there is no such series."""
    return observer.registry.get_sample_value(name, labels)


def trainer() -> TrainerObserver:
    """Return a trainer's observer."""
    return TrainerObserver("binary", decisions=DECISIONS, drift=[("age", "psi")], members=["network-200", "ridge-500"])


def test_the_trainer_exports_its_own_names() -> None:
    """Names and types as promised, and of the server's those alone that both have."""
    assert types_of(trainer()) == TRAINER | BEYOND_THE_CONTRACT


def test_the_server_exports_its_own_names() -> None:
    """Names and types as promised, and of the trainer's those alone that both have."""
    assert types_of(ServerObserver()) == SERVER | SERVER_BEYOND_THE_CONTRACT


def test_a_regression_has_an_error_in_place_of_an_accuracy() -> None:
    """`_mae` in label units; the hook's error is exported as it is."""
    observer = TrainerObserver("regression")
    assert "freshet_prequential_accuracy" not in types_of(observer)
    observer.prequential("champion", 4.0, 1.5)
    assert value(observer, "freshet_prequential_mae", model="champion") == 1.5
    assert value(observer, "freshet_prequential_loss", model="champion") == 4.0


def test_an_accuracy_is_the_share_of_right_labels() -> None:
    """The hook tells the share of wrong ones."""
    observer = trainer()
    observer.prequential("frozen", 0.7, 0.25)
    assert value(observer, "freshet_prequential_accuracy", model="frozen") == 0.75


def test_known_counters_and_histograms_begin_at_zero() -> None:
    """An alert on a rate needs the series before its first event."""
    observer = trainer()
    server = ServerObserver(answers=[("/v1/predict", 200)])
    both = [
        *(("freshet_events_rejected_total", {"reason": reason}) for reason in REFUSAL_REASONS),
        *(("freshet_dead_letters_total", {"outcome": outcome}) for outcome in hooks.DEAD_LETTER_OUTCOMES),
    ]
    for name, labels in both:
        assert value(server, name, **labels) == 0, (name, labels)
    known = [
        *both,
        *(("freshet_triggers_total", {"reason": reason}) for reason in hooks.TRIGGER_REASONS),
        *(("freshet_rounds_total", {"outcome": outcome}) for outcome in hooks.ROUND_OUTCOMES),
        *(("freshet_round_duration_seconds_count", {"phase": phase}) for phase in hooks.ROUND_PHASES),
        *(("freshet_worker_restarts_total", {"cause": cause}) for cause in hooks.WORKER_RESTART_CAUSES),
        *(("freshet_gate_decisions_total", {"decision": d, "reason": r}) for d, r in DECISIONS),
        ("freshet_poll_gap_seconds_count", {}),
        ("freshet_window_events", {}),
    ]
    for name, labels in known:
        assert value(observer, name, **labels) == 0, (name, labels)
    assert value(server, "freshet_request_duration_seconds_count", route="/v1/predict", status="200") == 0
    for outcome in hooks.SWAP_OUTCOMES:
        assert value(server, "freshet_swaps_total", outcome=outcome) == 0


def test_a_shadow_is_counted_by_its_configured_name() -> None:
    """All names are there from the start; in a regression nothing agrees or disagrees."""
    server = ServerObserver(shadows=["latest", "challenger"])
    for name in ("instances", "agreed", "score_difference"):
        assert value(server, f"freshet_shadow_{name}_total", candidate="challenger") == 0
    for reason in hooks.SHADOW_DROPS:
        assert value(server, "freshet_shadow_dropped_total", candidate="latest", reason=reason) == 0
    server.shadowed("latest", 40, 30, 2.5)
    server.shadow_dropped("latest", "queue_full", 7)
    assert value(server, "freshet_shadow_instances_total", candidate="latest") == 40
    assert value(server, "freshet_shadow_agreed_total", candidate="latest") == 30
    assert value(server, "freshet_shadow_score_difference_total", candidate="latest") == 2.5
    assert value(server, "freshet_shadow_dropped_total", candidate="latest", reason="queue_full") == 7
    regression = ServerObserver(shadows=["latest"], labelled=False)
    regression.shadowed("latest", 40, None, 12.5)
    assert value(regression, "freshet_shadow_score_difference_total", candidate="latest") == 12.5
    assert value(regression, "freshet_shadow_agreed_total", candidate="latest") is None


def test_a_loss_without_events_is_not_zero() -> None:
    """Gauges that have no value yet are NaN: nobody may take them for perfect."""
    observer = trainer()
    for role in hooks.MODEL_ROLES:
        for name in ("freshet_prequential_loss", "freshet_prequential_accuracy"):
            found = value(observer, name, model=role)
            assert found is not None
            assert math.isnan(found)
    for name, labels in (
        ("freshet_training_loss", {}),
        ("freshet_heldout_loss", {"slice": "recent", "role": "champion"}),
        ("freshet_drift_score", {"feature": "age", "kind": "psi"}),
        ("freshet_drift_reference_timestamp_seconds", {}),
        ("freshet_portfolio_share_ratio", {"member": "ridge-500"}),
    ):
        found = value(observer, name, **labels)
        assert found is not None
        assert math.isnan(found)


def call_every_hook(observer: PrometheusObserver) -> None:
    """Report one of everything."""
    observer.consumed("events", 0, 5)
    observer.consumed("events", 0, 3)
    observer.refused("not_json", 2)
    observer.dead_lettered("sent", 2)
    observer.lagged("events", 0, 7)
    observer.progressed("events", 0, 1_700_000_000.0)
    observer.positions_gone("events", 0, 4)
    observer.polled(0.02)
    observer.held(10, 20, 30)
    observer.prequential("champion", 0.5, 0.1)
    observer.drifted("age", "psi", 0.3)
    observer.compared_with(1_700_000_100.5)
    observer.alarmed("data", "age", 0.3, 700)
    observer.triggered("new_events")
    observer.charged(0.75)
    observer.awaited(12.5, 2.0)
    observer.phase_ended("train", 1.5)
    observer.trained(0.4)
    observer.validated("recent", "challenger", 0.6)
    observer.mixed({"network-200": 0.75, "ridge-500": 0.25})
    observer.decided("promote", "better")
    observer.round_ended("promoted")
    observer.worker_restarted("hang")
    observer.snapshot_due()
    observer.snapshotted(0.1)
    observer.leased(held=True)
    observer.store_reached()
    observer.published(is_published=True)
    observer.evicted_unlearnt(3)
    observer.held_back("training", 0.5)
    observer.training_paused(paused=True)
    observer.serving("000001-0", 1.0, math.nan)
    observer.swapped("swapped")
    observer.events_served(np.array([0.2, 4_000.0]), np.array([3, 1]))
    observer.pinned(is_pinned=True)
    observer.shadowed("latest", 40, 30, 2.5)
    observer.shadow_dropped("latest", "queue_full", 7)
    observer.request_began()
    observer.request_ended("/v1/predict", 200, 0.002)


def test_the_trainers_hooks_arrive_in_its_metrics() -> None:
    """Counts add up, gauges show the last value; the server's hooks leave no trace."""
    observer = trainer()
    call_every_hook(observer)
    place = {"topic": "events", "partition": "0"}
    assert value(observer, "freshet_events_consumed_total", **place) == 8
    assert value(observer, "freshet_events_rejected_total", reason="not_json") == 2
    assert value(observer, "freshet_dead_letters_total", outcome="sent") == 2
    assert value(observer, "freshet_consumer_lag_events", **place) == 7
    assert value(observer, "freshet_partition_last_progress_timestamp_seconds", **place) == 1_700_000_000
    assert value(observer, "freshet_positions_gone_events_total", **place) == 4
    assert value(observer, "freshet_poll_gap_seconds_sum") == 0.02
    assert value(observer, "freshet_poll_gap_seconds_bucket", le="0.025") == 1
    assert value(observer, "freshet_poll_gap_seconds_bucket", le="0.01") == 0
    assert [value(observer, f"freshet_{kind}_events") for kind in ("window", "replay", "heldout")] == [10, 20, 30]
    assert value(observer, "freshet_drift_score", feature="age", kind="psi") == 0.3
    assert value(observer, "freshet_drift_reference_timestamp_seconds") == 1_700_000_100.5
    shares = [value(observer, "freshet_portfolio_share_ratio", member=name) for name in ("network-200", "ridge-500")]
    assert shares == [0.75, 0.25]
    alarms = [value(observer, "freshet_drift_alarms_total", kind=kind) for kind in ("data", "prediction", "concept")]
    assert alarms == [1, 0, 0]
    assert value(observer, "freshet_triggers_total", reason="new_events") == 1
    assert value(observer, "freshet_training_cpu_seconds_total") == 0.75
    assert value(observer, "freshet_unserved_age_seconds") == 12.5
    assert value(observer, "freshet_round_spacing_ratio") == 2.0
    assert value(observer, "freshet_round_duration_seconds_sum", phase="train") == 1.5
    assert value(observer, "freshet_training_loss") == 0.4
    assert value(observer, "freshet_heldout_loss", slice="recent", role="challenger") == 0.6
    assert value(observer, "freshet_gate_decisions_total", decision="promote", reason="better") == 1
    assert value(observer, "freshet_rounds_total", outcome="promoted") == 1
    assert value(observer, "freshet_worker_restarts_total", cause="hang") == 1
    assert value(observer, "freshet_snapshot_duration_seconds_count") == 1
    assert value(observer, "freshet_lease_held") == 1
    assert value(observer, "freshet_events_evicted_unlearnt_total") == 3
    assert value(observer, "freshet_intake_held_back_seconds_total", reason="training") == 0.5
    assert value(observer, "freshet_training_paused") == 1
    assert types_of(observer) == TRAINER | BEYOND_THE_CONTRACT


def test_the_servers_hooks_arrive_in_its_metrics() -> None:
    """Open requests go up and down, answers are timed by route and status, refused events are counted."""
    observer = ServerObserver()
    call_every_hook(observer)
    assert value(observer, "freshet_requests_in_flight") == 0
    assert value(observer, "freshet_request_duration_seconds_count", route="/v1/predict", status="200") == 1
    assert value(observer, "freshet_swaps_total", outcome="swapped") == 1
    assert value(observer, "freshet_pinned") == 1
    assert value(observer, "freshet_checkpoint_published") == 1
    assert value(observer, "freshet_event_to_served_seconds_bucket", le="0.25") == 3
    assert value(observer, "freshet_event_to_served_seconds_count") == 4
    assert value(observer, "freshet_events_rejected_total", reason="not_json") == 2
    assert value(observer, "freshet_dead_letters_total", outcome="sent") == 2
    observer.request_began()
    assert value(observer, "freshet_requests_in_flight") == 1
    assert types_of(observer) == SERVER | SERVER_BEYOND_THE_CONTRACT


def test_one_checkpoint_serves_at_a_time_in_every_scrape() -> None:
    """While checkpoints change quickly, each scrape sees exactly one id, with that one's own times."""
    observer = ServerObserver()
    assert value(observer, "freshet_checkpoint_timestamp_seconds") is None
    observer.serving("0", 0.0, 0.5)
    done = threading.Event()

    def swap() -> None:
        for number in range(3_000):
            observer.serving(str(number), float(number), number + 0.5)
        done.set()

    thread = threading.Thread(target=swap)
    thread.start()
    while not done.is_set():
        samples = {
            sample.name: sample
            for metric in observer.registry.collect()
            for sample in metric.samples
            if sample.name.startswith("freshet_checkpoint") or "trained_until" in sample.name
        }
        number = float(samples["freshet_checkpoint_info"].labels["id"])
        assert samples["freshet_checkpoint_timestamp_seconds"].value == number
        assert samples["freshet_trained_until_timestamp_seconds"].value == number + 0.5
    thread.join()
    infos = [m for m in observer.registry.collect() if m.name == "freshet_checkpoint_info"]
    assert [sample.labels for sample in infos[0].samples] == [{"id": "2999"}]


def test_the_process_describes_itself() -> None:
    """Memory and processor time are there under their usual names."""
    assert value(ServerObserver(), "process_cpu_seconds_total") is not None


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("make", [trainer, lambda: ServerObserver(answers=[("/v1/predict", 200)])])
def test_prometheus_own_tool_finds_no_fault(make: type[PrometheusObserver]) -> None:
    """Names, units and help texts keep Prometheus' rules, before and after anything happened."""
    observer = make()
    for _ in range(2):
        text = generate_latest(observer.registry)
        found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        assert (found.returncode, found.stdout + found.stderr) == (0, b"")
        call_every_hook(observer)


def test_a_suspicion_shows_until_it_ends() -> None:
    """Whatever turns it takes in between, and each is counted."""
    observer = TrainerObserver("binary")
    shown = []
    for what in hooks.SUSPICION_TURNS:
        observer.suspected(what)
        shown.append(value(observer, "freshet_learning_speculative"))
        assert value(observer, "freshet_suspicion_turns_total", what=what) == 1
    assert shown == [1, 1, 1, 0, 0, 0]
    observer.speculating(active=True)
    assert value(observer, "freshet_learning_speculative") == 1
    assert value(observer, "freshet_suspicion_turns_total", what="entered") == 1


@pytest.mark.parametrize(("make", "role"), [(trainer, "trainer"), (ServerObserver, "server")])
def test_readiness_is_asked_at_each_scrape(make: Callable[[], PrometheusObserver], role: str) -> None:
    """0 until somebody can say, then what `/readyz` says at that moment; the label tells trainers from servers."""
    observer = make()
    assert value(observer, "freshet_ready", role=role) == 0
    reason: list[str | None] = ["no checkpoint yet", None, "the broker is away"]
    observer.watch_readiness(lambda: reason[0])
    shown = []
    while reason:
        shown.append(value(observer, "freshet_ready", role=role))
        reason.pop(0)
    assert shown == [0, 1, 0]


def test_a_state_is_overdue_until_a_save_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first try, however often it is tried again; a save that hangs is overdue as one that fails."""
    now = [100.0]
    monkeypatch.setattr("service.metrics.trainer.time.monotonic", lambda: now[0])
    observer = trainer()
    assert value(observer, "freshet_snapshot_overdue_seconds") == 0
    observer.snapshot_due()
    now[0] = 107.0
    observer.snapshot_due()
    now[0] = 112.0
    assert value(observer, "freshet_snapshot_overdue_seconds") == 12
    observer.snapshotted(0.1)
    now[0] = 200.0
    assert value(observer, "freshet_snapshot_overdue_seconds") == 0
    observer.snapshot_due()
    assert value(observer, "freshet_snapshot_overdue_seconds") == 0


@pytest.mark.parametrize("make", [trainer, ServerObserver])
def test_the_store_counts_as_reached_when_the_process_begins(make: Callable[[], PrometheusObserver]) -> None:
    """So that one that never answers is told after a while; each answer moves the time on."""
    began = time.time()
    observer = make()
    first = value(observer, "freshet_store_last_reached_timestamp_seconds")
    assert first is not None
    assert began <= first <= time.time()
    observer.store_reached()
    later = value(observer, "freshet_store_last_reached_timestamp_seconds")
    assert later is not None
    assert first <= later <= time.time()


def test_a_server_does_not_know_what_is_published_before_it_has_looked() -> None:
    """NaN is neither: an alert may take an empty store for an excuse, not one that was never seen."""
    observer = ServerObserver()
    before = value(observer, "freshet_checkpoint_published")
    assert before is not None
    assert math.isnan(before)
    observer.published(is_published=False)
    assert value(observer, "freshet_checkpoint_published") == 0
