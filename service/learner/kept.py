"""The learners' state at one moment, kept aside: what learning goes back to when events turn out to be noise.

It is what events leave behind in a learner, less what is only told about them: scores, counters, positions, the
vocabulary and the guesses of the baseline go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from service.learner.encoding import Scales
from service.learner.fates import Moment
from service.learner.parts import Parts
from service.model.normaliser import Normaliser
from service.train.round import Arrays, below, under
from service.validate.evidence import ForwardEvidence, Probation

Part = tuple[Arrays, dict[str, Any]]
PARTS = ("holdings", "portfolio")


@dataclass(frozen=True)
class Kept:
    """What events had left behind in the learners once so many were ``accepted``.

    ``champion`` is the checkpoint that served then: evidence is about it. ``holdings`` and ``portfolio`` are as their
    snapshots are.
    """

    accepted: int
    champion: str | None
    moment: Moment
    new_events: int
    trained_until_ms: int
    holdings: Part
    portfolio: Part
    statistics: Mapping[str, NDArray[Any]]
    scales: Mapping[str, NDArray[Any]]
    evidence: Mapping[str, Any]
    probation: Mapping[str, Any]

    @classmethod
    def of(cls, learner: Parts, holdings: Part | None = None) -> "Kept":
        """Return the present state of a learner, copied; ``holdings`` if they are known and have not changed since."""
        champion = learner.roles.champion
        return cls(
            accepted=learner.counts["accepted"],
            champion=champion.checkpoint_id if champion else None,
            moment=learner.fates.now(),
            new_events=learner.new_events + learner.in_flight_events,
            trained_until_ms=learner.trained_until_ms,
            holdings=holdings or learner.holdings.snapshot(),
            portfolio=learner.portfolio.capture(champion.model if champion else None),
            statistics=learner.statistics.to_arrays(),
            scales=learner.scales.to_arrays(),
            evidence=learner.evidence.to_json(),
            probation=learner.probation.to_json(),
        )

    def restarted(self, learner: Parts) -> "Kept":
        """Return the state with the lineages that a learner has now, all of them the champion's."""
        champion = learner.roles.champion
        return replace(
            self,
            champion=champion.checkpoint_id if champion else None,
            portfolio=learner.portfolio.capture(champion.model if champion else None),
            evidence=learner.evidence.to_json(),
            probation=learner.probation.to_json(),
        )

    def put_back(self, learner: Parts, again: int = 0) -> None:
        """Let a learner go on from here; a round in flight is void. What was admitted since is rolled back.

        Of the newest ``again`` of these events the fates stay as they are: the caller admits them anew.
        """
        champion = learner.roles.champion
        same = champion is not None and champion.checkpoint_id == self.champion
        learner.holdings = learner.holdings.emptied()
        learner.holdings.restore(*self.holdings)
        learner.statistics = Normaliser.from_arrays(dict(self.statistics))
        learner.scales = Scales.from_arrays(self.scales)
        arrays, lineages = self.portfolio
        known = lineages if same else lineages | {"is_champion": False}
        learner.portfolio.restore(arrays, known, champion.model if champion else None)
        gate = learner.settings.gate
        if same:
            learner.evidence = ForwardEvidence.from_json(self.evidence, gate.forward_rounds)
            learner.probation = Probation.from_json(self.probation, gate.previous_rounds)
        else:  # it is about a model that serves no more
            learner.evidence.forget()
            learner.portfolio.forget()
            learner.probation.end()
        learner.new_events, learner.trained_until_ms = self.new_events, self.trained_until_ms
        learner.fates.roll_back(self.moment, again)
        learner.triggers.rolled_back()
        learner.void_flight = True
        learner.changes += 1

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all as arrays and plain values, for ``restored``."""
        arrays = under("statistics", self.statistics) | under("scales", self.scales)
        meta: dict[str, Any] = {**vars(self), "moment": vars(self.moment)}
        del meta["statistics"], meta["scales"]
        for part in PARTS:
            columns, meta[part] = meta[part]
            arrays |= under(part, columns)
        return arrays, meta

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> "Kept":
        """Return the state that ``capture`` described."""
        parts = {part: (below(part, arrays), meta[part]) for part in PARTS}
        moment = Moment(**meta["moment"])
        tables = {name: below(name, arrays) for name in ("statistics", "scales")}
        return cls(**{**meta, **parts, **tables, "moment": moment})
