"""The learner: scores events as they come, keeps them, begins rounds, and judges what they bring."""

from collections.abc import Sequence

import numpy as np

from service.learner.candidate import Candidate
from service.learner.encoding import encoder_of
from service.learner.fates import Fates, Runs, heldout_fates
from service.learner.roles import LEAD, Roles, Standing, new_lineages
from service.learner.spans import data_of, spans_behind
from service.model.features import FeatureColumns
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.observer import Observer
from service.records import Examples, FloatArray, IntArray, Partition, Scores
from service.settings import BINARY_CLASSES, Settings
from service.train.round import Challenger, Outcome, Round
from service.trigger.policy import due
from service.validate.evidence import ForwardEvidence
from service.validate.gate import PROMOTE, ChallengerEvidence, Decision, SliceScores, decide, judged
from service.window.drift import Reference
from service.window.holdings import Holdings
from service.window.prequential import Prequential


class Learner:
    """The state that learns, owned by one thread. Whoever drives it brings events, a clock and the training.

    A round is begun (``begin_round``), trained elsewhere, and concluded (``conclude``, or ``abandon`` when it
    failed); a candidate that passed is adopted (``adopt``) once it is published. Meanwhile events go on arriving.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self.settings = settings
        self.observer = observer
        self.columns = FeatureColumns(settings.schema_)
        self.categories = Categories(settings.schema_.categorical, settings.train.model.max_categories)
        self.labels = Labels.of(settings)
        numbers, codes = len(self.columns.numbers), len(self.columns.categorical)
        self.holdings = Holdings(settings.window, numbers, codes, settings.train.seed)
        self.statistics = Normaliser(numbers + 1)
        self.prequential = Prequential(settings.window.events)
        self.evidence = ForwardEvidence(settings.gate.forward_rounds)
        self.roles = Roles(lineages=new_lineages(settings.train, settings.window.events))
        self.positions: dict[Partition, int] = {}
        self.spans: dict[Partition, int] = {}
        self.fates = Fates(settings.window.events)
        self.counts = {"accepted": 0, "refused": 0, "predicted": 0, "rounds": 0, "evicted_unlearnt": 0}
        self.outcomes = {"promoted": 0, "rejected": 0, "failed": 0}
        self.new_events = 0
        self.trained_until_ms = 0
        self.begins: dict[Partition, int] = {}
        self.topics: dict[str, str] = {}
        self.changes = 0
        self._rewound: set[Partition] = set()
        self._in_flight: tuple[Round, Normaliser, int, dict[Partition, int]] | None = None
        self._round_began = 0.0

    def take_in(self, source: Partition, offsets: IntArray, refused: Sequence[int], arrived: Examples) -> None:
        """Take in a partition's next records: the accepted ones as examples, and which rows were ``refused``.

        ``offsets`` [n] int64 ascending; rows and examples add up to n.
        """
        fates = heldout_fates(refused, self.holdings.heldout(arrived), len(offsets))
        self.fates.add(source, self.positions.get(source), offsets, fates)
        self.absorb(arrived)
        self.advance(source, int(offsets[0]), int(offsets[-1]) + 1, len(refused))

    def pass_over(self, source: Partition, first: int, last: int) -> None:
        """Note records that the log deleted before they could be read: they have no fate."""
        self.fates.gone(source, first, last)

    def rewind(self, source: Partition, first: int, last: int) -> None:
        """Go back to ``first``: offsets up to ``last`` were read once, and will be given to other records now."""
        self.fates.rewind(source, first, last)
        self.positions[source] = first
        self.spans[source] = min(first, self.spans.get(source, first))
        self.begins[source] = first
        self._rewound.add(source)

    def settle(self) -> tuple[list[Partition], Runs]:
        """Return the fates settled since the last call, for the ledger, with the partitions that they index."""
        before = self.fates.unlearnt
        settled = self.fates.drain()
        self.counts["evicted_unlearnt"] = self.fates.unlearnt
        self.observer.evicted_unlearnt(self.fates.unlearnt - before)
        return list(self.fates.partitions), settled

    def advance(self, source: Partition, first: int, following: int, refused: int) -> None:
        """Note that a partition's records ``first`` to ``following`` (excluded) were taken in, some refused."""
        self.begins.setdefault(source, first)
        self.spans.setdefault(source, first)
        self.positions[source] = following
        self.counts["refused"] += refused

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        """Go on with a partition at an offset: what lies before it is learnt already."""
        source = Partition(topic, partition)
        self.positions[source] = self.spans[source] = offset

    def absorb(self, arrived: Examples) -> None:
        """Score accepted events by every model, then let them into the window or the held-out slices."""
        if not len(arrived):
            return
        self._score(arrived)
        learnable = self.holdings.admit(arrived)
        self.statistics.update(_with_targets(learnable))
        self.counts["accepted"] += len(arrived)
        self.new_events += len(arrived)
        if len(learnable):
            self.trained_until_ms = max(self.trained_until_ms, int(learnable.timestamps_ms.max()))

    def due(self, now_seconds: float) -> str | None:
        """Return the reason to begin a round now, or None; ``now_seconds`` is of the driver's steady clock."""
        if self._in_flight is not None or not self.holdings.sizes[0]:
            return None
        if self.settings.task != "regression" and len(self.labels) < BINARY_CLASSES:
            return None
        since = now_seconds - self._round_began
        first = self.roles.champion is None
        full = self.settings.window.overflow == "wait" and not self.room
        return due(
            self.settings.trigger, new_events=self.new_events, seconds_since=since, first=first, window_full=full
        )

    @property
    def room(self) -> int:
        """How many learnable events the window can take before it loses one that no round has trained on."""
        return max(self.settings.window.events - self.fates.waiting, 0)

    def start_clock(self, now_seconds: float) -> None:
        """Count elapsed time from now."""
        self._round_began = now_seconds

    def begin_round(self, reason: str, now_seconds: float) -> Round:
        """Return the inputs of the next round."""
        self.labels.fix()
        self.counts["rounds"] += 1
        self._round_began = now_seconds
        number = self.counts["rounds"]
        roles = self.roles
        given = Round(
            number=number,
            seed=(self.settings.train.seed * 1_000_003 + number * 101) % 2**31,
            trigger=reason,
            parent=roles.champion.checkpoint_id if roles.champion else None,
            encoder=encoder_of(self.settings, self.labels, self.categories, self.statistics),
            settings=self.settings.train,
            window=self.holdings.window(),
            replay=self.holdings.replay(),
            recent=self.holdings.recent(),
            challengers=tuple(
                Challenger(name, one.recipe, one.weights, one.moments) for name, one in roles.lineages.items()
            ),
            anchor=roles.frozen.model.weights() if roles.frozen else None,
            data=data_of(self.spans, self.positions),
            trained_until_ms=self.trained_until_ms,
        )
        self.fates.round_began(len(given.window))
        statistics = Normaliser.from_arrays(self.statistics.to_arrays())
        self._in_flight = (given, statistics, self.new_events, dict(self.positions))
        self.new_events = 0
        self._rewound.clear()
        self.observer.triggered(reason)
        return given

    def conclude(self, outcome: Outcome) -> tuple[Decision, Candidate | None]:
        """Judge what the round in flight brought; a candidate comes back when it is to be published."""
        given = self.in_flight
        lineages = self.roles.lineages
        # All that can go wrong with what came back does so before anything has changed: `abandon` is still possible.
        after = {one.name: lineages[one.name].after(one, given.encoder) for one in outcome.trained}
        statistics, follows = self._end_flight()
        lineages |= after
        decision = self._judge()
        self.evidence.end_round()
        if decision.decision != PROMOTE:
            self._restart_lineages(decision.restart)
            return decision, None
        chosen = self.roles.lineages[decision.challenger or LEAD]
        if chosen.model is None:
            raise RuntimeError("a decision named a challenger that was never trained")
        reference = Reference.of(self.columns.numbers, given.window.numbers)
        return decision, Candidate(given, decision, chosen.model, reference, statistics, follows)

    def abandon(self, *, diverged: bool = False) -> None:
        """Give the round in flight up: its events count as new again, so that the next trigger comes soon.

        Lineages whose training ``diverged`` go on from the champion.
        """
        self.new_events += self.in_flight_events
        self._in_flight = None
        self.changes += 1
        self.fates.round_ended(learnt=False)
        if diverged:
            self._restart_lineages(tuple(self.roles.lineages))

    def adopt(self, candidate: Candidate, checkpoint_id: str) -> None:
        """Make a published candidate the champion."""
        self._crown(Standing(checkpoint_id, candidate.model, candidate.reference, self.follows(candidate)))

    def follows(self, candidate: Candidate) -> dict[Partition, int]:
        """Return where each partition goes on behind a candidate; not of one that was rewound since it was trained."""
        return {source: offset for source, offset in candidate.follows.items() if source not in self._rewound}

    def stand(self, standing: Standing) -> None:
        """Make a checkpoint of somebody else's choice the champion; no round may be in flight.

        Its challengers go on from it: what came after it is not to be learnt from.
        """
        self._crown(standing)
        self.spans = spans_behind(self.begins, standing.follows)
        self._restart_lineages(tuple(self.roles.lineages))

    def _crown(self, standing: Standing) -> None:
        """What was learnt about challengers against the old champion is void."""
        self.roles.adopt(standing)
        self.evidence.forget()
        self.spans.update(standing.follows)
        self.changes += 1

    @property
    def in_flight(self) -> Round:
        """The round that was begun and not yet concluded; RuntimeError if there is none."""
        if self._in_flight is None:
            raise RuntimeError("no round is in flight")
        return self._in_flight[0]

    @property
    def in_flight_events(self) -> int:
        """How many of the accepted events were new when the round in flight began."""
        return self._in_flight[2] if self._in_flight else 0

    def drift(self) -> dict[str, float]:
        """Return the population stability index of each numeric feature against the champion's training data."""
        if self.roles.champion is None:
            return {}
        return self.roles.champion.reference.psi(self.holdings.window().numbers)

    def _score(self, arrived: Examples) -> None:
        roles, challengers = self.roles.score(arrived)
        if "champion" not in roles:
            return
        serving = judged(self.settings.task, roles["champion"])
        champion = self.roles.champion
        for name, scores in challengers.items():
            if champion is not None and self.roles.lineages[name].model is not champion.model:
                self.evidence.add(name, judged(self.settings.task, scores) - serving)
        if LEAD in challengers:
            roles["challenger"] = challengers[LEAD]
        self.prequential.add(roles)
        self.counts["predicted"] += len(arrived)
        self.observer.scored(arrived, roles)

    def _judge(self) -> Decision:
        champion = self.roles.champion
        if champion is None:
            return Decision(PROMOTE, "first_checkpoint", LEAD)
        slices = {"recent": self.holdings.recent(), "memory": self.holdings.memory()}
        serving = {name: champion.model.score(held) for name, held in slices.items()}
        evidence = {}
        for name, lineage in self.roles.lineages.items():
            if lineage.model is None:
                continue
            scored = {
                part: SliceScores(lineage.model.score(held), serving[part], held.targets)
                for part, held in slices.items()
            }
            evidence[name] = ChallengerEvidence(self.evidence.sums(name), scored["recent"], scored["memory"])
            for part, scores in scored.items():
                self._tell_slice(part, scores.candidate, scores.serving)
        return decide(self.settings.gate, self.settings.task, evidence)

    def _tell_slice(self, part: str, candidate: Scores, serving: Scores) -> None:
        if len(candidate):
            self.observer.validated(part, "challenger", float(candidate.losses.mean()))
            self.observer.validated(part, "champion", float(serving.losses.mean()))

    def _restart_lineages(self, names: tuple[str, ...]) -> None:
        for name in names:
            if self.roles.champion is not None:
                self.roles.lineages[name] = self.roles.lineages[name].restarted(self.roles.champion.model)
                self.evidence.forget(name)

    def _end_flight(self) -> tuple[Normaliser, dict[Partition, int]]:
        if self._in_flight is None:
            raise RuntimeError("no round is in flight")
        _, statistics, _, follows = self._in_flight
        self._in_flight = None
        self.changes += 1
        self.fates.round_ended(learnt=True)
        return statistics, follows


def _with_targets(examples: Examples) -> FloatArray:
    return np.column_stack([examples.numbers, examples.targets])
