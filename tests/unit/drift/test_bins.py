"""Bins hold every value once, and a change that matters moves counts between them."""

import numpy as np
import pytest

from service.drift.bins import FIRST_COMMON, MISSING, RARE, UNSEEN, CategoryBins, NumberBins


def test_every_number_falls_into_one_bin() -> None:
    """Missing, enormous and ordinary ones."""
    random = np.random.default_rng(0)
    bins = NumberBins.of(random.normal(size=(1_000, 3)))
    numbers = np.concatenate([random.normal(size=(97, 3)), [[np.nan, 1.7e308, -1.7e308]] * 3])
    counts = bins.counts(numbers)
    assert counts.sum(axis=1).tolist() == [100, 100, 100]
    assert counts[:, MISSING].tolist() == [3, 0, 0]


def test_deciles_share_the_events_equally() -> None:
    """Ten bins of a tenth each."""
    column = np.random.default_rng(1).normal(size=(2_000, 1))
    counts = NumberBins.of(column).counts(column)[0]
    assert sorted(counts[counts > 0].tolist()) == [200] * 10


@pytest.mark.parametrize("shifted", [4.0, 6.0])
def test_a_constant_that_changes_leaves_its_bin_in_either_direction(shifted: float) -> None:
    """What was 5 always and is 4 now must not count as no more than 5."""
    bins = NumberBins.of(np.full((50, 1), 5.0))
    before, after = bins.counts(np.full((50, 1), 5.0)), bins.counts(np.full((50, 1), shifted))
    assert not (before * after).any()


def test_a_flag_has_a_bin_for_each_of_its_values() -> None:
    """Booleans are numbers 0 and 1."""
    flags = (np.arange(100) % 4 == 0).astype(np.float64)[:, None]
    counts = NumberBins.of(flags).counts(flags)[0]
    assert sorted(counts[counts > 0].tolist()) == [25, 75]


def test_categories_are_common_rare_unseen_or_missing() -> None:
    """A code beyond all those of training is unseen, whatever the vocabulary has learnt since."""
    training = np.array([2] * 60 + [3] * 39 + [0] * 50 + [7])[:, None]
    bins = CategoryBins.of(training)
    assert bins.common == ((2, 3),)
    counts = bins.counts(np.array([0, 1, 2, 3, 3, 5, 7, 900])[:, None])[0]
    assert counts[[MISSING, RARE, UNSEEN, FIRST_COMMON, FIRST_COMMON + 1]].tolist() == [1, 1, 3, 1, 2]


def test_no_more_than_nine_categories_have_a_bin_of_their_own() -> None:
    """The rest is one bin: the table stays as wide whatever the feature is."""
    codes = np.repeat(np.arange(2, 42), 25)[:, None]
    counts = CategoryBins.of(codes).counts(codes)[0]
    assert counts[RARE] == 31 * 25
    assert counts.sum() == 1_000
