"""Which instances run in the shadow, and what is kept of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.model.vocabulary import UNKNOWN
from service.records import FloatArray, IntArray
from service.serve.batching import Row
from service.serve.predictor import Serving

_STEP = np.uint64(0x9E3779B97F4A7C15)
_RANGE = 1 << 64
_STRETCH = 256
_NONE = np.empty(0, dtype=np.int64)


class Sample(NamedTuple):
    """Instances n that one model has answered together: numbers [n, width], codes [n, categorical], its outputs.

    ``rows`` are the values that they came from, in the order of the schema, None for one where they are not at hand.
    """

    serving: Serving
    numbers: FloatArray
    codes: IntArray
    outputs: FloatArray
    rows: Sequence[Row | None]


class Sampler:
    """Picks a share of all instances, spread evenly: the same ones for the same share, without a rhythm.

    It is a rotation by the golden ratio (a Weyl sequence): in any stretch of n instances very nearly share x n are
    picked, and traffic that repeats itself is not always picked at the same place.
    """

    def __init__(self, share: float) -> None:
        self._highest = np.uint64(min(round(share * _RANGE), _RANGE) - 1)
        self._at = 0
        self._next = self._after(0)

    def pick(self, count: int) -> IntArray:
        """Return which of the next ``count`` instances are in the share, from 0."""
        begin, self._at = self._at, self._at + count
        if self._next >= self._at:  # as for most requests of one instance
            return _NONE
        picked = self._among(begin, self._at)
        self._next = self._after(self._at)
        return picked

    def _after(self, at: int) -> int:
        """Return the first one from ``at`` on."""
        while not len(found := self._among(at, at + _STRETCH)):
            at += _STRETCH
        return at + int(found[0])

    def _among(self, begin: int, end: int) -> IntArray:
        return np.flatnonzero(np.arange(begin, end, dtype=np.uint64) * _STEP <= self._highest)


def part(sample: Sample, which: slice | list[int]) -> Sample:
    """Return some of the instances."""
    rows = sample.rows[which] if isinstance(which, slice) else [sample.rows[index] for index in which]
    return Sample(sample.serving, sample.numbers[which], sample.codes[which], sample.outputs[which], rows)


def texts_of(sample: Sample) -> list[tuple[str | None, ...] | None]:
    """Return each instance's categories as text, None for one that holds an unknown one of which no text is left."""
    model = sample.serving.model
    categorical = len(model.columns.categorical)  # they stand at the end
    vocabulary: list[tuple[str | None, ...]] = []
    if None in sample.rows:
        vocabulary = [(None, None, *known) for known in model.encoder.categories.values()]
    texts: list[tuple[str | None, ...] | None] = []
    for row, codes in zip(sample.rows, sample.codes.tolist(), strict=True):
        if row is not None:
            texts.append(tuple(row[-categorical:]))
        elif UNKNOWN in codes:
            texts.append(None)
        else:
            texts.append(tuple(known[code] for known, code in zip(vocabulary, codes, strict=True)))
    return texts
