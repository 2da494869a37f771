"""Shapley values of an answer: how much each feature adds to it, by captum.

Captum is an extra, and takes a second to import (it brings matplotlib along): so it is imported when the first
explanation is asked for, and not at the start.
"""

import gc
import importlib
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from service.model.learned import LearnedModel
from service.model.vocabulary import UNKNOWN
from service.records import FloatArray, IntArray

CAPTUM = "captum.attr"

ORDERINGS = 64
"""Orders in which features are added: half of them drawn, the other half the same backwards.

Together an order and its reverse give the exact value wherever features work together in pairs at most.
"""

MOST_CELLS = 2**20
"""Numbers and codes of one forward pass, so that wide instances do not fill the memory."""


def library() -> Callable[..., Any]:
    """Return captum's ShapleyValueSampling, imported at the first call; raises ImportError without the extra."""
    first = CAPTUM not in sys.modules
    found: Callable[..., Any] = importlib.import_module(CAPTUM).ShapleyValueSampling
    if first and gc.get_freeze_count():
        gc.freeze()  # as the server has done with all that it loaded at the start
    return found


def baseline(model: LearnedModel) -> tuple[FloatArray, IntArray]:
    """Return the instance that others are compared with: mean numbers [width], unknown categories [categorical]."""
    return model.encoder.means, np.full(len(model.columns.categorical), UNKNOWN)


def method(features: int) -> str:
    """Return in words how the attributions of so many features are found."""
    if math.factorial(features) <= ORDERINGS:
        return "Shapley values, exact"
    return f"Shapley values, estimated from {ORDERINGS} orders of the features"


def orderings(features: int, most: int = ORDERINGS) -> list[list[int]]:
    """Return the orders in which features are added: all there are, or ``most``, the same ones every time."""
    if math.factorial(features) <= most:
        return [list(order) for order in itertools.permutations(range(features))]
    drawn = np.random.default_rng(features)
    half = [drawn.permutation(features).tolist() for _ in range(most // 2)]
    return [order for one in half for order in (one, one[::-1])]


def attributions(
    model: LearnedModel, numbers: FloatArray, codes: IntArray, of: IntArray, orders: Sequence[Sequence[int]]
) -> tuple[FloatArray, FloatArray]:
    """Return what each feature adds [n, features] to output ``of`` [n] of instances, and that of the baseline [n].

    A feature is one of the schema's, in its order, however many columns it has; a missing value is a value. They add
    up to the output minus the baseline's.
    """
    columns = model.columns
    plain, codes_first = len(columns.numbers), len(columns.numbers) + len(columns.vectors)
    number_features = np.arange(plain)
    if columns.vectors:
        lengths = [place.stop - place.start for place in columns.vectors.values()]
        number_features = np.concatenate([number_features, np.repeat(np.arange(plain, codes_first), lengths)])
    mean_numbers, unknown_codes = baseline(model)
    at_baseline = model.predict(mean_numbers[None], unknown_codes[None])[0][of]

    def answers(present: Tensor, rows: Tensor) -> Tensor:
        there, which = present.numpy() > 0, rows.numpy()
        asked = np.where(there[:, number_features], numbers[which], mean_numbers)
        with_codes = np.where(there[:, codes_first:], codes[which], unknown_codes)
        found = model.predict(asked, with_codes)[np.arange(len(which)), of[which]]
        return torch.from_numpy(found - at_baseline[which])  # small numbers: captum adds up in single precision

    shapley = library()(answers)
    shapley.permutation_generator = lambda _features, _samples: orders
    count, features = len(numbers), len(columns.names)
    together = MOST_CELLS // max(1, count * (columns.width + len(columns.categorical)))
    found = shapley.attribute(
        torch.ones(count, features, dtype=torch.float64),
        baselines=torch.zeros(1, features, dtype=torch.float64),
        additional_forward_args=(torch.arange(count),),
        perturbations_per_eval=min(max(1, together), features),
    )
    return found.double().numpy(), at_baseline
