"""The challengers: lineages that differ in how fast they forget, and the mixture in which they predict together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from service.learner.mixture import Mixture
from service.model.asked import Asked
from service.model.encoder import Encoder
from service.model.ensemble import Shape
from service.model.learned import LearnedModel
from service.model.members import Weights
from service.records import FloatArray, Scores
from service.settings import Member, Settings
from service.train.round import Arrays, Challenger, Outcome, below, under
from service.validate.evidence import ForwardEvidence


@dataclass(frozen=True)
class Lineage:
    """A challenger as its last round left it; without weights it has not been trained yet."""

    recipe: Member
    weights: Weights | None = None
    moments: Arrays = field(default_factory=dict)


class Portfolio:
    """M lineages, continued from round to round, and the mixture in which they predict."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.train
        self._gate = settings.gate
        self.lineages = {name: Lineage(recipe) for name, recipe in recipes_of(settings).items()}
        self.model: LearnedModel | None = None
        self._encoder: Encoder | None = None
        self.fresh = 0
        quick = [one.recipe.since_jump for one in self.lineages.values()]
        self.mixture = Mixture(
            settings.train, quick, settings.window.holdout_share, binary=settings.task != "regression"
        )
        self._evidence = ForwardEvidence(self._gate.forward_rounds)

    @property
    def shares(self) -> FloatArray:
        """Each lineage's share in the mixture [M]."""
        return self.mixture.shares

    def by_name(self) -> dict[str, float]:
        """Return each lineage's share by its name."""
        return dict(zip(self.lineages, self.shares.tolist(), strict=True))

    def challengers(self) -> tuple[Challenger, ...]:
        """Return what a round is to train."""
        return tuple(Challenger(name, one.recipe, one.weights, one.moments) for name, one in self.lineages.items())

    def score(self, arrived: Asked) -> tuple[Scores, FloatArray] | None:
        """Score arriving examples by the mixture and by each lineage, None before there is a model; learns nothing."""
        return self.model.score_members(arrived) if self.model is not None else None

    def is_of(self, model: LearnedModel) -> bool:
        """Whether a model has the very networks of this portfolio."""
        return self.model is not None and self.model.network is model.network

    def credit(self, scores: Scores, losses: FloatArray, serving: FloatArray) -> None:
        """Take note of how the mixture and each lineage predicted arriving events ([n] and [M, n]).

        ``serving`` [n] are the serving model's losses on them.
        """
        self.mixture.credit(scores.errors, losses)
        if self._settings.restart_nats is not None:
            for name, own in zip(self.lineages, losses, strict=True):
                self._evidence.add(name, own - serving)
        if self.model is not None:
            self.model = self.model.mixed(self.shares)

    def admitted(self, learnable: int) -> None:
        """Take note that so many events, newer than all before, may be learnt from."""
        self.fresh += learnable
        self.mixture.admitted(learnable)

    def after(self, outcome: Outcome, encoder: Encoder) -> tuple[dict[str, Lineage], LearnedModel]:
        """Return the lineages as a round has left them, and their networks.

        Raises ValueError or KeyError when they do not fit.
        """
        after = {one.name: Lineage(self.lineages[one.name].recipe, one.weights, one.moments) for one in outcome.trained}
        if after.keys() != self.lineages.keys():
            raise ValueError(f"the round trained {sorted(after)}, the portfolio is {sorted(self.lineages)}")
        ordered = {name: after[name] for name in self.lineages}
        return ordered, LearnedModel.of_members(encoder, [_weights(one) for one in ordered.values()])

    def learnt(self, lineages: dict[str, Lineage], model: LearnedModel, fresh: int) -> None:
        """Go on from what ``after`` returned, for a round that has learnt so many new events."""
        self.lineages, self._encoder = lineages, model.encoder
        self.model = model.mixed(self.shares)
        self.fresh = max(self.fresh - fresh, 0)

    def _go_on(self, encoder: Encoder) -> None:
        """Predict by the lineages' weights as they are."""
        self._encoder = encoder
        if all(one.weights is not None for one in self.lineages.values()):
            members = [_weights(one) for one in self.lineages.values()]
            self.model = LearnedModel.of_members(encoder, members, self.shares)
        else:
            self.model = None  # until the next round has trained all of them

    def end_round(self) -> None:
        """Begin a new block of evidence: the weights have changed."""
        self._evidence.end_round()

    def worse(self) -> tuple[str, ...]:
        """Return which lineages are provably, and by more than is tolerated, worse than the serving model."""
        tolerated = self._settings.restart_nats
        if tolerated is None:
            return ()
        found = {name: self._evidence.sums(name) for name in self.lineages}
        return tuple(
            name
            for name, sums in found.items()
            if sums.events >= self._gate.min_forward_events and sums.lower_bound(self._gate.alpha) > tolerated
        )

    def restart(self, names: Sequence[str], champion: LearnedModel) -> None:
        """Let lineages go on from the serving weights (the exploit step of Jaderberg et al. 2017), and forget theirs.

        A lineage takes the champion's member of its own place when all restart, else the one with the largest share
        among those of its architecture; where the champion has none such, it begins from chance.
        """
        members = champion.network.members()
        shapes = [Shape.of_weights(weights) for weights in members]
        own = [Shape.of(one.recipe) for one in self.lineages.values()]
        everyone = len(names) == len(self.lineages) and (shapes == own or champion.encoder.network.module is not None)
        for index, name in enumerate(self.lineages):
            if name not in names:
                continue
            alike = [place for place, shape in enumerate(shapes) if shape == own[index]]
            best = index if everyone else max(alike, key=lambda place: float(champion.shares[place]), default=None)
            self.lineages[name] = Lineage(self.lineages[name].recipe, None if best is None else members[best])
            self._evidence.forget(name)
        if not everyone:
            self._go_on(self._encoder or champion.encoder)
            return
        self.mixture.follow(champion.shares)
        self.model, self._encoder = champion.mixed(self.shares), champion.encoder

    def forget(self) -> None:
        """Drop all evidence against the serving model: it is another one now."""
        self._evidence.forget()

    def capture(self, champion: LearnedModel | None) -> tuple[Arrays, dict[str, Any]]:
        """Return all as arrays and plain values, for ``restore``; ``champion`` is the one that will be there then."""
        arrays: Arrays = {}
        for name, lineage in self.lineages.items():
            arrays |= under(f"weights/{name}", lineage.weights or {}) | under(f"moments/{name}", lineage.moments)
        encoder = self._encoder.to_json() if self._encoder else None
        same = champion is not None and self.is_of(champion)
        return arrays, {
            "encoder": encoder,
            "mixture": self.mixture.to_json(list(self.lineages)),
            "fresh": self.fresh,
            "evidence": self._evidence.to_json(),
            "is_champion": same,
        }

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], saved: Mapping[str, Any], champion: LearnedModel | None
    ) -> None:
        """Go on from what was captured; a lineage that was not there goes on from the champion.

        Raises ValueError or KeyError when the weights do not fit.
        """
        self.fresh = int(saved["fresh"])
        self.mixture.restore(saved["mixture"], list(self.lineages))
        if saved["encoder"] is None:
            return
        encoder = Encoder.from_json(saved["encoder"])
        found = {}
        for name, lineage in self.lineages.items():
            weights = below(f"weights/{name}", arrays)
            if weights:
                found[name] = Lineage(lineage.recipe, weights, below(f"moments/{name}", arrays))
        missing = [name for name in self.lineages if name not in found]
        self._evidence = ForwardEvidence.from_json(saved["evidence"], self._gate.forward_rounds)
        self.lineages |= found
        if missing and champion is None:
            raise ValueError(f"there are no weights for {', '.join(missing)}, and no champion to take them from")
        self._encoder = encoder
        if missing and champion is not None:
            self.restart(missing, champion)
        elif saved["is_champion"] and champion is not None:
            self.model, self._encoder = champion.mixed(self.shares), encoder
        else:
            self._go_on(encoder)


def recipes_of(settings: Settings) -> dict[str, Member]:
    """Return each challenger's recipe by its name, which tells the recipe."""
    recipes: dict[str, Member] = {}
    for recipe in settings.train.members(settings.window.events, settings.task):
        name = recipe.name
        while name in recipes:
            name += "'"
        recipes[name] = recipe
    return recipes


def _weights(lineage: Lineage) -> Weights:
    if lineage.weights is None:
        raise ValueError("a lineage was never trained")
    return lineage.weights
