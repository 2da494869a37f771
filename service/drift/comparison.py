"""How far two sets of counts differ, how probable that is by chance, and which of many such are more than chance."""

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc, rel_entr

from service.records import BoolArray, FloatArray

FLOOR = 1e-4
"""Share given to an empty bin, so that the index stays finite; it bounds what one bin can add to about 9."""

EVIDENT = 0.05
"""Level at which stretches of the reference are taken to differ by more than chance."""


def psi(now: FloatArray, then: FloatArray) -> FloatArray:
    """Return the population stability index, in nats, of each row of shares [R, bins].

    It is the symmetrised Kullback-Leibler divergence over the bins: 0 for equal shares; by custom below 0.1 is taken
    for none and above 0.25 for much. On n rows it averages about (bins - 1) / n without any drift.
    """
    now, then = np.maximum(now, FLOOR), np.maximum(then, FLOOR)
    found: FloatArray = ((now - then) * np.log(now / then)).sum(axis=1)
    return found


def chances(now: FloatArray, then: FloatArray, spread: FloatArray) -> FloatArray:
    """Return how probable it is that two rows of counts [R, bins] differ so much or more without any drift.

    It is the G-test of homogeneity (Wilks 1935), what ``scipy.stats.chi2_contingency`` gives with
    ``lambda_="log-likelihood"``, for all rows at once; its statistic is divided by the ``spread`` [R], since events
    that depend on their neighbours differ more than independent ones (Rao & Scott 1981).
    """
    both = now + then
    total_now, total_then = now.sum(axis=1, keepdims=True), then.sum(axis=1, keepdims=True)
    share = both / (total_now + total_then)
    statistic = 2 * (rel_entr(now, total_now * share) + rel_entr(then, total_then * share)).sum(axis=1)
    freedom = np.count_nonzero(both, axis=1) - 1
    found: FloatArray = np.where(freedom > 0, chdtrc(np.maximum(freedom, 1), np.maximum(statistic, 0) / spread), 1.0)
    return found


def significant(found: FloatArray, level: float) -> BoolArray:
    """Tell which of several tests reject, where ``level`` is the chance that any does so wrongly (Holm 1979)."""
    order = np.argsort(found, kind="stable")
    passed = np.logical_and.accumulate(found[order] <= level / np.arange(len(found), 0, -1))
    out = np.zeros(len(found), dtype=np.bool_)
    out[order[passed]] = True
    return out


def spread_of(stretches: Sequence[FloatArray], rows: int) -> FloatArray:
    """Return how many times more than by chance counts [R, bins] differ between equally long stretches; at least 1.

    It is Pearson's statistic over its degrees of freedom, where that is evidently more than 1.
    """
    if len(stretches) < 2:  # noqa: PLR2004 - nothing to compare
        return np.ones(rows)
    counts = np.stack(stretches)
    expected = counts.mean(axis=0)
    statistic = ((counts - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=(0, 2))
    freedom = np.maximum((len(counts) - 1) * (np.count_nonzero(expected, axis=1) - 1), 1)
    evident = chdtrc(freedom, statistic) < EVIDENT
    found: FloatArray = np.where(evident, np.maximum(statistic / freedom, 1.0), 1.0)
    return found
