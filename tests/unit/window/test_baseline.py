"""The baseline guesses from the labels before an event, and from nothing else."""

import numpy as np
import pytest

from service.window.baseline import LARGEST_ERROR, MEMORY_EVENTS, Baseline


def test_each_label_is_guessed_by_the_frequencies_before_it() -> None:
    """The first of two labels has probability 1/2, a second of its kind 2/3, then the other 1/4."""
    scores = Baseline("binary").score(np.array([0.0, 0.0, 1.0]), 2)
    assert np.exp(-scores.losses) == pytest.approx([1 / 2, 2 / 3, 1 / 4])


def test_batches_may_be_cut_anywhere() -> None:
    """The losses do not depend on how the events arrive."""
    targets = np.random.default_rng(0).integers(0, 4, 300).astype(float)
    whole, parts = Baseline("multiclass"), Baseline("multiclass")
    together = whole.score(targets, 4).losses
    apart = np.concatenate([parts.score(part, 4).losses for part in np.split(targets, [7, 8, 120])])
    assert together == pytest.approx(apart)


def test_labels_may_be_found_on_the_way() -> None:
    """An open label set grows under it."""
    baseline = Baseline("multiclass")
    baseline.score(np.zeros(10), 1)
    assert np.isfinite(baseline.score(np.array([2.0]), 3).losses).all()


def test_old_labels_are_forgotten() -> None:
    """After a change of the class balance the guess follows it, however long the time before was."""
    baseline = Baseline("binary")
    for _ in range(100):
        baseline.score(np.zeros(1_000), 2)
    for _ in range(2 * MEMORY_EVENTS // 1_000):
        baseline.score(np.ones(1_000), 2)
    assert baseline.score(np.ones(1), 2).errors.tolist() == [0.0]


def test_values_are_guessed_by_their_mean() -> None:
    """Each by the mean of those before it."""
    scores = Baseline("regression").score(np.array([4.0, 6.0, 5.0]), 0)
    assert scores.errors.tolist() == [4.0, 2.0, 0.0]


def test_absurd_values_stay_numbers() -> None:
    """Values at a double's ends neither overflow nor become NaN."""
    scores = Baseline("regression").score(np.array([1e308, 1e308, -1e308, 1.0]), 0)
    assert np.isfinite(scores.losses).all()
    assert scores.errors.max() <= LARGEST_ERROR


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_it_goes_on_from_what_was_saved(task: str) -> None:
    """What it knows survives as plain values."""
    baseline = Baseline(task)
    baseline.score(np.array([1.0, 1.0, 0.0]), 2)
    again = Baseline.from_json(task, baseline.to_json())
    assert again.score(np.array([1.0]), 2).losses == baseline.score(np.array([1.0]), 2).losses
