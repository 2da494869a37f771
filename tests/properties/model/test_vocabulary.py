"""Vocabularies only grow: a code once given means the same for ever."""

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from service.model.vocabulary import FIRST_CODE, MISSING, UNKNOWN, Categories, Labels
from tests.properties.effort import examples

values = st.one_of(st.none(), st.text("abc", max_size=2))
columns = st.lists(values, max_size=8)


@examples(150)
@given(st.integers(1, 6), st.lists(st.tuples(columns, st.booleans(), st.booleans()), max_size=8))
def test_codes_are_never_renumbered(capacity: int, steps: Sequence[tuple[Sequence[str | None], bool, bool]]) -> None:
    """New values get the next code while there is room and growing is allowed, the others share one; JSON keeps all."""
    categories = Categories(["c"], capacity)
    known: dict[str, int] = {}
    for column, grow, reload in steps:
        codes = categories.encode([column], grow=grow, rows=len(column))[:, 0].tolist()
        for value in column:
            if grow and value is not None and value not in known and len(known) < capacity:
                known[value] = len(known) + FIRST_CODE
        assert codes == [MISSING if value is None else known.get(value, UNKNOWN) for value in column]
        if reload:
            categories = Categories.from_json(json.loads(json.dumps(categories.to_json())), capacity)
    assert categories.sizes == (len(known) + FIRST_CODE,)
    assert categories.to_json() == {"c": [*known]}


@examples(100)
@given(st.lists(st.text("ab", max_size=2), max_size=12), st.integers(1, 4), st.integers(0, 12))
def test_a_fixed_or_full_set_of_labels_takes_nothing_in(names: list[str], capacity: int, fixed_after: int) -> None:
    """And each label keeps its index, through JSON too."""
    labels = Labels((), capacity, fixed=False)
    expected: list[str] = []
    for number, name in enumerate(names):
        if number == fixed_after:
            labels.fix()
            labels = Labels.from_json(json.loads(json.dumps(labels.to_json())))
        if number < fixed_after and name not in expected and len(expected) < capacity:
            expected.append(name)
        assert labels.index(name) == (expected.index(name) if name in expected else None)
    assert labels.names == tuple(expected)
