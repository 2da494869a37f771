"""Features that are lists of numbers: what fits, what is refused and why, and where they stand in the columns."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.decode import Decoded, Decoder
from service.model.features import FeatureColumns
from service.model.vocabulary import Categories, Labels
from service.records import Partition, RecordBatch
from service.settings import Settings
from tests.properties.contract_oracle import Contract

SETTINGS = Settings.model_validate(
    {
        "schema": {
            "numeric": ["n"],
            "boolean": ["b"],
            "vector": {"v": 3, "w": 2},
            "categorical": ["c"],
            "nullable": ["w"],
            "labels": ["no", "yes"],
        }
    }
)
FITTING: dict[str, Any] = {"n": 7, "b": True, "v": [1, 2.5, -3], "w": [0.5, 4], "c": "red"}


def event(text: str) -> bytes:
    """Return an event whose vector ``v`` is this JSON text."""
    return json.dumps({"features": FITTING | {"v": "HERE"}, "label": "yes"}).replace('"HERE"', text).encode()


def decoded(texts: list[str], *, fast: bool) -> Decoded:
    """Decode events with these vectors ``v``, as JSON text, quickly where that is possible or always slowly."""
    columns = FeatureColumns(SETTINGS.schema_)
    made = Decoder(SETTINGS, columns, Categories(("c",), 10), Labels.of(SETTINGS), lambda: 1_800_000_000_000)
    if not fast:

        def refuse(value: bytes) -> None:
            raise msgspec.DecodeError(str(len(value)))

        made._decode = refuse
    values = [event(text) for text in texts]
    count = len(values)
    empty: list[Any] = [None] * count
    return made.decode(
        RecordBatch(Partition("t", 0), np.arange(count), np.full(count, -1), values, empty, [()] * count)
    )


@pytest.mark.parametrize("fast", [True, False])
def test_a_vector_is_as_many_columns_as_it_is_long(*, fast: bool) -> None:
    """Behind numbers and booleans, in the order of the schema; integers are numbers too."""
    found = decoded(["[1, 2.5, -3]", "[0, 0, 1e300]"], fast=fast)
    assert found.refusals == []
    assert found.examples.numbers.tolist() == [[7, 1, 1, 2.5, -3, 0.5, 4], [7, 1, 0, 0, 1e300, 0.5, 4]]


REFUSED = {
    "[1, 2]": "wrong_type",
    "[1, 2, 3, 4]": "wrong_type",
    "[]": "wrong_type",
    "5": "wrong_type",
    '"[1, 2, 3]"': "wrong_type",
    '{"0": 1}': "wrong_type",
    "[1, null, 3]": "wrong_type",
    "[1, true, 3]": "wrong_type",
    '[1, "2", 3]': "wrong_type",
    "[1, [2], 3]": "wrong_type",
    "[1, NaN, 3]": "not_finite",
    "[1, Infinity, 3]": "not_finite",
    "[1, 2, 1e999]": "not_finite",
    f"[1, 2, {10**400}]": "not_finite",
    '[NaN, 2, "x"]': "wrong_type",
    "null": "missing_feature",
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_a_vector_that_does_not_fit_is_refused_with_its_reason(text: str, reason: str, *, fast: bool) -> None:
    """Length, kind and finiteness of every number are looked at; the neighbours in the batch are not touched."""
    found = decoded(["[1, 2, 3]", text, "[4, 5, 6]"], fast=fast)
    assert [(one.index, one.reason) for one in found.refusals] == [(1, reason)]
    assert found.examples.numbers[:, 2].tolist() == [1, 4]


def test_the_refusal_names_the_number_that_is_wrong() -> None:
    """Whoever looks at the dead letters sees which one."""
    (refusal,) = decoded(["[1, NaN, null]"], fast=True).refusals
    assert refusal.detail == "v[2] must be a number, not null"


elements = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(json.dumps),
    st.sampled_from(["null", "true", '"1"', "[1]", "1e400", "-0", "9" * 320, "0.1e-400"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(elements, min_size=2, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"), max_size=4))
def test_fast_and_slow_reading_agree_with_the_contract(texts: list[str]) -> None:
    """Whatever a vector holds, its reader does not change what becomes of it, and the contract's judge agrees."""
    fast, slow = decoded(["[1, 2, 3]", *texts], fast=True), decoded(["[1, 2, 3]", *texts], fast=False)
    assert [(one.index, one.reason) for one in fast.refusals] == [(one.index, one.reason) for one in slow.refusals]
    assert fast.examples.numbers.tobytes() == slow.examples.numbers.tobytes()
    schema = SETTINGS.schema_
    lists = {kind: getattr(schema, kind) for kind in ("numeric", "boolean", "vector", "categorical", "nullable")}
    contract = Contract(**lists, labels=list(schema.labels), max_bytes=2**20, now_ms=1_800_000_000_000)
    judged = [contract.judge(event(text)) for text in ["[1, 2, 3]", *texts]]
    assert [(one.index, one.reason) for one in fast.refusals] == [
        (index, one) for index, one in enumerate(judged) if isinstance(one, str)
    ]
    assert fast.examples.numbers.tolist() == [list(one.numbers) for one in judged if not isinstance(one, str)]
