"""In which order docs/METRICS.md tells of the metrics, by what a reader looks for, and units that names do not say."""

from typing import NamedTuple


class Topic(NamedTuple):
    """A section of the page: its title, the question that its metrics answer, and their names in order."""

    title: str
    question: str
    metrics: tuple[str, ...]


TOPICS = (
    Topic(
        "Stream",
        "Does everything come in, and what is refused?",
        (
            "freshet_events_consumed_total",
            "freshet_consumer_lag_events",
            "freshet_partition_last_progress_timestamp_seconds",
            "freshet_events_rejected_total",
            "freshet_dead_letters_total",
            "freshet_poll_gap_seconds",
            "freshet_intake_held_back_seconds_total",
            "freshet_positions_gone_events_total",
        ),
    ),
    Topic(
        "Window",
        "What is there to learn from, and to judge by?",
        (
            "freshet_window_events",
            "freshet_replay_events",
            "freshet_heldout_events",
            "freshet_events_evicted_unlearnt_total",
        ),
    ),
    Topic(
        "Learning",
        "What does learning bring, when does it happen, and what does it cost?",
        (
            "freshet_prequential_loss",
            "freshet_prequential_accuracy",
            "freshet_prequential_mae",
            "freshet_triggers_total",
            "freshet_rounds_total",
            "freshet_round_duration_seconds",
            "freshet_training_loss",
            "freshet_portfolio_share_ratio",
            "freshet_unserved_age_seconds",
            "freshet_training_cpu_seconds_total",
            "freshet_round_spacing_ratio",
            "freshet_training_paused",
        ),
    ),
    Topic(
        "Gate",
        "What was let through, and why not more?",
        (
            "freshet_gate_decisions_total",
            "freshet_heldout_loss",
            "freshet_learning_speculative",
            "freshet_suspicion_turns_total",
        ),
    ),
    Topic(
        "Drift",
        "What has changed?",
        (
            "freshet_drift_score",
            "freshet_drift_alarms_total",
            "freshet_drift_reference_timestamp_seconds",
        ),
    ),
    Topic(
        "Serving",
        "What answers, how fresh is it, how fast, and does a shadow agree?",
        (
            "freshet_checkpoint_info",
            "freshet_checkpoint_timestamp_seconds",
            "freshet_trained_until_timestamp_seconds",
            "freshet_event_to_served_seconds",
            "freshet_swaps_total",
            "freshet_checkpoint_published",
            "freshet_pinned",
            "freshet_request_duration_seconds",
            "freshet_requests_in_flight",
            "freshet_batch_instances",
            "freshet_shadow_instances_total",
            "freshet_shadow_agreed_total",
            "freshet_shadow_score_difference_total",
            "freshet_shadow_dropped_total",
        ),
    ),
    Topic(
        "Process",
        "Is each process well, and its state safe? `process_…` are told by Prometheus' own library, on Linux.",
        (
            "freshet_ready",
            "freshet_lease_held",
            "freshet_store_last_reached_timestamp_seconds",
            "freshet_snapshot_duration_seconds",
            "freshet_snapshot_overdue_seconds",
            "freshet_worker_restarts_total",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ),
    ),
)

UNITS = (
    *("seconds", "bytes", "events", "instances", "ratio"),
    *("triggers", "rounds", "decisions", "alarms", "turns", "swaps", "restarts"),
)
"""Last words of names that are units."""

LOSS = "nats; in a regression squared label units"
STATE = "0 or 1"
UNITS_OF = {
    "freshet_checkpoint_info": "1",
    "freshet_checkpoint_published": STATE,
    "freshet_dead_letters_total": "events",
    "freshet_drift_score": "`psi`, `prediction`: nats; `missing`, `unseen`: ratio; `concept`: standard deviations",
    "freshet_events_consumed_total": "events",
    "freshet_events_evicted_unlearnt_total": "events",
    "freshet_events_rejected_total": "events",
    "freshet_heldout_loss": LOSS,
    "freshet_learning_speculative": STATE,
    "freshet_lease_held": STATE,
    "freshet_pinned": STATE,
    "freshet_prequential_accuracy": "ratio",
    "freshet_prequential_loss": LOSS,
    "freshet_prequential_mae": "label units",
    "freshet_ready": STATE,
    "freshet_requests_in_flight": "requests",
    "freshet_round_spacing_ratio": "ratio, 1 or more",
    "freshet_shadow_agreed_total": "instances",
    "freshet_shadow_dropped_total": "instances",
    "freshet_shadow_score_difference_total": "ratio; in a regression label units",
    "freshet_training_loss": "nats; in a regression Huber's loss",
    "freshet_training_paused": STATE,
    "process_max_fds": "file descriptors",
    "process_open_fds": "file descriptors",
}
"""Units of the metrics whose names do not end in theirs."""
