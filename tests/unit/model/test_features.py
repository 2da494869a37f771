"""What an event's features must look like, and how they become columns."""

import numpy as np
import pytest

from service.model.features import FeatureColumns
from service.settings import Schema

SCHEMA = Schema(
    numeric=("n",), boolean=("b",), vector={"v": 2, "w": 3}, categorical=("c",), nullable=("w", "c"), label="y"
)
COLUMNS = FeatureColumns(SCHEMA)


def test_columns_are_numeric_boolean_vectors_then_categorical() -> None:
    """The order is that of the schema, and a missing vector is NaN in all of its columns."""
    assert COLUMNS.names == ("n", "b", "v", "w", "c")
    assert COLUMNS.width == 7
    assert COLUMNS.vectors == {"v": slice(2, 4), "w": slice(4, 7)}
    rows = [COLUMNS.row({"n": 1, "b": False, "v": [2, 3], "w": [4, 5, 6]}), (7, True, [8, 9], None, "red")]
    numbers, texts = COLUMNS.columns(rows)
    np.testing.assert_array_equal(numbers, [[1, 0, 2, 3, 4, 5, 6], [7, 1, 8, 9, np.nan, np.nan, np.nan]])
    assert [list(column) for column in texts] == [[None, "red"]]
    numbers, texts = COLUMNS.columns([])
    assert (numbers.shape, texts) == ((0, 7), [()])


@pytest.mark.parametrize(
    ("vector", "reason", "element", "words"),
    [
        ([1], "wrong_type", None, "must have 2 numbers, not 1"),
        ("1,2", "wrong_type", None, "must be an array of 2 numbers, not a string"),
        ([1, None], "wrong_type", 1, "v[1] must be a number, not null"),
        ([float("inf"), "x"], "wrong_type", 1, "v[1] must be a number, not a string"),
        ([float("nan"), float("inf")], "not_finite", 0, "v[0] is NaN, infinite or too large"),
    ],
)
def test_a_fault_of_a_vector_says_which_element(vector: object, reason: str, element: int | None, words: str) -> None:
    """A wrong type goes before a number that is not finite, as everywhere."""
    (fault,) = COLUMNS.faults({"n": 1, "b": True, "v": vector})
    assert (fault.reason, fault.feature, fault.element) == (reason, "v", element)
    assert words in fault.detail


def test_a_summary_has_two_columns_a_vector() -> None:
    """Mean and deviation of its elements stand for it where drift is watched; without vectors nothing is copied."""
    assert COLUMNS.watched == ("n", "b", "v", "v.spread", "w", "w.spread")
    numbers = np.array([[1, 0, 2, 4, 3, 3, 3], [1, 1, 0, 0, np.nan, np.nan, np.nan]], dtype=np.float64)
    np.testing.assert_array_equal(COLUMNS.summary(numbers), [[1, 0, 3, 1, 3, 0], [1, 1, 0, 0, np.nan, np.nan]])
    plain = FeatureColumns(Schema(numeric=("n",)))
    assert plain.summary(numbers[:, :1]).base is numbers
    assert plain.watched == ("n",)
