"""How much each feature adds to an answer."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from service.model.encoder import Encoder
from service.model.ensemble import Shape, build_network
from service.model.learned import LearnedModel
from service.records import FloatArray, IntArray
from service.serve import attribution
from service.serve.attribution import attributions, baseline, method, orderings
from service.settings import Settings
from tests.unit.serve.builders import settings_in

LABELS = ("p", "q", "r")
SCHEMA = {
    "numeric": ["x1", "x2", "x3"],
    "boolean": ["yes"],
    "vector": {"v": 3},
    "categorical": ["a", "b"],
    "nullable": ["x1", "b"],
}
FEATURES = ("x1", "x2", "x3", "yes", "v", "a", "b")


def model_of(folder: Path, *, task: str = "multiclass", module: str | None = None, members: int = 2) -> LearnedModel:
    """Return a model with one feature of each kind at least, whose weights are large enough to matter."""
    network: dict[str, Any] = {"hidden": [16, 8]}
    if module is not None:
        network = {"module": module}
    schema = SCHEMA | {"labels": [] if task == "regression" else list(LABELS)}
    settings = Settings.model_validate(
        {"task": task, "schema": schema, "train": {"model": network}, "store": {"path": str(folder / "store")}}
    )
    encoder = Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=() if task == "regression" else LABELS,
        categories={"a": ("k", "l", "m"), "b": ("s", "t")},
        means=np.array([1.0, -2.0, 0.0, 0.4, 0.1, 0.2, 0.3]),
        scales=np.array([2.0, 1.0, 3.0, 0.5, 1.0, 1.0, 1.0]),
        target_mean=1e6 if task == "regression" else 0.0,
        target_scale=50.0 if task == "regression" else 1.0,
    )
    torch.manual_seed(4)
    net = build_network(encoder, [Shape(hidden=True, bins=False)] * members)
    net.load([{name: array * 3 for name, array in own.items()} for own in net.members()])
    return LearnedModel(encoder, net, np.array([0.3, 0.7])[:members] if members > 1 else None)


def instances(count: int) -> tuple[FloatArray, IntArray]:
    """Return instances of the schema, some of whose values are missing or unknown."""
    drawn = np.random.default_rng(2)
    numbers = drawn.normal(size=(count, 7)) * 2
    numbers[:, 3] = drawn.integers(0, 2, count)
    numbers[::3, 0] = np.nan
    return numbers, np.column_stack([drawn.integers(1, 5, count), drawn.integers(0, 4, count)])


def explained(model: LearnedModel, numbers: FloatArray, codes: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return attributions, the baseline's output and the output itself of each instance's likeliest label."""
    outputs = model.predict(numbers, codes)
    of = outputs.argmax(axis=1)
    added, at_baseline = attributions(model, numbers, codes, of, orderings(len(model.columns.names)))
    return added, at_baseline, outputs[np.arange(len(of)), of]


def exact(model: LearnedModel, numbers: FloatArray, codes: IntArray) -> FloatArray:
    """Return the Shapley values [features] of one instance's likeliest label, by its definition over all subsets."""
    means, unknown = baseline(model)
    of = int(model.predict(numbers[None], codes[None])[0].argmax())
    owner = np.array([0, 1, 2, 3, 4, 4, 4])
    count = len(FEATURES)

    def value(present: frozenset[int]) -> float:
        there = np.isin(owner, list(present))
        known = np.isin([5, 6], list(present))
        asked = np.where(there, numbers, means)[None], np.where(known, codes, unknown)[None]
        return float(model.predict(*asked)[0, of])

    found = np.zeros(count)
    for feature in range(count):
        others = [one for one in range(count) if one != feature]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for subset in map(frozenset, itertools.combinations(others, size)):
                found[feature] += weight * (value(subset | {feature}) - value(subset))
    return found


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("count", [1, 7])
def test_attributions_add_up(tmp_path: Path, task: str, count: int) -> None:
    """To the answer minus the baseline's, for any kind of feature, missing and unknown values included."""
    added, at_baseline, answered = explained(model_of(tmp_path, task=task), *instances(count))
    assert added.shape == (count, len(FEATURES))
    assert_allclose(added.sum(axis=1), answered - at_baseline, rtol=1e-4, atol=1e-5)
    assert np.abs(added).max() > 0.01


