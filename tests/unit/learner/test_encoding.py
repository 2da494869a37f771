"""How events become inputs changes as seldom as it can."""

import numpy as np

from service.learner.encoding import RENEWED_EVENTS, Scales
from service.model.encoder import Encoder
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from tests.examples import settings_of


def test_neighbouring_rounds_have_the_very_same_encoder() -> None:
    """Until there is a new category, or scales are due to be taken anew."""
    settings = settings_of(schema={"numeric": ["a"], "categorical": ["c"], "labels": ["no", "yes"]})
    scales, categories, labels = Scales(), Categories(("c",), 10), Labels.of(settings)
    statistics, numbers = Normaliser(2), np.arange(10.0)[:, None]

    def at(events: int) -> Encoder:
        return scales.encoder(settings, labels, categories, statistics, numbers, events)

    first = at(RENEWED_EVENTS * 10)
    assert at(RENEWED_EVENTS * 10 + 1) is first
    categories.encode([["red"]], grow=True, rows=1)
    grown = at(RENEWED_EVENTS * 10 + 2)
    assert grown.categories == {"c": ("red",)}
    assert grown.means is not first.means
    assert at(RENEWED_EVENTS * 10 + 3) is grown
    assert at(RENEWED_EVENTS * 11) is not grown
