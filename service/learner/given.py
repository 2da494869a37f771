"""A model that was pre-trained elsewhere, ``train.model.weights``: the first checkpoint, or where training begins."""

from dataclasses import replace

from service.drift.reference import Reference
from service.learner.candidate import Candidate
from service.learner.encoding import encoder_of
from service.learner.learner import Learner
from service.learner.roles import LEAD, Standing
from service.model.encoder import Encoder
from service.model.features import FeatureColumns
from service.model.learned import LearnedModel
from service.model.normaliser import Normaliser
from service.model.trial import Weights, given_weights
from service.records import Examples
from service.train.round import Round
from service.validate.gate import PROMOTE, Decision

TRIGGER = "weights"
"""What a manifest names in the place of a trigger's reason."""


def stand_on_weights(learner: Learner, checkpoint_id: str) -> str | None:
    """Make the given weights the champion of a learner without a model; return their id, None where none are given."""
    candidate = first_candidate(learner)
    if candidate is None:
        return None
    learner.stand(Standing(checkpoint_id, candidate.model, candidate.reference))
    return checkpoint_id


def begin_from_weights(learner: Learner) -> None:
    """Let all challengers of a learner that has no model yet begin from the given weights, if there are any."""
    found = _weights(learner)
    if found is not None:
        lineages = learner.portfolio.lineages
        learner.portfolio.lineages = {name: replace(one, weights=found[1]) for name, one in lineages.items()}


def first_candidate(learner: Learner) -> Candidate | None:
    """Return the given weights as a candidate for the first checkpoint, None where none are given.

    It has learnt from no event of the stream, and so it knows neither scales nor what its training data looked like.
    Raises ConfigurationError when the weights do not fit.
    """
    found = _weights(learner)
    if found is None:
        return None
    encoder, weights = found
    nothing = Examples.empty(learner.columns.width, len(learner.columns.categorical))
    given = Round(
        number=0,
        seed=learner.settings.train.seed,
        trigger=TRIGGER,
        parent=None,
        encoder=encoder,
        settings=learner.settings.train,
        window=nothing,
        replay=nothing,
        recent=nothing,
        challengers=learner.portfolio.challengers()[:1],
        anchor=(),
        data=(),
        trained_until_ms=0,
        fresh=0,
        since_jump=0,
    )
    model = LearnedModel.of_members(encoder, [weights])
    statistics = Normaliser.from_arrays(learner.statistics.to_arrays())
    return Candidate(
        given, Decision(PROMOTE, "first_checkpoint", LEAD), model, _unknown(learner.columns), statistics, {}
    )


def _unknown(columns: FeatureColumns) -> Reference:
    """Return the reference of a model whose training data nobody has seen: nothing is compared with it."""
    numeric, categorical = columns.watched, columns.categorical
    nothing: dict[str, list[float]] = {name: [] for name in numeric + categorical}
    codes: dict[str, dict[str, list[int]]] = {name: {"common": [], "seen": []} for name in categorical}
    known = {"rows": 0, "numeric": numeric, "categorical": categorical}
    return Reference.from_json(known | {"edges": nothing, "shares": nothing, "codes": codes})


def _weights(learner: Learner) -> tuple[Encoder, Weights] | None:
    path = learner.settings.train.model.weights
    if path is None:
        return None
    learner.labels.fix()
    encoder = encoder_of(
        learner.settings, learner.labels, learner.categories, learner.statistics.means, learner.statistics.scales
    )
    return encoder, given_weights(encoder, path)