def test_estimates_are_near_the_exact_values(tmp_path: Path) -> None:
    """Off by a hundredth of a probability at most, on average by far less."""
    model, (numbers, codes) = model_of(tmp_path), instances(4)
    added, _, _ = explained(model, numbers, codes)
    errors = np.abs(added - [exact(model, *instance) for instance in zip(numbers, codes, strict=True)])
    assert errors.max() < 0.02
    assert errors.mean() < 0.005


def test_few_features_are_explained_exactly(tmp_path: Path) -> None:
    """With four all orders are gone through."""
    settings = settings_in(tmp_path)
    assert len(settings.schema_.names) == 4
    assert len(orderings(4)) == 24
    assert method(4) == "Shapley values, exact"
    assert "64 orders" in method(5)


def test_the_same_question_has_the_same_answer(tmp_path: Path) -> None:
    """Whatever else was drawn meanwhile, and whoever is asked about beside it."""
    model, (numbers, codes) = model_of(tmp_path), instances(3)
    first, _, _ = explained(model, numbers, codes)
    torch.manual_seed(99)
    again, _, _ = explained(model, numbers, codes)
    np.testing.assert_array_equal(first, again)
    alone, _, _ = explained(model, numbers[1:2], codes[1:2])
    assert_allclose(alone, first[1:2], atol=1e-6)


def test_a_value_like_the_baselines_adds_nothing(tmp_path: Path) -> None:
    """A number at its mean, and a category that is unknown anyway."""
    model = model_of(tmp_path)
    means, unknown = baseline(model)
    numbers, codes = means[None].copy(), unknown[None].copy()
    numbers[0, 1] = 3.0
    added, _, _ = explained(model, numbers, codes)
    assert added[0, 1] != 0
    assert_allclose(np.delete(added[0], 1), 0, atol=1e-6)


def test_a_missing_value_is_a_value_of_its_own(tmp_path: Path) -> None:
    """It is not the mean: the model may have learnt what its absence means."""
    model = model_of(tmp_path)
    means, unknown = baseline(model)
    numbers, codes = means[None].copy(), unknown[None].copy()
    numbers[0, 0], codes[0, 1] = np.nan, 0
    added, _, _ = explained(model, numbers, codes)
    assert abs(added[0, 0]) > 1e-4
    assert abs(added[0, 6]) > 1e-4


def test_a_module_of_the_users_is_explained_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be differentiable: it is only ever asked."""
    reference = f"{__name__}:Steps"
    monkeypatch.setattr("service.model.custom.load", lambda _: Steps)
    model = model_of(tmp_path, module=reference, members=1)
    added, at_baseline, answered = explained(model, *instances(2))
    assert_allclose(added.sum(axis=1), answered - at_baseline, rtol=1e-4, atol=1e-5)


class Steps(torch.nn.Module):
    """A network whose outputs jump."""

    def __init__(self, inputs: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, inputs.width * inputs.outputs).reshape(inputs.width, -1))

    def forward(self, numbers: torch.Tensor, missing: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return torch.sign(numbers) @ self.weight + missing.sum(dim=1, keepdim=True) + (codes[:, :1] > 2)


def test_wide_instances_are_asked_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, and the result is the same."""
    model, (numbers, codes) = model_of(tmp_path), instances(5)
    at_once, _, _ = explained(model, numbers, codes)
    monkeypatch.setattr(attribution, "MOST_CELLS", 1)
    in_parts, _, _ = explained(model, numbers, codes)
    assert_allclose(in_parts, at_once, atol=1e-6)
