"""Is there anything to learn? Whether labels have to do with features at all, asked of a few hundred events. Pure.

Noise is not learnable, a new concept is: no model is asked, only the events themselves.
"""

import math

import numpy as np

from service.records import Examples, FloatArray, IntArray
from service.settings import Task

MOST_EVENTS = 300
"""The newest so many are looked at: the work grows with their square."""

BINS = 8
MOST_BINNED = 64
"""With more numeric features than these they enter as they are, and not by bins: a look must stay short."""

LARGEST = 1e100
"""Beyond it a square would overflow."""

HINT = 2.0
"""By so many standard errors features must predict labels for there to be a hint of something to learn."""

STEP = 20
"""The end of noise is dated to so many events."""

FEWEST_BEFORE = 60
"""On fewer events before it nothing is said about them."""

RIDGE = 3.0
LEAST_VARIANCE = 1e-12


def signal(task: Task, examples: Examples) -> float:
    """Return by how many standard errors features predict labels better than the commonest label does; 0 if untold.

    Each event is predicted by a ridge regression on all others (leave-one-out, in closed form) from its numbers, their
    piecewise linear encoding on quantiles and its categories. A regression is compared with the mean of all others.
    """
    newest = examples.take(slice(-MOST_EVENTS, None))
    count = len(newest)
    if count < 2 or not np.isfinite(newest.targets).all():  # noqa: PLR2004 - leaving one out must leave one
        return 0.0
    kernel = _kernel(newest.numbers, newest.codes)
    hat = np.linalg.solve(kernel + RIDGE * np.eye(count), kernel).T
    own = np.minimum(np.diag(hat), 1 - 1e-9)[:, None]
    if task == "regression":
        targets = newest.targets[:, None]
        mean = newest.targets.mean()
        left_out = ((hat @ (targets - mean) - own * (targets - mean)) / (1 - own))[:, 0] + mean
        others = (mean * count - newest.targets) / (count - 1)
        gains = np.abs(newest.targets - others) - np.abs(newest.targets - left_out)
        scatter = math.sqrt(max(float(gains.var(ddof=1)), LEAST_VARIANCE) / count)
        return float(gains.mean()) / scatter
    labels, classes = np.unique(newest.targets, return_inverse=True)
    hot = np.eye(len(labels))[classes]
    left_out = (hat @ hot - own * hot) / (1 - own)
    hits = float((left_out.argmax(axis=1) == classes).mean())
    share = float(np.bincount(classes).max()) / count
    return (hits - share) / math.sqrt(share * (1 - share) / count) if share < 1 else 0.0


def learnable_since(task: Task, examples: Examples) -> int | None:
    """Return how many of the newest events can be learnt where those before them cannot; None if that is not so.

    It dates the end of a burst of noise into a new concept: of all lengths the one with the strongest signal.
    """
    count = len(examples)
    lengths = range(STEP, min(count - FEWEST_BEFORE, MOST_EVENTS) + 1, STEP)
    if not lengths:
        return None
    signals = [signal(task, examples.take(slice(-length, None))) for length in lengths]
    newest = lengths[int(np.argmax(signals))]
    before = signal(task, examples.take(slice(0, count - newest)))
    return newest if max(signals) > HINT >= before else None


def _kernel(numbers: FloatArray, codes: IntArray) -> FloatArray:
    """Return the inner products of n events' features [n, n]."""
    count = len(numbers)
    kernel = np.ones((count, count))
    missing = ~np.isfinite(numbers)
    present = np.maximum((~missing).sum(axis=0), 1)
    known = np.where(missing, 0.0, np.clip(numbers, -LARGEST, LARGEST))
    means = known.sum(axis=0) / present
    centred = np.where(missing, 0.0, known - means)
    scales = np.sqrt((centred**2).sum(axis=0) / present)
    centred = centred / np.where(scales > np.maximum(np.abs(means), 1.0) * 1e-9, scales, np.inf)
    kernel += centred @ centred.T + missing.astype(np.float64) @ missing.T
    if centred.shape[1] <= MOST_BINNED:
        for column in centred.T:
            encoded = _piecewise(column)
            kernel += encoded @ encoded.T
    for column in codes.T:
        kernel += column[:, None] == column[None, :]
    return kernel


def _piecewise(column: FloatArray) -> FloatArray:
    """Return how far each value [n] fills each bin between the column's quantiles [n, bins] (Gorishniy et al. 2022)."""
    edges = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)))
    if len(edges) < 2:  # noqa: PLR2004 - one edge bounds no bin
        return np.zeros((len(column), 1))
    return np.clip((column[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0)
