"""How events become networks' inputs from a round on: what is known of labels, categories and scales so far."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.model.encoder import Encoder
from service.model.inputs import BINS
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.records import FloatArray
from service.settings import Settings

GROWTH = 1.2
"""Scales are taken anew when so many times as many events have come as when they were taken last."""

RENEWED_EVENTS = 1_000
"""And at the latest after so many events: what a weight means must not change with every round."""


class Scales:
    """Means and scales of the numbers, and quantiles of the numeric features, as they were when last taken."""

    def __init__(self) -> None:
        self._taken: tuple[int, FloatArray, FloatArray, FloatArray] | None = None
        self._newest: tuple[Encoder, tuple[object, ...]] | None = None

    def encoder(
        self,
        settings: Settings,
        labels: Labels,
        categories: Categories,
        statistics: Normaliser,
        numbers: FloatArray,
        events: int,
    ) -> Encoder:
        """Return the encoder of a round, on a window of ``numbers`` [n, width], n > 0, after so many ``events``.

        The last of the ``statistics`` are the target's. While nothing has changed it is the very same encoder, so that
        models of neighbouring rounds can share what it makes of examples.
        """
        if self._taken is None or events >= min(GROWTH * self._taken[0], self._taken[0] + RENEWED_EVENTS):
            edges = _quantiles(numbers[:, : len(settings.schema_.numeric)])
            self._taken, self._newest = (events, statistics.means, statistics.scales, edges), None
        vocabulary = labels.names, categories.sizes  # values are only ever appended
        if self._newest is None or self._newest[1] != vocabulary:
            _, means, scales, edges = self._taken
            binned = settings.train.model.module is None and len(edges) > 0
            made = encoder_of(settings, labels, categories, means, scales, edges if binned else None)
            self._newest = made, vocabulary
        return self._newest[0]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what ``from_arrays`` needs; empty before there are any."""
        if self._taken is None:
            return {}
        events, means, scales, edges = self._taken
        return {"events": np.array([events]), "means": means, "scales": scales, "edges": edges}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Scales":
        """Return the scales that ``to_arrays`` described."""
        made = cls()
        if arrays:
            means, scales, edges = (np.array(arrays[name]) for name in ("means", "scales", "edges"))
            made._taken = (int(arrays["events"][0]), means, scales, edges)
        return made


def encoder_of(
    settings: Settings,
    labels: Labels,
    categories: Categories,
    means: FloatArray,
    scales: FloatArray,
    edges: FloatArray | None = None,
) -> Encoder:
    """Return the encoder of these scales; the last of ``means`` and ``scales`` are the target's."""
    standardises = settings.task == "regression" and settings.train.model.standardises
    return Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=labels.names,
        categories={name: tuple(known) for name, known in categories.to_json().items()},
        means=means[:-1].copy(),
        scales=scales[:-1].copy(),
        target_mean=float(means[-1]) if standardises else 0.0,
        target_scale=float(scales[-1]) if standardises else 1.0,
        edges=edges,
    )


def _quantiles(numbers: FloatArray) -> FloatArray:
    """Return the edges of equally filled bins [features, bins + 1]; zeros where nothing is known."""
    if not numbers.shape[1]:
        return np.zeros((0, BINS + 1))
    if np.isfinite(numbers).all():
        return np.quantile(numbers, np.linspace(0, 1, BINS + 1), axis=0).T
    edges = np.zeros((numbers.shape[1], BINS + 1))
    for index, column in enumerate(numbers.T):
        known = column[np.isfinite(column)]
        if len(known):
            edges[index] = np.quantile(known, np.linspace(0, 1, BINS + 1))
    return edges
