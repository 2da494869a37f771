"""The learner: scores events as they come, keeps them, begins rounds, and judges what they bring."""

from collections.abc import Sequence

from service.drift.monitor import DriftMonitor
from service.learner.candidate import Candidate
from service.learner.drift import outputs_of, reference_of, watch
from service.learner.fates import Moment
from service.learner.judging import former_of, judge
from service.learner.parts import Parts
from service.learner.roles import LEAD, Standing
from service.learner.runs import heldout_fates
from service.learner.spans import data_of, spans_behind
from service.learner.speculation import Speculation
from service.model.asked import Asked
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.observer import MODEL_ROLES, Observer
from service.records import Examples, FloatArray, IntArray, Partition, Scores
from service.settings import BINARY_CLASSES, Settings
from service.train.round import Outcome, Round
from service.trigger.policy import NEW_CONCEPT
from service.validate.gate import PROMOTE, REJECT, ROLLBACK, Decision, judged, withheld
from service.window.baseline import Baseline
from service.window.prequential import Prequential


class Learner(Parts):
    """The state that learns, owned by one thread. Whoever drives it brings events, a clock and the training.

    A round is begun (``begin_round``), trained elsewhere, and concluded (``conclude``, or ``abandon`` when it
    failed); a candidate that passed is adopted (``adopt``) once it is published. Meanwhile events go on arriving.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        super().__init__(settings, observer)
        self.categories = Categories(settings.schema_.categorical, settings.train.model.max_categories)
        self.labels = Labels.of(settings)
        self.prequential = Prequential(settings.window.events)
        self.baseline = Baseline(settings.task)
        self.speculation = Speculation(settings, observer)
        self.drift_monitor = DriftMonitor(settings)
        self._learning = 0

    def take_in(self, source: Partition, offsets: IntArray, refused: Sequence[int], arrived: Examples) -> None:
        """Take in a partition's next records: the accepted ones as examples, and which rows were ``refused``.

        ``offsets`` [n] int64 ascending; rows and examples add up to n.
        """
        heldout = self.holdings.heldout(arrived)
        undone = self.absorb(arrived)
        fates = heldout_fates(refused, heldout, len(offsets), undone)
        stamps = arrived.timestamps_ms[undone:][~heldout[undone:]]
        self.fates.add(source, self.positions.get(source), offsets, fates, stamps)
        self.advance(source, int(offsets[0]), int(offsets[-1]) + 1, len(refused))

    def reversible_to(self) -> Moment | None:
        """Return the earliest moment that learning may go back to, None if what is learnt is learnt."""
        return self.speculation.reversible_to(self.counts["accepted"])

    def absorb(self, arrived: Examples) -> int:
        """Score accepted events by every model, then let them into the window or the held-out slices.

        Returns how many of them, the first ones, were not let in: they and what came before turned out to be noise.
        """
        if not len(arrived):
            return 0
        roles, members_losses = self._score(arrived)
        changes = self.changes
        undone = self.speculation.look(self, arrived, roles)
        if self.changes == changes:  # else the learners that predicted are gone
            self._weigh(roles, members_losses)
        losses = self._judged(roles.get("champion", roles["baseline"]))
        self.admit(arrived.take(slice(undone, None)), losses[undone:])
        self.counts["accepted"] += len(arrived)
        return undone

    def due(self, now_seconds: float) -> str | None:
        """Return the reason to begin a round now, or None; ``now_seconds`` is of the driver's steady clock."""
        if self._in_flight is not None or not self.holdings.sizes[0]:
            return None
        if self.settings.task != "regression" and len(self.labels) < BINARY_CLASSES:
            return None
        return self.triggers.due(
            now_seconds,
            new_events=self.new_events,
            alarms=self.drift_monitor.since_round,
            first=self.roles.champion is None,
            window_full=self.settings.window.overflow == "wait" and not self.room,
        )

    def start_clock(self, now_seconds: float) -> None:
        """Count elapsed time from now."""
        self.triggers.start(now_seconds)

    def begin_round(self, reason: str, now_seconds: float) -> Round:
        """Return the inputs of the next round."""
        self.labels.fix()
        self.counts["rounds"] += 1
        number = self.counts["rounds"]
        roles, window = self.roles, self.holdings.window()
        self.triggers.began(reason, now_seconds, first=roles.champion is None)
        given = Round(
            number=number,
            seed=(self.settings.train.seed * 1_000_003 + number * 101) % 2**31,
            trigger=reason,
            parent=roles.champion.checkpoint_id if roles.champion else None,
            encoder=self.scales.encoder(
                self.settings, self.labels, self.categories, self.statistics, window.numbers, self.counts["accepted"]
            ),
            settings=self.settings.train,
            window=window,
            replay=self.holdings.replay(),
            recent=self.holdings.recent(),
            challengers=self.portfolio.challengers(),
            anchor=roles.frozen.members if roles.frozen and self.settings.train.anchor else (),
            data=data_of(self.spans, self.positions),
            trained_until_ms=self.trained_until_ms,
            fresh=min(self.portfolio.fresh, len(window)),
            since_jump=max(self.portfolio.mixture.since_jump, 0),
        )
        self._learning = self.portfolio.fresh
        self.fates.round_began(len(given.window))
        statistics = Normaliser.from_arrays(self.statistics.to_arrays())
        # A round that a new concept brings is an extra one: those that are due anyway come as if there had been none.
        still_new = self.new_events if reason == NEW_CONCEPT else 0
        flight = given, statistics, self.new_events - still_new, dict(self.positions)
        self._in_flight, self.void_flight, self.new_events = flight, False, still_new
        self._rewound.clear()
        self.drift_monitor.round_began()
        self.speculation.round_began(number, self.counts["accepted"])
        self.observer.triggered(reason)
        return given

    def conclude(self, outcome: Outcome) -> tuple[Decision, Candidate | None]:
        """Judge what the round in flight brought; a candidate comes back when it is to be published."""
        given, self.judged = self.in_flight, None
        if self.void_flight:
            self._end_flight(outcome)
            return withheld(Decision(REJECT, "rolled_back", LEAD), "rolled_back"), None
        # All that can go wrong with what came back does so before anything has changed: `abandon` is still possible.
        after = self.portfolio.after(outcome, given.encoder)
        statistics, follows = self._end_flight(outcome)
        self.portfolio.learnt(*after, self._learning)
        self._restart([one.name for one in outcome.trained if one.training_loss is None])
        decision, outputs = judge(self)
        self.judged = self.portfolio.model
        self.evidence.end_round()
        self.portfolio.end_round()
        self.probation.end_round()
        if self.speculation.holds:
            self.speculation.round_judged()
            return withheld(decision, "suspected"), None
        self.triggers.decided(promoted=decision.decision == PROMOTE, reason=decision.reason)
        if decision.decision == REJECT:
            self._restart(list(self.portfolio.lineages) if decision.restart else self.portfolio.worse())
        self.speculation.remember(self)
        if decision.decision == REJECT:
            return decision, None
        if decision.decision == ROLLBACK:
            return decision, former_of(self.roles, self.positions, given, decision, statistics)
        if self.portfolio.model is None:
            raise RuntimeError("a challenger was promoted that was never trained")
        return decision, Candidate(
            given,
            decision,
            self.portfolio.model,
            reference_of(self.settings, self.columns, given.window),
            statistics,
            follows,
            outputs=outputs,
            newly_learnt=self.fates.newly_learnt(),
            after=self.fates.unserved.last,
        )

    def abandon(self, *, diverged: bool = False) -> None:
        """Give the round in flight up: its events count as new again, so that the next trigger comes soon.

        Lineages whose training ``diverged`` go on from the champion.
        """
        self.new_events += self.in_flight_events
        self.triggers.failed()
        self._in_flight = None
        self.changes += 1
        self.fates.round_ended(learnt=False)
        if diverged:
            self._restart(list(self.portfolio.lineages))

    def adopt(self, candidate: Candidate, checkpoint_id: str) -> None:
        """Make a published candidate the champion."""
        standing = Standing(checkpoint_id, candidate.model, candidate.reference, self.follows(candidate))
        if candidate.restores is not None:
            self.stand(standing)
            return
        self._crown(standing, candidate.outputs)
        self.fates.unserved.published(checkpoint_id)
        self.triggers.served()
        self.probation.begin()
        self.speculation.published(self, candidate.given.number)

    def stand(self, standing: Standing) -> None:
        """Make a checkpoint of somebody else's choice the champion; no round may be in flight.

        Its challengers go on from it: what came after it is not to be learnt from.
        """
        self._crown(standing)
        self.probation.end()
        self.spans = spans_behind(self.begins, standing.follows)
        self._restart(list(self.portfolio.lineages))
        self.speculation.chosen_by_hand(self)

    def _crown(self, standing: Standing, outputs: FloatArray | None = None) -> None:
        """What was learnt about challengers against the old champion is void."""
        self.roles.adopt(standing)
        outputs = outputs_of(standing.model, self.holdings) if outputs is None else outputs
        self.drift_monitor.follow(standing.reference, outputs)
        self.evidence.forget()
        self.triggers.crowned()
        self.spans.update(standing.follows)
        self.changes += 1

    def _score(self, arrived: Examples) -> tuple[dict[str, Scores], FloatArray | None]:
        """Return the scores of each role there is, and each lineage's losses [M, n] if the challenger is one."""
        asked = Asked(arrived)
        roles = self.roles.score(asked)
        roles["baseline"] = self.baseline.score(arrived.targets, len(self.labels))
        found, losses = self.portfolio.score(asked), None
        if found is not None and self.roles.champion is not None:
            roles["challenger"], losses = found
        self.observer.scored(arrived, roles)
        if self.roles.champion is not None:
            self.prequential.add({role: scores for role, scores in roles.items() if role in MODEL_ROLES})
            watch(self.drift_monitor, self.observer, arrived, roles["champion"], self.counts["accepted"])
            self.triggers.scored(self._judged(roles["champion"]))
            self.counts["predicted"] += len(arrived)
        return roles, losses

    def _weigh(self, roles: dict[str, Scores], members_losses: FloatArray | None) -> None:
        """Gather what speaks for and against the models that predicted arriving events."""
        champion = self.roles.champion
        if champion is not None and members_losses is not None:
            if not self.portfolio.is_of(champion.model):
                self.evidence.add(LEAD, self._judged(roles["challenger"]) - self._judged(roles["champion"]))
            self.portfolio.credit(roles["challenger"], members_losses, self._judged(roles["champion"]))
        if "previous" in roles and not self.speculation.holds:
            gains = self._judged(roles["previous"]) - self._judged(roles["champion"])
            self.probation.add(gains)
            self.triggers.compared(gains)

    def _judged(self, scores: Scores) -> FloatArray:
        return judged(self.settings.task, scores)

    def _restart(self, names: Sequence[str]) -> None:
        """Let lineages go on from the champion, and void what was learnt about their mixture."""
        if names and self.roles.champion is not None:
            self.portfolio.restart(names, self.roles.champion.model)
            self.evidence.forget(LEAD)

    def _end_flight(self, outcome: Outcome) -> tuple[Normaliser, dict[Partition, int]]:
        if self._in_flight is None:
            raise RuntimeError("no round is in flight")
        _, statistics, _, follows = self._in_flight
        self._in_flight = None
        self.changes += 1
        self.triggers.ended(outcome.cpu_seconds)
        self.observer.charged(outcome.cpu_seconds)
        self.fates.round_ended(learnt=True)
        return statistics, follows
