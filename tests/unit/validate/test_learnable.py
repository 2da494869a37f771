"""Whether there is anything to learn is seen in the events themselves."""

import numpy as np
import pytest

from service.records import Examples, FloatArray, IntArray
from service.settings import Task
from service.validate.learnable import RIDGE, _kernel, learnable_since, signal
from tests.examples import separable


def events(numbers: FloatArray, targets: FloatArray, codes: IntArray | None = None) -> Examples:
    """Return events of these numbers [n, F], codes [n, C] and targets [n]."""
    rows = len(targets)
    none = np.zeros((rows, 0), dtype=np.int64)
    order = np.arange(rows)
    return Examples(numbers, none if codes is None else codes, targets.astype(float), order, order.astype(np.uint64))


def test_a_concept_shows_within_a_hundred_events() -> None:
    """A linear rule, and one that only bins can tell, whatever the scale of the numbers."""
    random = np.random.default_rng(0)
    assert signal("binary", separable(100)) > 3
    numbers = 1e6 * random.normal(size=(100, 3))
    assert signal("binary", events(numbers, np.abs(numbers[:, 0]) > 7e5)) > 3


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_labels_without_meaning_show_none(share: float) -> None:
    """However rare a class is: not one of fifty samples is taken for a concept."""
    random = np.random.default_rng(1)
    found = [signal("binary", events(random.normal(size=(120, 5)), random.random(120) < share)) for _ in range(50)]
    assert max(found) < 3


def test_categories_and_missing_values_tell_too() -> None:
    """A label that follows a category, or whether a number is missing."""
    random = np.random.default_rng(2)
    codes = random.integers(0, 4, size=(150, 2))
    assert signal("multiclass", events(random.normal(size=(150, 1)), codes[:, 0], codes)) > 5
    numbers = random.normal(size=(150, 2))
    numbers[random.random(150) < 0.5, 0] = np.nan
    assert signal("binary", events(numbers, np.isnan(numbers[:, 0]))) > 5


def test_of_a_regression_errors_are_compared() -> None:
    """A line with some scatter shows, scatter alone does not."""
    random = np.random.default_rng(3)
    numbers = random.normal(size=(150, 3))
    noise = random.normal(size=150)
    assert signal("regression", events(numbers, 100 + 3 * numbers[:, 0] + noise)) > 5
    assert signal("regression", events(numbers, 100 + noise)) < 3


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_end_of_noise_is_dated(task: Task) -> None:
    """To within 40 events, however many of the new concept there are; where there was no noise, nothing is."""
    random = np.random.default_rng(5)
    numbers = random.normal(size=(400, 3))
    values = numbers @ [1.0, -1.0, 0.5]
    concept = values > 0 if task == "binary" else values
    for newest in (60, 100, 200):
        spoilt = np.concatenate([random.permutation(concept[:-newest]), concept[-newest:]])
        found = learnable_since(task, events(numbers, spoilt))
        assert found is not None
        assert abs(found - newest) <= 40
    assert learnable_since(task, events(numbers, concept)) is None
    assert learnable_since(task, events(numbers, random.permutation(concept))) is None
    assert learnable_since(task, events(numbers[:70], concept[:70])) is None


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_where_nothing_can_be_told_it_is_none(task: Task, rows: int) -> None:
    """Few events, one label only, constant or absent features: no number is broken by it."""
    nothing = signal(task, events(np.full((rows, 2), 7.0), np.zeros(rows)))
    assert nothing == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(signal(task, events(np.full((rows, 1), np.nan), np.arange(rows) % 2)))


def test_numbers_at_the_edge_of_what_a_double_holds_break_nothing() -> None:
    """A sentinel may be as large as it likes."""
    numbers = separable(60).numbers.copy()
    numbers[3, 0], numbers[4, 1] = 1e308, -1e308
    assert np.isfinite(signal("binary", events(numbers, np.arange(60) % 2)))


def test_wide_events_are_looked_at_as_they_are() -> None:
    """Hundreds of features, of which one decides."""
    random = np.random.default_rng(4)
    numbers = random.normal(size=(300, 200))
    assert signal("binary", events(numbers, numbers[:, 0] + 0.5 * numbers[:, 1] > 0)) > 1


def test_each_event_is_predicted_from_the_others() -> None:
    """The closed form is what fitting without the event gives."""
    given = separable(40)
    kernel = _kernel(given.numbers, given.codes)
    hits = 0
    for row in range(40):
        others = np.arange(40) != row
        weights = np.linalg.solve(
            kernel[np.ix_(others, others)] + RIDGE * np.eye(39), np.eye(2)[given.targets.astype(int)][others]
        )
        hits += int((kernel[row, others] @ weights).argmax() == given.targets[row])
    share = max(given.targets.mean(), 1 - given.targets.mean())
    assert signal("binary", given) == pytest.approx((hits / 40 - share) / np.sqrt(share * (1 - share) / 40))
