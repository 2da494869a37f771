"""Hooks that stages call at events of note; by default nothing listens.

The stages know this class alone. `metrics.py` turns the hooks into Prometheus metrics; the demo prints some of them.
"""

from collections.abc import Mapping

from service.records import Examples, FloatArray, IntArray, Scores

MODEL_ROLES = ("champion", "challenger", "previous", "frozen")
ROUND_OUTCOMES = ("promoted", "rejected", "failed", "rolled_back")
DRIFT_KINDS = ("data", "prediction", "concept")
SUSPICION_TURNS = ("entered", "confirming", "doubted", "changed", "noise", "expired")
TRIGGER_REASONS = (
    "first_events",
    "new_events",
    "window_full",
    "new_concept",
    "drift_alarm",
    "score_fall",
    "staleness",
    "elapsed",
)
ROUND_PHASES = ("prepare", "train", "validate", "publish")
WORKER_RESTART_CAUSES = ("crash", "hang", "deadline")
DEAD_LETTER_OUTCOMES = ("sent", "failed")
HOLD_REASONS = ("dead_letters", "state", "training")
SWAP_OUTCOMES = ("swapped", "damaged", "failed")
SHADOW_DROPS = ("queue_full", "unknown_category", "no_answer")


class Observer:
    """No-op hooks; a subclass overrides those it wants. A hook is cheap and never raises."""

    def consumed(self, topic: str, partition: int, events: int) -> None:
        """``events`` records of a partition were polled and looked at, accepted or refused."""

    def refused(self, reason: str, events: int) -> None:
        """``events`` records did not fit, for one reason of ``records.REFUSAL_REASONS``."""

    def dead_lettered(self, outcome: str, events: int) -> None:
        """``events`` dead letters were ``sent`` durably, or ``failed``."""

    def lagged(self, topic: str, partition: int, events: int) -> None:
        """``events`` records of a partition wait to be read."""

    def progressed(self, topic: str, partition: int, at_seconds: float) -> None:
        """A partition was read, or seen to have nothing to read, at this Unix time."""

    def positions_gone(self, topic: str, partition: int, events: int) -> None:
        """The log had already deleted ``events`` records that were to be read next."""

    def polled(self, gap_seconds: float) -> None:
        """A poll began this long after the one before it had returned."""

    def held_back(self, reason: str, seconds: float) -> None:
        """For so long nothing was polled, for one of HOLD_REASONS."""

    def training_paused(self, *, paused: bool) -> None:
        """Whether no round may begin because too many have failed."""

    def scored(self, examples: Examples, scores: dict[str, Scores]) -> None:
        """Arriving events were scored, before they were learnt, by each model role there is and by ``baseline``."""

    def evicted_unlearnt(self, events: int) -> None:
        """``events`` learnable events had left the window before any round trained on them."""

    def held(self, window: int, replay: int, heldout: int) -> None:
        """Events now held in the window, the replay memory and the held-out slices."""

    def prequential(self, role: str, loss: float, error: float) -> None:
        """Mean loss and mean error of a model role over the last ``window.events`` scored events."""

    def drifted(self, feature: str, kind: str, score: float) -> None:
        """A drift score of one feature, for example kind ``psi``; the pairs are those of ``drift.monitor.watched``."""

    def compared_with(self, until_seconds: float) -> None:
        """The newest of the events that drift of the data is measured against is of this Unix time."""

    def alarmed(self, kind: str, feature: str | None, score: float, event: int) -> None:
        """Drift of one of DRIFT_KINDS was found with this event, counted among all accepted.

        ``score`` is a population stability index in nats, of the ``feature`` if it is data drift; of a concept drift it
        is the rise of the champion's error in standard deviations of one error.
        """

    def triggered(self, reason: str) -> None:
        """A round of training was called for."""

    def charged(self, cpu_seconds: float) -> None:
        """The training of a round has cost so much processor time."""

    def awaited(self, unserved_seconds: float, spacing: float) -> None:
        """The oldest learnable event that the champion was not trained on is so old, 0 without any.

        Rounds are spaced ``spacing`` times as wide as usual, since those before brought nothing.
        """

    def round_began(self, number: int, trigger: str, parent: str | None) -> None:
        """A round is under way; ``parent`` is the checkpoint that served when it began. Called in the round's context.

        What is bound to log lines here stays with the round, in whatever thread it goes on.
        """

    def phase_ended(self, phase: str, seconds: float) -> None:
        """One phase of a round took this long."""

    def trained(self, loss: float) -> None:
        """A round's final training loss, the mean over the challengers that did not diverge."""

    def mixed(self, shares: Mapping[str, float]) -> None:
        """So much of the portfolio's prediction is each member's, by its name; the shares add up to 1."""

    def validated(self, slice_name: str, role: str, loss: float) -> None:
        """Mean loss of a role on a held-out slice (``recent``, ``memory``)."""

    def decided(self, decision: str, reason: str) -> None:
        """The gate decided ``promote``, ``reject`` or ``rollback``."""

    def suspected(self, what: str) -> None:
        """A suspicion that what arrives is noise took a turn, one of SUSPICION_TURNS."""

    def speculating(self, *, active: bool) -> None:
        """Whether learning is speculative, told at the start: a suspicion survives a restart."""

    def round_ended(self, outcome: str) -> None:
        """A round ended, with one of ROUND_OUTCOMES."""

    def round_over(self, number: int, outcome: str, checkpoint_id: str | None = None, cause: str | None = None) -> None:
        """A round is over, whatever became of it: one of ROUND_OUTCOMES, ``first_checkpoint`` or ``suspected``.

        ``checkpoint_id`` is what it published, ``cause`` why it failed.
        """

    def worker_restarted(self, cause: str) -> None:
        """The training worker had to be started again."""

    def snapshot_due(self) -> None:
        """There is something to save, and the saving begins; told again each time that it is tried anew."""

    def snapshotted(self, seconds: float) -> None:
        """The trainer's state was saved durably."""

    def store_reached(self) -> None:
        """The store has answered: a server's look at what is to be served, or a trainer's writing of its status."""

    def leased(self, *, held: bool) -> None:
        """Whether this trainer holds the store's lease: it is the one that learns, not a standby."""

    def serving(self, checkpoint_id: str, created_seconds: float, trained_until_seconds: float) -> None:
        """The server answers from this checkpoint from now on; times are Unix seconds, NaN if unknown."""

    def events_served(self, ages_seconds: FloatArray, counts: IntArray) -> None:
        """Learnable events were served for the first time: so many [n] of each age [n] since their ``ts``."""

    def swap_began(self, checkpoint_id: str | None) -> None:
        """The server begins to read a checkpoint that it is to serve, None: the newest sound one."""

    def published(self, *, is_published: bool) -> None:
        """Whether the store names a checkpoint that is to be served."""

    def swapped(self, outcome: str) -> None:
        """The server tried to take over a new checkpoint, with one of SWAP_OUTCOMES."""

    def pinned(self, *, is_pinned: bool) -> None:
        """Whether the server is held at a checkpoint, whatever is published."""

    def shadowed(self, candidate: str, instances: int, agreed: int | None, difference: float) -> None:
        """A candidate of `serve.shadow` was asked what the serving checkpoint had answered for so many instances.

        For ``agreed`` of them it says the same label; None in a regression, which has none. ``difference`` is the sum
        of their scores' differences: total variation distances, between 0 and 1 each, or in a regression absolute
        differences in units of the label.
        """

    def shadow_dropped(self, candidate: str, reason: str, instances: int) -> None:
        """So many sampled instances were not compared, for one of SHADOW_DROPS."""

    def batched(self, instances: int) -> None:
        """One forward pass answered so many instances, of one request or several."""

    def request_began(self) -> None:
        """A request entered the server."""

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the path template."""
