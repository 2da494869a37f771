"""What learns in a learner, and what judges it: the part of it that speculation takes back."""

import numpy as np

from service.learner.encoding import Scales
from service.learner.portfolio import Portfolio
from service.learner.roles import Roles
from service.learner.whereabouts import Whereabouts
from service.model.features import FeatureColumns
from service.model.learned import LearnedModel
from service.model.normaliser import Normaliser
from service.observer import Observer
from service.records import Examples, FloatArray, Partition
from service.settings import Settings
from service.train.round import Round
from service.trigger.watch import Watch
from service.validate.evidence import ForwardEvidence, Probation
from service.window.holdings import Holdings

Flight = tuple[Round, Normaliser, int, dict[Partition, int]]
"""A round in flight, and as they were when it began: the statistics, how many events were new, the positions."""


class Parts(Whereabouts):
    """What events leave behind in a learner, the models in their roles, and what speaks for and against them.

    ``outcomes`` counts rounds by how they ended, ``changes`` how often what learns or serves has changed;
    ``void_flight`` tells that the round in flight, if any, trains on what was rolled back: it counts for nothing.
    ``judged`` is what the last round brought before the gate, None if it counted for nothing.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        super().__init__(settings, observer)
        self.columns = FeatureColumns(settings.schema_)
        width, codes = self.columns.width, len(self.columns.categorical)
        self.holdings = Holdings(settings.window, width, codes, settings.train.seed)
        self.statistics = Normaliser(width + 1)
        self.scales = Scales()
        self.evidence = ForwardEvidence(settings.gate.forward_rounds)
        self.probation = Probation(settings.gate.previous_rounds)
        self.portfolio = Portfolio(settings)
        self.triggers = Watch(settings.trigger, settings.window.events)
        self.roles = Roles()
        self.outcomes = {"promoted": 0, "rejected": 0, "failed": 0, "rolled_back": 0}
        self.new_events = 0
        self.trained_until_ms = 0
        self.changes = 0
        self.void_flight = False
        self.judged: LearnedModel | None = None
        self._in_flight: Flight | None = None

    def admit(self, arrived: Examples, losses: FloatArray) -> None:
        """Let accepted events into the window or the held-out slices; ``losses`` [n] are the serving model's."""
        if not len(arrived):
            return
        learnable = self.holdings.admit(arrived, losses)
        self.triggers.took_in(len(learnable))
        self.portfolio.admitted(len(learnable))
        self.statistics.update(np.column_stack([learnable.numbers, learnable.targets]))
        self.new_events += len(arrived)
        if len(learnable):
            self.trained_until_ms = max(self.trained_until_ms, int(learnable.timestamps_ms.max()))

    @property
    def in_flight(self) -> Round:
        """The round that was begun and not yet concluded; RuntimeError if there is none."""
        if self._in_flight is None:
            raise RuntimeError("no round is in flight")
        return self._in_flight[0]

    @property
    def in_flight_events(self) -> int:
        """How many of the accepted events were new when the round in flight began."""
        return self._in_flight[2] if self._in_flight and not self.void_flight else 0
