"""Instances become columns, or faults with pointers."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.model.encoder import Encoder
from service.model.ensemble import build_network
from service.model.learned import LearnedModel
from service.serve.instances import MAX_ERRORS, encode_instances
from service.serve.problems import ProblemError
from service.serve.reader import InstanceReader
from service.settings import Network, Schema, Serve
from tests.unit.serve.builders import INSTANCE, checkpoint_of, settings_in


@pytest.fixture
def model(tmp_path: Path) -> LearnedModel:
    """Return a model of age, income, owner and city."""
    checkpoint = checkpoint_of(settings_in(tmp_path), "000001-00000000")
    return LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)


def test_fitting_instances_become_columns(model: LearnedModel) -> None:
    """Numbers stand in column order, NaN where missing; categories become codes; nothing is warned of."""
    numbers, codes, warnings = encode_instances(model, [INSTANCE, {"age": 7, "owner": False, "city": None}], 10**6)
    np.testing.assert_array_equal(numbers, [[41, 1200.5, 1], [7, np.nan, 0]])
    assert codes.tolist() == [[2], [0]]
    assert warnings == []


def test_an_unknown_category_is_warned_of_and_counts_as_unknown(model: LearnedModel) -> None:
    """A city that was never learnt is data: code 1, and a warning that names feature and value, cut when long."""
    _, codes, warnings = encode_instances(model, [INSTANCE, {**INSTANCE, "city": "Q" * 10_000}], 10**6)
    assert codes.tolist() == [[2], [1]]
    assert warnings[0] == []
    assert warnings[1][0].startswith("city has the value 'QQQ")
    assert len(warnings[1][0]) < 400


def test_the_model_is_not_taught_by_requests(model: LearnedModel) -> None:
    """The same unknown city stays unknown however often it comes."""
    for _ in range(2):
        _, codes, _ = encode_instances(model, [{**INSTANCE, "city": "Paris"}], 10**6)
        assert codes.tolist() == [[1]]


def test_every_fault_is_named_with_its_pointer(model: LearnedModel) -> None:
    """Absent, unknown, wrong-typed and non-finite features, of several instances, are all in one answer."""
    with pytest.raises(ProblemError) as caught:
        encode_instances(model, [{"age": "x", "a/b~": 1}, INSTANCE, {**INSTANCE, "income": 10**400}, 5], 10**6)
    assert caught.value.status == 422
    assert [error.pointer for error in caught.value.errors] == [
        "/instances/0/owner",
        "/instances/0/a~1b~0",
        "/instances/0/age",
        "/instances/2/income",
        "/instances/3",
    ]


def test_a_fault_within_a_vector_points_to_its_element() -> None:
    """The pointer leads into the array; a wrong length or kind is a fault of the whole."""
    encoder = Encoder(
        task="binary",
        schema=Schema(vector={"v/w": 2}),
        network=Network(),
        labels=("no", "yes"),
        categories={},
        means=np.zeros(2),
        scales=np.ones(2),
    )
    model = LearnedModel(encoder, build_network(encoder))
    numbers, _, _ = encode_instances(model, [{"v/w": [1, 2.5]}], 10**6)
    assert numbers.tolist() == [[1, 2.5]]
    with pytest.raises(ProblemError) as caught:
        encode_instances(model, [{"v/w": [1, "2"]}, {"v/w": [1]}, {"v/w": [10**400, 1]}, {"v/w": 5}, {}], 10**6)
    assert [error.pointer for error in caught.value.errors] == [
        "/instances/0/v~1w/1",
        "/instances/1/v~1w",
        "/instances/2/v~1w/0",
        "/instances/3/v~1w",
        "/instances/4/v~1w",
    ]


def test_the_list_of_faults_is_bounded(model: LearnedModel) -> None:
    """A request in which everything is wrong gets the first faults and is told that there are more."""
    with pytest.raises(ProblemError, match="only the first 100 faults") as caught:
        encode_instances(model, [{}] * 5_000, 10**6)
    assert len(caught.value.errors) == MAX_ERRORS


def test_missing_vectors_are_bounded_as_well() -> None:
    """They take no room in a body, and all of theirs in memory."""
    encoder = Encoder(
        task="binary",
        schema=Schema(vector={"v": 1_000}, nullable=("v",)),
        network=Network(hidden=(4,)),
        labels=("no", "yes"),
        categories={},
        means=np.zeros(1_000),
        scales=np.ones(1_000),
    )
    model = LearnedModel(encoder, build_network(encoder))
    assert encode_instances(model, [{}] * 5, 5_000)[0].shape == (5, 1_000)
    with pytest.raises(ProblemError, match="more than fit") as caught:
        encode_instances(model, [{}] * 6, 5_000)
    assert caught.value.status == 413
    limits = Serve(max_body_bytes=5_000)
    body = json.dumps({"instances": [{}] * 6}).encode()
    assert InstanceReader(encoder.schema, limits).read(body, model) is None
