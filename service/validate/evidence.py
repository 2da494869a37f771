"""Forward evidence: what serving model and challengers predicted of arriving events, paired, before any was learnt."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from service.records import FloatArray


@dataclass(frozen=True, slots=True)
class PairedSums:
    """Sums over n paired differences, challenger's loss minus serving model's: below zero the challenger is better."""

    events: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, differences: FloatArray) -> "PairedSums":
        """Return the sums of n differences."""
        return cls(len(differences), float(differences.sum()), float((differences**2).sum()))

    def to_json(self) -> dict[str, Any]:
        """Return the sums as plain values, by their names."""
        return {"events": self.events, "total": self.total, "squares": self.squares}

    def __add__(self, other: "PairedSums") -> "PairedSums":
        return PairedSums(self.events + other.events, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean difference; NaN without events."""
        return self.total / self.events if self.events else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the mean difference; NaN below two events."""
        if self.events < 2:  # noqa: PLR2004 - a variance needs two
            return math.nan
        variance = max(0.0, self.squares - self.total**2 / self.events) / (self.events - 1)
        return math.sqrt(variance / self.events)

    def lower_bound(self, alpha: float) -> float:
        """One-sided lower bound of the mean difference at level ``alpha``; NaN below two events."""
        return self.mean + NormalDist().inv_cdf(alpha) * self.standard_error


def provably_worse(sums: PairedSums, alpha: float) -> bool:
    """Tell whether the mean difference is above zero beyond chance, by a one-sided paired test at level ``alpha``."""
    # Written so that a NaN, which a broken candidate scores, counts as worse.
    return not sums.lower_bound(alpha) <= 0


def provably_better(sums: PairedSums, alpha: float) -> bool:
    """Tell whether the mean difference is below zero beyond chance, by a one-sided paired test at level ``alpha``."""
    return sums.mean < NormalDist().inv_cdf(alpha) * sums.standard_error


class Probation:
    """How the predecessor of the serving model predicts what arrives since the promotion, for so many ``rounds``.

    ``sums`` are over the predecessor's loss minus the serving model's: below zero the predecessor is better. ``heard``
    is whether what held-out events object to counts, ``objected`` whether they did to what was judged last.
    """

    def __init__(self, rounds: int) -> None:
        self.sums = PairedSums()
        self._rounds = rounds
        self._left = 0
        self.heard, self.objected = True, False

    def weigh(self, forward: PairedSums, least_events: int, alpha: float) -> None:
        """Learn whether the last objection was right from what arrived since.

        By how the challenger did that it held back (``forward``), else by how the model does that went out in spite of
        it: unless that is better than its predecessor, the next objection is heard.
        """
        if not self.objected:
            return
        if forward.events >= least_events:
            self.heard = (self.heard and not provably_better(forward, alpha)) or provably_worse(forward, alpha)
        elif self.sums.events >= least_events and not self.sums.mean > 0:
            self.heard = True

    @property
    def runs(self) -> bool:
        """Whether the predecessor is watched."""
        return self._left > 0

    def begin(self) -> None:
        """Watch the model that has just been replaced."""
        self.sums, self._left = PairedSums(), self._rounds

    def end(self) -> None:
        """Watch no model any more."""
        self.sums, self._left = PairedSums(), 0

    def add(self, differences: FloatArray) -> None:
        """Add arriving events, if a model is watched."""
        if self.runs:
            self.sums += PairedSums.of(differences)

    def end_round(self) -> None:
        """Note that a round has ended."""
        self._left -= 1
        if self._left <= 0:
            self.end()

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        told = {"heard": self.heard, "objected": self.objected}
        return {"left": self._left, "sums": self.sums.to_json(), **told}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], rounds: int) -> "Probation":
        """Return the probation that ``to_json`` described."""
        made = cls(rounds)
        made._left, made.sums = min(int(value["left"]), rounds), PairedSums(**value["sums"])
        made.heard, made.objected = bool(value.get("heard", True)), bool(value.get("objected", False))
        return made


class ForwardEvidence:
    """Paired sums by challenger and round, for the newest ``rounds`` rounds since the serving model last changed.

    A block in which a challenger had the serving model's own weights is no evidence and is not counted.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._blocks: dict[str, deque[PairedSums]] = {}

    def add(self, challenger: str, differences: FloatArray) -> None:
        """Add arriving events to a challenger's current block."""
        blocks = self._blocks.setdefault(challenger, deque([PairedSums()], maxlen=self._rounds))
        blocks[-1] += PairedSums.of(differences)

    def end_round(self) -> None:
        """Begin a new block for every challenger: its weights are about to change."""
        for blocks in self._blocks.values():
            if blocks[-1].events:
                blocks.append(PairedSums())

    def forget(self, challenger: str | None = None) -> None:
        """Drop a challenger's evidence, or all of it: it was about another serving model or other weights."""
        if challenger is None:
            self._blocks.clear()
        else:
            self._blocks.pop(challenger, None)

    def sums(self, challenger: str) -> PairedSums:
        """Return a challenger's sums over all blocks held."""
        return sum(self._blocks.get(challenger, ()), PairedSums())

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return what ``from_json`` needs, as plain values."""
        return {name: [block.to_json() for block in blocks] for name, blocks in self._blocks.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[Mapping[str, Any]]], rounds: int) -> "ForwardEvidence":
        """Return the evidence that ``to_json`` described."""
        made = cls(rounds)
        for name, blocks in value.items():
            made._blocks[name] = deque((PairedSums(**block) for block in blocks), maxlen=rounds)
        return made
