# ruff: noqa: D102 - the hooks are documented in Observer
"""The trainer's metrics."""

import math
import time
from collections.abc import Iterable, Mapping

from service.metrics.intake import IntakeMetrics
from service.metrics.prometheus import each
from service.observer import (
    DRIFT_KINDS,
    MODEL_ROLES,
    ROUND_OUTCOMES,
    ROUND_PHASES,
    SUSPICION_TURNS,
    TRIGGER_REASONS,
    WORKER_RESTART_CAUSES,
)
from service.settings import Task

SPECULATIVE = ("entered", "confirming", "doubted")
HELDOUT_SLICES = ("recent", "memory")
HELDOUT_ROLES = ("champion", "challenger")
ROUND_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


class TrainerObserver(IntakeMetrics):
    """The trainer's metrics.

    ``decisions`` are the (decision, reason) pairs that the gate can give, ``drift`` the (feature, kind) pairs that are
    watched, ``members`` the names of the portfolio's challengers.
    """

    def __init__(
        self,
        task: Task,
        *,
        decisions: Iterable[tuple[str, str]] = (),
        drift: Iterable[tuple[str, str]] = (),
        members: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._classifies = task != "regression"
        self._add_scores(drift)
        self._add_rounds(decisions)
        self._shares = self._gauge(
            "freshet_portfolio_share_ratio",
            "How much of the challenger's prediction is each member's: its weight in the mixture.",
            "member",
            known=each(members),
        )

    def _add_scores(self, drift: Iterable[tuple[str, str]]) -> None:
        roles = [(role,) for role in MODEL_ROLES]
        self._prequential_loss = self._gauge(
            "freshet_prequential_loss",
            "Mean loss on the newest window.events events, before they were learnt (nats; in a regression squared"
            " label units); good: the champion's below the frozen model's.",
            "model",
            known=roles,
        )
        if self._classifies:
            name, meaning, good = "freshet_prequential_accuracy", "Share of right labels", "the champion's above"
        else:
            name, meaning, good = (
                "freshet_prequential_mae",
                "Mean absolute error in label units",
                "the champion's below",
            )
        self._prequential_error = self._gauge(
            name,
            f"{meaning} on the newest window.events events, before they were learnt; good: {good} the frozen model's.",
            "model",
            known=roles,
        )
        self._drift = self._gauge(
            "freshet_drift_score",
            "How far a feature's newest values are from those that the champion was trained on (psi), the share of them"
            " that is missing or was unseen then, and, of the model itself, how far its predictions are from those"
            " expected of it (prediction) and by how many standard deviations its error has risen (concept);"
            " good: psi and prediction below 0.1, the others near 0.",
            "feature",
            "kind",
            known=drift,
        )
        self._reference = self._gauge(
            "freshet_drift_reference_timestamp_seconds",
            "The newest event of the data that drift of the features is measured against; good: the last promotion's.",
        )
        self._reference.set(math.nan)
        self._alarms = self._counter(
            "freshet_drift_alarms",
            "Alarms for drift of features (data), predictions, or the rule (concept); good: rare, then a promotion.",
            "kind",
            known=each(DRIFT_KINDS),
        )
        self._heldout_loss = self._gauge(
            "freshet_heldout_loss",
            "Mean loss on a held-out slice when a challenger was last judged, unit as of the prequential loss;"
            " good: the challenger's not above the champion's.",
            "slice",
            "role",
            known=[(name, role) for name in HELDOUT_SLICES for role in HELDOUT_ROLES],
        )

    def _add_rounds(self, decisions: Iterable[tuple[str, str]]) -> None:
        self._triggers = self._counter(
            "freshet_triggers",
            "Calls for a round of training; good: they come while events do.",
            "reason",
            known=each(TRIGGER_REASONS),
        )
        self._cpu = self._counter(
            "freshet_training_cpu_seconds",
            "Processor time of the training worker in rounds, or their duration on an accelerator; "
            "good: its rate stays below trigger.budget_share.",
        )
        self._unserved = self._gauge(
            "freshet_unserved_age_seconds",
            "Age of the oldest event in the window that the champion was not trained on; good: a few rounds' time.",
        )
        self._spacing = self._gauge(
            "freshet_round_spacing_ratio",
            "How many times as wide as configured rounds are spaced, since those before brought nothing; usual: 1.",
        )
        self._rounds = self._counter(
            "freshet_rounds",
            "Rounds that ended; rolled_back: the predecessor serves again, or the round had learnt from noise; "
            "good: some promoted, none failed.",
            "outcome",
            known=each(ROUND_OUTCOMES),
        )
        self._phases = self._histogram(
            "freshet_round_duration_seconds",
            "Time that a phase of a round took; good: in all, less than the time between two rounds.",
            "phase",
            buckets=ROUND_BUCKETS,
            known=each(ROUND_PHASES),
        )
        self._training_loss = self._gauge(
            "freshet_training_loss",
            "Mean of the portfolio's members' training losses at the end of the newest round (nats; in a regression"
            " Huber's loss of the standardised label); good: not far below the prequential loss, but for a regression.",
        )
        self._training_loss.set(math.nan)
        self._decisions = self._counter(
            "freshet_gate_decisions",
            "Decisions of the gate about what serves, by their reason; good: promotions among them, no rollback.",
            "decision",
            "reason",
            known=decisions,
        )
        self._speculative = self._gauge(
            "freshet_learning_speculative", "1 while what arrives is under suspicion and nothing is published; good: 0."
        )
        self._speculative.set(0)
        self._suspicions = self._counter(
            "freshet_suspicion_turns",
            "Turns of suspicions that what arrives is noise: how they began, went on and ended; good: none.",
            "what",
            known=each(SUSPICION_TURNS),
        )
        self._paused = self._gauge(
            "freshet_training_paused",
            "1 while no round may begin after too many failures, or since nothing can be saved; good: 0.",
        )
        self._paused.set(0)
        self._snapshots = self._histogram(
            "freshet_snapshot_duration_seconds",
            "Time to save the trainer's state, from the start of writing until it is durable; good: below a second.",
            buckets=ROUND_BUCKETS,
        )
        self._due_since: float | None = None
        overdue = self._gauge(
            "freshet_snapshot_overdue_seconds",
            "How long the state has waited to be saved since a save began that has not succeeded; good: below 5.",
        )
        overdue.set_function(self._overdue_seconds)
        self._lease = self._gauge(
            "freshet_lease_held",
            "1 while this trainer holds the store's lease and learns, 0 while it stands by; good: 1 in all.",
        )
        self._restarts = self._counter(
            "freshet_worker_restarts",
            "Restarts of the training worker's process, by what ended it; good: none.",
            "cause",
            known=each(WORKER_RESTART_CAUSES),
        )

    def training_paused(self, *, paused: bool) -> None:
        self._paused.set(paused)

    def prequential(self, role: str, loss: float, error: float) -> None:
        self._prequential_loss.labels(role).set(loss)
        self._prequential_error.labels(role).set(1 - error if self._classifies else error)

    def drifted(self, feature: str, kind: str, score: float) -> None:
        self._drift.labels(feature, kind).set(score)

    def compared_with(self, until_seconds: float) -> None:
        self._reference.set(until_seconds)

    def alarmed(self, kind: str, feature: str | None, score: float, event: int) -> None:  # noqa: ARG002
        self._alarms.labels(kind).inc()

    def triggered(self, reason: str) -> None:
        self._triggers.labels(reason).inc()

    def charged(self, cpu_seconds: float) -> None:
        self._cpu.inc(cpu_seconds)

    def awaited(self, unserved_seconds: float, spacing: float) -> None:
        self._unserved.set(unserved_seconds)
        self._spacing.set(spacing)

    def phase_ended(self, phase: str, seconds: float) -> None:
        self._phases.labels(phase).observe(seconds)

    def trained(self, loss: float) -> None:
        self._training_loss.set(loss)

    def mixed(self, shares: Mapping[str, float]) -> None:
        for member, share in shares.items():
            self._shares.labels(member).set(share)

    def validated(self, slice_name: str, role: str, loss: float) -> None:
        self._heldout_loss.labels(slice_name, role).set(loss)

    def decided(self, decision: str, reason: str) -> None:
        self._decisions.labels(decision, reason).inc()

    def round_ended(self, outcome: str) -> None:
        self._rounds.labels(outcome).inc()

    def suspected(self, what: str) -> None:
        self._suspicions.labels(what).inc()
        self._speculative.set(what in SPECULATIVE)

    def speculating(self, *, active: bool) -> None:
        self._speculative.set(active)

    def snapshot_due(self) -> None:
        self._due_since = self._due_since or time.monotonic()

    def snapshotted(self, seconds: float) -> None:
        self._due_since = None
        self._snapshots.observe(seconds)

    def leased(self, *, held: bool) -> None:
        self._lease.set(held)

    def _overdue_seconds(self) -> float:
        since = self._due_since
        return 0.0 if since is None else time.monotonic() - since

    def worker_restarted(self, cause: str) -> None:
        self._restarts.labels(cause).inc()
