"""A model is its weights and its encoder: both travel, and together they answer alike everywhere."""

from dataclasses import replace

import numpy as np
import pytest

from service.model.asked import CHUNK_ROWS
from service.model.encoder import LIMIT, Encoder
from service.model.learned import LARGEST_ERROR, LearnedModel, build_network
from service.records import Examples
from service.settings import Network, Schema, Task


def encoder(task: Task = "binary") -> Encoder:
    """Return an encoder with every kind of feature."""
    return Encoder(
        task=task,
        schema=Schema(numeric=("a", "b"), boolean=("c",), categorical=("d",), nullable=("b", "d")),
        network=Network(hidden=(8,), max_categories=10),
        labels=() if task == "regression" else ("no", "yes"),
        categories={"d": ("red", "blue")},
        means=np.array([1.0, 2.0, 0.5]),
        scales=np.array([2.0, 1.0, 0.5]),
        target_mean=50.0 if task == "regression" else 0.0,
        target_scale=10.0 if task == "regression" else 1.0,
    )


def some(rows: int) -> Examples:
    """Return examples with missing numbers and categories of all kinds."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(rows, 3))
    numbers[::5, 1] = np.nan
    return Examples(
        numbers,
        random.integers(0, 4, size=(rows, 1)),
        random.integers(0, 2, size=rows).astype(float),
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.uint64),
    )


def test_parts_give_the_same_model_again() -> None:
    """Weights and encoder through plain arrays and JSON values predict the same to the bit."""
    model = LearnedModel(encoder(), build_network(encoder()))
    again = LearnedModel.from_parts(model.weights(), model.encoder.to_json())
    examples = some(50)
    assert (again.predict(examples.numbers, examples.codes) == model.predict(examples.numbers, examples.codes)).all()


def test_probabilities_sum_to_one_and_scores_follow_from_them() -> None:
    """The loss is the log of the probability of what happened."""
    model = LearnedModel(encoder(), build_network(encoder()))
    examples = some(100)
    probabilities = model.predict(examples.numbers, examples.codes)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    happened = probabilities[np.arange(100), examples.targets.astype(int)]
    scores = model.score(examples)
    assert scores.losses == pytest.approx(-np.log(happened), abs=1e-5)
    assert (scores.errors == (probabilities.argmax(axis=1) != examples.targets)).all()


def test_a_regression_answers_in_label_units() -> None:
    """The network's standardised output is scaled back, and errors are in label units."""
    model = LearnedModel(encoder("regression"), build_network(encoder("regression")))
    examples = some(20)
    values = model.predict(examples.numbers, examples.codes)
    assert values.shape == (20, 1)
    scores = model.score(examples)
    assert scores.errors == pytest.approx(np.abs(values[:, 0] - examples.targets))
    assert scores.losses == pytest.approx(scores.errors**2)


def test_a_label_near_a_doubles_end_leaves_losses_that_can_be_summed() -> None:
    """Such a label is a number and accepted; one of them must not turn every mean and sum into infinity."""
    described = encoder("regression")
    examples = some(3)
    absurd = replace(examples, targets=np.array([1.7e308, -1.7e308, 50.0]))
    scores = LearnedModel(described, build_network(described)).score(absurd)
    assert np.isfinite(scores.losses.sum())
    assert scores.errors[:2].tolist() == [LARGEST_ERROR] * 2
    assert scores.errors[2] < 1_000


def test_newer_codes_are_unknown_to_an_older_encoder() -> None:
    """A category that came after a checkpoint is answered like one never seen."""
    model = LearnedModel(encoder(), build_network(encoder()))
    numbers = np.zeros((2, 3))
    newer, unknown = model.predict(numbers, np.array([[9], [1]]))
    assert (newer == unknown).all()


def test_absurd_numbers_are_clipped() -> None:
    """1e300 is as far out as the limit, not further."""
    inputs, _, _ = encoder().inputs(np.array([[1e300, -1e300, 0.5]]), np.zeros((1, 1), dtype=np.int64))
    assert inputs.tolist() == [[LIMIT, -LIMIT, 0.0]]


def test_chunks_answer_like_one_pass() -> None:
    """More rows than one pass takes are answered in order."""
    model = LearnedModel(encoder(), build_network(encoder()))
    examples = some(CHUNK_ROWS + 10)
    whole = model.predict(examples.numbers, examples.codes)
    assert len(whole) == CHUNK_ROWS + 10
    tail = examples.take(slice(CHUNK_ROWS, None))
    assert whole[CHUNK_ROWS:] == pytest.approx(model.predict(tail.numbers, tail.codes), abs=1e-6)


def test_weights_of_another_shape_are_refused_in_one_line() -> None:
    """A checkpoint of another architecture says so."""
    weights = LearnedModel(encoder(), build_network(encoder())).weights()
    weights["layers.0.weight"] = np.zeros((3, 3), dtype=np.float32)
    with pytest.raises(ValueError, match=r"the weights do not fit the network: .*layers.0.weight"):
        LearnedModel.of_members(encoder(), [weights])
