"""What serves when: each checkpoint at most once, the one pointed to first, and behind it nothing newer."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointDamagedError
from service.store.canonical import seal
from service.store.manifest import age
from service.store.pointer import LATEST, Pointer, move_pointer, read_pointer, succession
from tests.properties.effort import examples
from tests.properties.store.json_values import objects

ALL = [f"{number:06d}-{number:08x}" for number in range(8)]
ids = st.sampled_from(ALL)


@examples(200)
@given(st.sets(ids), ids, st.one_of(st.none(), ids), st.dictionaries(ids, st.one_of(st.none(), ids)))
def test_a_succession_has_no_repeats_and_ends(
    known: set[str], at: str, previous: str | None, parents: dict[str, str | None]
) -> None:
    """Whatever the parents are, rings among them: served ones, their ancestors, then all that is older."""
    newest_first = sorted(known, key=age, reverse=True)
    found = list(succession(Pointer(at, previous, "", "", ""), newest_first, parents.get))
    assert len({*found}) == len(found)
    assert found[0] == at
    assert previous is None or previous in found[:2]
    ancestors, current = [], [at, previous]
    for start in current:
        while start and start not in ancestors:
            ancestors.append(start)
            start = parents.get(start)  # noqa: PLW2901 - one step up
    assert {*found} == {*ancestors} | {one for one in known if age(one) < age(at)}
    assert all(age(one) < age(at) for one in found if one not in ancestors)


@examples(40)
@given(st.lists(ids, min_size=1, max_size=6))
def test_each_move_knows_what_served_before(moves: Sequence[str]) -> None:
    """The last different one; and what is read is what was written."""
    with tempfile.TemporaryDirectory() as place:
        last: str | None = None
        before: str | None = None
        for number, one in enumerate(moves):
            if one != last:
                last, before = one, last
            moved = move_pointer(Path(place), one, reason=f"r{number}", by="me")
            assert (moved.id, moved.previous) == (one, before)
            assert read_pointer(Path(place)) == moved


@examples(200)
@given(st.one_of(st.binary(max_size=80), objects.map(seal)))
def test_no_other_file_is_a_pointer(data: bytes) -> None:
    """Any bytes, and any well sealed object: CheckpointDamagedError; a move then writes it anew."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / LATEST).write_bytes(data)
        with pytest.raises(CheckpointDamagedError, match=f"{LATEST}: damaged"):
            read_pointer(Path(place))
        assert move_pointer(Path(place), ALL[0], reason="", by="").previous is None
