"""What callers have at hand becomes JSON that says just that, or is refused with its place."""

import array
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.client.answers import Event
from service.client.encoding import encoded, in_batches, pointer
from service.client.errors import UnsendableError


class City(str, Enum):  # noqa: UP042 - the form that older code has
    """A text that is no plain str."""

    ROME = "Rome"


class Size(IntEnum):
    """A number that is no plain int."""

    LARGE = 3


def sent(value: object, *, nan_is_missing: bool = False) -> Any:
    """Return what a server reads for one value."""
    return json.loads(encoded("instances", [{"x": value}], nan_is_missing=nan_is_missing))["instances"][0]["x"]


TEXT = st.text(st.characters(codec="utf-8"))
NUMBER = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(TEXT, JSON), max_size=3))
def test_what_json_can_say_arrives_as_it_was(items: list[dict[str, Any]]) -> None:
    """Any finite value is read back as the very same one."""
    assert json.loads(encoded("events", items)) == {"events": items}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(1.25), 1.25),
        (np.int64(-3), -3),
        (np.bool_(True), True),  # noqa: FBT003
        (np.str_("Zürich"), "Zürich"),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (np.array([[True], [False]]), [[True], [False]]),
        (torch.tensor([0.5]), [0.5]),
        (array.array("i", [1, 2]), [1, 2]),
        (Decimal("1.5"), 1.5),
        ((1, "a", None), [1, "a", None]),
        (City.ROME, "Rome"),
        (Size.LARGE, 3),
        (datetime(2026, 1, 31, 9, 30, tzinfo=UTC), "2026-01-31T09:30:00+00:00"),
        (datetime(2026, 1, 31, 9, 30, tzinfo=timezone(timedelta(hours=-3))), "2026-01-31T09:30:00-03:00"),
    ],
)
def test_values_near_to_json_are_sent_as_what_they_are(value: object, expected: object) -> None:
    """Numbers and arrays of numpy and torch, decimals, enumerations and aware times need no conversion by hand."""
    found = sent(value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "None says that a value is missing"),
        (np.float32("nan"), "None says that a value is missing"),
        (Decimal("sNaN"), "None says that a value is missing"),
        (-math.inf, "infinite"),
        (10**400, "too large"),
        (datetime(2026, 1, 31), "without a zone"),  # noqa: DTZ001
        (np.datetime64("2026-01-31"), "no zone"),
        (np.array(["2026-01-31"], dtype="M8[ns]"), "no zone"),
        ("\ud800", "surrogate"),
        (b"bytes", "no form for bytes"),
        ({1, 2}, "no form for set"),
        (1j, "no form for complex"),
        ({3: "x"}, "names must be text, not int"),
    ],
)
def test_what_json_cannot_say_is_refused_before_it_is_sent(value: object, words: str) -> None:
    """Not one of them becomes null, text, or a time in another zone on its way; the place is named."""
    with pytest.raises(UnsendableError, match=words) as caught:
        encoded("instances", [{"x": 1.0}, {"a/b": [0, value]}], first=5)
    assert caught.value.pointer == "/instances/6/a~1b/1"
    assert isinstance(caught.value, ValueError)


def test_nan_means_missing_only_where_the_caller_says_so() -> None:
    """As tables have it; infinity still means nothing."""
    assert sent(math.nan, nan_is_missing=True) is None
    assert sent(np.array([1.0, np.nan]), nan_is_missing=True) == [1.0, None]
    with pytest.raises(UnsendableError, match="infinite"):
        sent(math.inf, nan_is_missing=True)


def test_an_event_without_id_and_time_has_neither_key() -> None:
    """The server gives it a time; null would be one that cannot be read."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    events = [Event(features={"x": np.float32(1)}, label="yes"), Event(features={}, label=1.5, id="a", ts=at)]
    assert json.loads(encoded("events", events))["events"] == [
        {"features": {"x": 1.0}, "label": "yes"},
        {"features": {}, "label": 1.5, "id": "a", "ts": "2026-01-31T00:00:00+00:00"},
    ]


@pytest.mark.parametrize("items", [{"x": 1.0}, "text", b"bytes", [5], [None], ["name of a column"]])
def test_a_single_instance_or_a_table_by_columns_is_told_what_is_needed(items: Any) -> None:
    """The commonest slips get a sentence, not an answer about their letters."""
    with pytest.raises(UnsendableError, match=r"list|mapping"):
        encoded("instances", items)


def test_what_holds_itself_is_refused() -> None:
    """It would have no end."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnsendableError, match="within themselves"):
        encoded("instances", [{"x": endless}])


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_batches_hold_everything_once_and_in_order(items: list[int], batch_size: int) -> None:
    """Each is full but the last, and knows where it begins."""
    batches = list(in_batches(iter(items), batch_size))
    assert [item for _, batch in batches for item in batch] == items
    assert all(len(batch) == batch_size for _, batch in batches[:-1])
    assert [first for first, _ in batches] == list(range(0, len(items), batch_size))


def test_a_batch_of_nothing_is_refused() -> None:
    """It would never end."""
    with pytest.raises(ValueError, match="batch_size is 0"):
        list(in_batches([1], 0))


@given(st.text())
def test_a_pointer_can_be_read_back(step: str) -> None:
    """As RFC 6901 says, tilde and slash are escaped."""
    assert pointer("a", 0, step).removeprefix("/a/0/").replace("~1", "/").replace("~0", "~") == step
