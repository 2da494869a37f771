"""From tensors to a model's columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serve.predictor import Serving
from service.serve.problems import ProblemError
from service.serve.protocol.answer import answer_of, wanted_of
from service.serve.protocol.columns import Columns, columns_of, packed_name
from service.serve.protocol.request import Head, parse_request
from tests.unit.serve.builders import checkpoint_of, settings_in
from tests.unit.serve.inference import (
    CHECKPOINT,
    FULL,
    NUMBERS,
    binary,
    framed,
    full_inputs,
    model_of,
    parsed,
    settings_of,
    tensor,
)

MODEL = model_of(FULL)
NUMERIC_MODEL = model_of(NUMBERS)
SERVE = settings_of(Path(), FULL, max_instances=50, max_body_bytes=20_000).serve
CODES = {"missing": 0, "unknown": 1, "Rome": 2, "Oslo": 3}


def read(inputs: list[dict[str, Any]], blobs: dict[str, bytes] | None = None, model: Any = MODEL) -> Columns:
    """Return what inputs say in the columns of a model."""
    return columns_of(parsed({"inputs": inputs}, blobs).tensors, model, SERVE)


def fault_of(
    inputs: list[dict[str, Any]], blobs: dict[str, bytes] | None = None, model: Any = MODEL, status: int = 400
) -> str:
    """Return what is said of inputs that are refused."""
    with pytest.raises(ProblemError) as caught:
        read(inputs, blobs, model)
    assert caught.value.status == status
    return caught.value.detail


def inputs_with(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> list[dict[str, Any]]:
    """Return two rows of all inputs, with one of them replaced."""
    own = tensor(name, datatype, data, shape)
    return [own if one["name"] == name else one for one in full_inputs(2)]


def test_inputs_come_in_any_order() -> None:
    """Columns are those of the schema: numeric, boolean, vectors; then categories."""
    read_ = read(list(reversed(full_inputs(2))))
    assert read_.numbers.tolist() == [[41.0, 1200.5, 1.0, 0.5, -0.5]] * 2
    assert read_.codes.tolist() == [[CODES["Rome"]]] * 2
    assert read_.warning == ""


def test_one_value_a_row_is_n_or_n_by_1() -> None:
    """Other servers want a second dimension; nested or flat, it is the same."""
    for data in ([1, 2], [[1], [2]]):
        assert read(inputs_with("age", "FP64", data, [2, 1])).numbers[:, 0].tolist() == [1.0, 2.0]


def test_what_is_missing_may_be_said_in_several_ways() -> None:
    """NaN or null, an empty text in bytes, or no input at all; for nullable features alone."""
    two = full_inputs(2)
    absent = read([one for one in two if one["name"] not in {"income", "place", "city"}])
    null = read([{**one, "data": [None, None]} if one["name"] in {"income", "place", "city"} else one for one in two])
    nan = np.full(2, np.nan)
    said = read(two, {"income": nan.tobytes(), "place": np.full(4, np.nan).tobytes(), "city": framed(b"", b"")})
    for read_ in (absent, null, said):
        np.testing.assert_array_equal(read_.numbers, [[41.0, np.nan, 1.0, np.nan, np.nan]] * 2)
        assert read_.codes.tolist() == [[CODES["missing"]]] * 2
        assert read_.warning == ""


def test_an_empty_text_in_json_is_a_text() -> None:
    """As it is for POST /v1/predict: JSON has null for what is missing."""
    assert read(inputs_with("city", "BYTES", ["", None])).codes.tolist() == [[CODES["unknown"]], [CODES["missing"]]]


def test_a_boolean_may_be_sent_as_a_number() -> None:
    """0 or 1, and NaN where it is nullable: bytes of BOOL have no third value."""
    assert read(inputs_with("owner", "INT32", [0, 1])).numbers[:, 2].tolist() == [0.0, 1.0]
    model = model_of({"boolean": ["owner"], "nullable": ["owner"]})
    numbers = read([tensor("owner", "FP32", [1, None, 0])], model=model).numbers
    np.testing.assert_array_equal(numbers, [[1.0], [np.nan], [0.0]])
    assert "row 1 must be 0 or 1" in fault_of(inputs_with("owner", "FP64", [0, 0.5]))


def test_unknown_categories_count_as_unknown_and_are_told() -> None:
    """By feature and row; the first few of many."""
    inputs = [
        {**one, "data": ["Bonn", "Rome", "Lima", "Kyiv", "Baku"]} for one in full_inputs(5) if one["name"] == "city"
    ]
    read_ = read([one for one in full_inputs(5) if one["name"] != "city"] + inputs)
    assert read_.codes[:, 0].tolist() == [1, CODES["Rome"], 1, 1, 1]
    assert read_.warning == (
        "city has values that the model has not learnt, which count as unknown "
        "(row 0: 'Bonn', row 2: 'Lima', row 3: 'Kyiv' and 1 more)"
    )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([tensor("age", "FP64", [1.0])], "input 'owner' is missing; this model takes age, income, owner, place, city"),
        ([tensor("city", "BYTES", ["Rome"])], "inputs 'age', 'owner' are missing"),
        ([*full_inputs(), tensor("x", "FP64", [1.0])], "input 'x' is not known to this model, which takes age"),
        ([*full_inputs(), tensor("features", "FP32", [1.0])], "input 'features' is not known"),
        (inputs_with("age", "FP64", [1.0, 2.0, 3.0]), "has 2 rows by its shape [2], but 'age' has 3"),
        (full_inputs(0), "inputs have no rows"),
        (inputs_with("age", "FP64", [1, 2, 3, 4], [2, 2]), "input 'age' has shape [2, 2]; it takes [n]"),
        (inputs_with("place", "FP64", [1, 2], [2]), "input 'place' has shape [2]; it takes [n, 2]"),
        (inputs_with("place", "FP64", [1] * 6, [2, 3]), "input 'place' has shape [2, 3]; it takes [n, 2]"),
        (inputs_with("city", "BYTES", ["a"] * 4, [2, 2]), "input 'city' has shape [2, 2]"),
        (inputs_with("age", "BYTES", ["1", "2"]), "input 'age' must be sent as numbers (FP16, FP32, FP64"),
        (inputs_with("age", "BOOL", [True, False]), "input 'age' must be sent as numbers"),
        (inputs_with("owner", "BYTES", ["1", "0"]), "input 'owner' must be sent as BOOL, or as numbers 0 and 1"),
        (inputs_with("city", "FP64", [1, 2]), "input 'city' must be sent as BYTES, not FP64"),
        (inputs_with("age", "FP64", [1, None]), "input 'age': row 1 is missing (NaN or null)"),
        (inputs_with("age", "FP64", [1, float("nan")]), "input 'age': row 1 is missing (NaN or null)"),
        (inputs_with("income", "FP64", [float("inf"), 1]), "input 'income': row 0 is infinite"),
        (inputs_with("age", "FP32", [1, 1e300]), "input 'age': row 1 is infinite, or too large for its datatype"),
        (inputs_with("place", "FP64", [1, 2, 3, None], [2, 2]), "input 'place': row 1 is missing in part"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(inputs: list[dict[str, Any]], said: str) -> None:
    """The input at fault is named, and the row."""
    assert said in fault_of(inputs)


def test_a_text_that_may_not_be_missing_is_wanted() -> None:
    """Null is refused; an empty text in bytes is a text then."""
    model = model_of({"categorical": ["city"]})
    assert "input 'city' is null in row 1" in fault_of([tensor("city", "BYTES", ["Rome", None])], model=model)
    assert read([tensor("city", "BYTES", [""])], {"city": framed(b"")}, model).codes.tolist() == [[CODES["unknown"]]]


def test_too_many_rows_are_refused_before_anything_is_made_of_them() -> None:
    """413 by the shape alone, whatever the data say; also where rows of missing features would need none."""
    inputs = [{**one, "shape": [51, *one["shape"][1:]]} for one in full_inputs()]
    assert "has 51 rows, but at most 50" in fault_of(inputs, status=413)
    model = model_of({"numeric": ["age"], "vector": {"big": 1_000}, "nullable": ["big"]})
    inputs = [tensor("age", "FP64", [1.0] * 50)]
    assert "50 rows of 1001 numbers are more than fit" in fault_of(inputs, model=model, status=413)


def test_all_features_may_come_packed_where_all_are_numbers() -> None:
    """In the order of the inputs, booleans as 0 and 1; in any datatype of numbers, under the same rules."""
    rows = np.array([[41, np.nan, 1, 0.5, -0.5], [20, 3, 0, np.nan, np.nan]], dtype=np.float32)
    blobs = {"features": rows.tobytes()}
    packed = read([tensor("features", "FP32", [], [2, 5])], blobs, NUMERIC_MODEL)
    np.testing.assert_array_equal(packed.numbers, rows.astype(np.float64))
    assert packed.codes.shape == (2, 0)
    nested = read([tensor("features", "INT64", [[41, None, 1, 0, 0]], [1, 5])], model=NUMERIC_MODEL)
    np.testing.assert_array_equal(nested.numbers, [[41, np.nan, 1, 0, 0]])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([None, 1, 1, 0, 0], "input 'features', age: row 0 is missing"),
        ([1, 1, 2, 0, 0], "input 'features', owner: row 0 must be 0 or 1"),
        ([1, 1, 1, 0, None], "input 'features', place: row 0 is missing in part"),
        ([1, 1, 1, 0], "input 'features' has shape [1, 4]; it takes [n, 5]"),
        (["a", 1, 1, 0, 0], "input 'features' is FP32: row 0 must hold a number, not a string"),
    ],
)
def test_packed_features_keep_the_rules_of_each(row: list[Any], said: str) -> None:
    """Named by the input and the feature."""
    assert said in fault_of([tensor("features", "FP32", row, [1, len(row)])], model=NUMERIC_MODEL)


def test_the_packed_input_stands_alone_and_is_numbers() -> None:
    """Beside others nobody could tell which counts."""
    packed = tensor("features", "FP32", [1, 1, 1, 0, 0], [1, 5])
    assert "input 'age' cannot come beside 'features'" in fault_of(
        [tensor("age", "FP64", [1]), packed], model=NUMERIC_MODEL
    )
    assert "must be sent as numbers" in fault_of([{**packed, "datatype": "BOOL"}], model=NUMERIC_MODEL)


def test_the_packed_input_has_a_name_that_no_feature_has() -> None:
    """A feature may be called as one likes."""
    assert packed_name(MODEL.columns) is None
    assert packed_name(NUMERIC_MODEL.columns) == "features"
    assert packed_name(model_of({"numeric": ["features", "features_"]}).columns) == "features__"


def _near(inputs: list[dict[str, Any]]) -> st.SearchStrategy[tuple[list[dict[str, Any]], dict[str, bytes]]]:
    """Return how to make requests that are almost right: wrong here and there, some of them in bytes."""
    numbers = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=2)
    changes = st.fixed_dictionaries(
        {},
        optional={
            "datatype": st.sampled_from(["FP16", "FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES"]),
            "shape": st.lists(st.integers(0, 5) | st.just(10**12), min_size=1, max_size=3),
            "data": st.lists(numbers | st.lists(numbers, max_size=2), max_size=4),
            "name": st.sampled_from([one["name"] for one in inputs]),
        },
    )
    raw = st.binary(max_size=40) | st.lists(st.binary(max_size=3), max_size=3).map(lambda texts: framed(*texts))
    names = st.sampled_from([one["name"] for one in inputs])
    changed = st.lists(st.one_of(st.just({}), changes), min_size=len(inputs), max_size=len(inputs))
    return st.tuples(
        changed.map(lambda found: [{**one, **change} for one, change in zip(inputs, found, strict=True)]),
        st.dictionaries(names, raw, max_size=2),
    )


@given(near=_near(full_inputs(2)), head=st.integers(-2, 2) | st.just(0))
def test_requests_that_are_almost_right_are_answered_or_refused(
    near: tuple[list[dict[str, Any]], dict[str, bytes]], head: int
) -> None:
    """From bytes to bytes, with wrong datatypes, shapes, data and lengths: 200, or a 4xx that says why."""
    body, length = binary({"inputs": near[0]}, near[1])
    manifest = checkpoint_of(settings_in(Path()), CHECKPOINT).manifest
    try:
        request = parse_request(body, Head(None, length + head), SERVE, elements_per_row=6)
        wanted = wanted_of(request, MODEL.task)
        columns = columns_of(request.tensors, MODEL, SERVE)
    except ProblemError as error:
        status = error.status if error.detail else 0
    else:
        with np.errstate(all="ignore"):
            outputs = MODEL.predict(columns.numbers, columns.codes)
        serving = Serving(CHECKPOINT, manifest, MODEL, 0.0)
        answer = answer_of(serving, "freshet", outputs, wanted, request_id=request.id, warning=columns.warning)
        status = 200 if answer.body else 0
    assert status in {200, 400, 413}
