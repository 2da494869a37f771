"""The population stability index: near zero without drift, large with it, finite always."""

import numpy as np
import pytest

from service.drift.distribution import DistributionWatch
from service.drift.reference import Reference
from service.settings import Drift


def test_the_same_distribution_scores_about_bins_over_rows() -> None:
    """Without drift the index is noise of a known size, far below 0.1."""
    random = np.random.default_rng(0)
    reference = Reference.of(["a"], random.normal(size=(5_000, 1)))
    index = reference.psi(random.normal(size=(2_000, 1)))["a"]
    assert 0 <= index < 0.02


def test_a_shift_is_seen_in_the_feature_that_shifted() -> None:
    """One standard deviation is much; the other feature stays quiet."""
    random = np.random.default_rng(1)
    reference = Reference.of(["still", "moved"], random.normal(size=(5_000, 2)))
    index = reference.psi(random.normal(loc=[0.0, 1.0], size=(2_000, 2)))
    assert index["moved"] > 0.25
    assert index["still"] < 0.02


def test_missing_values_are_a_bin_of_their_own() -> None:
    """A sensor that falls silent is drift."""
    numbers = np.linspace(0, 1, 1_000)[:, None]
    reference = Reference.of(["a"], numbers)
    silent = numbers.copy()
    silent[::2] = np.nan
    assert reference.psi(silent)["a"] > 0.25


@pytest.mark.parametrize("values", [np.zeros(100), np.full(100, np.nan), np.r_[np.zeros(99), 1.0]])
def test_degenerate_columns_stay_finite(values: np.ndarray) -> None:
    """Constant, absent and nearly constant columns give a number."""
    reference = Reference.of(["a"], values[:, None])
    assert reference.psi(values[:, None])["a"] == pytest.approx(0.0)
    assert np.isfinite(reference.psi(np.full((50, 1), 7.0))["a"])


def test_it_survives_json() -> None:
    """A checkpoint carries the reference of its training data."""
    reference = Reference.of(["a"], np.random.default_rng(2).normal(size=(500, 1)))
    shifted = np.random.default_rng(3).normal(size=(500, 1)) + 1
    assert Reference.from_json(reference.to_json()).psi(shifted) == reference.psi(shifted)


@pytest.mark.parametrize("until", [1_700_000_000_123, 0, None])
def test_its_age_survives_json(until: int | None) -> None:
    """A trainer that starts again tells the same age of it; of one written before that was kept it tells none."""
    reference = Reference.of(["a"], np.zeros((5, 1)), until_ms=until)
    kept = reference.to_json()
    assert Reference.from_json(kept).until_ms == until
    del kept["until_ms"]
    assert Reference.from_json(kept).until_ms is None


def test_a_reference_of_before_categories_were_watched_still_gives_scores() -> None:
    """Checkpoints of that time serve on; what is not known of them raises no alarm."""
    old = {"edges": {"a": [-1.0, 0.0, 1.0]}, "shares": {"a": [0.16, 0.34, 0.34, 0.16, 0.0]}}
    reference = Reference.from_json(old)
    numbers = np.random.default_rng(4).normal(size=(2_000, 1))
    assert reference.psi(numbers)["a"] < 0.02
    assert reference.psi(numbers + 1)["a"] > 0.25
    watch = DistributionWatch("data", Drift())
    watch.follow(reference)
    assert watch.look(numbers[:100] + 3, np.zeros((100, 0), dtype=np.int64), 100) is None
    assert watch.scores()["a"] > 0.25


def test_numbers_at_opposite_ends_of_a_double_leave_finite_bins() -> None:
    """Both are accepted; the bins between them must not become infinite, which no checkpoint's JSON could hold."""
    numbers = np.array([[1.7e308], [-1.7e308]])
    reference = Reference.of(["a"], numbers)
    assert np.isfinite(reference.to_json()["edges"]["a"]).all()
    assert reference.psi(numbers) == {"a": 0.0}
    assert reference.psi(numbers[:1])["a"] > 0.25
