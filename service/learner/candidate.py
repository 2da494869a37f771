"""What a round brought and the gate let pass: all that a checkpoint is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.drift.reference import Reference
from service.model.learned import LearnedModel
from service.model.normaliser import Normaliser
from service.records import FloatArray, Partition
from service.store.event_times import NO_TIMES, EventTimes
from service.train.round import Round
from service.validate.gate import Decision


@dataclass(frozen=True)
class Candidate:
    """What a round brought and the gate let pass, ready to be published.

    ``follows`` tells, by partition, the offset after the last that it and its ancestors have learnt from. ``restores``
    is the former checkpoint that is published anew, with a rollback. ``outputs`` [n] are its predictions of the newest
    held-out events, None where it has not been asked. ``newly_learnt`` are the times of the events that nothing
    published has learnt from before; ``after`` is the checkpoint that was published last.
    """

    given: Round
    decision: Decision
    model: LearnedModel
    reference: Reference
    normaliser: Normaliser
    follows: Mapping[Partition, int]
    restores: str | None = None
    outputs: FloatArray | None = None
    newly_learnt: EventTimes = NO_TIMES
    after: str | None = None

    def encoder_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside its weights, as plain values."""
        statistics = {name: array.tolist() for name, array in self.normaliser.to_arrays().items()}
        return self.model.encoder.to_json() | {"reference": self.reference.to_json(), "statistics": statistics}
