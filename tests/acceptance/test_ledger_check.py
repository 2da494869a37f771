"""The checker itself: it finds each kind of error in an account, and nothing in one that adds up."""

from typing import Any

import pytest

from tests.acceptance.ledger_check import Verdict, broken_joints, judge

PRODUCED = {0: range(10), 1: range(5, 8)}
BAD = {0: [3]}


def run(partition: int, first: int, last: int, fate: str) -> dict[str, Any]:
    """Return a run as ``freshet ledger --json`` gives it."""
    return {"topic": "events", "partition": partition, "first": first, "last": last, "fate": fate}


GOOD = [
    run(0, 0, 2, "learnable"),
    run(0, 3, 3, "dead_lettered"),
    run(0, 4, 8, "held_out"),
    run(0, 9, 9, "evicted_unlearnt"),
    run(1, 0, 4, "no_record"),
    run(1, 5, 7, "learnable"),
]


def test_an_account_that_adds_up_passes() -> None:
    """Every offset has one fate, only the bad one is a dead letter, and markers are nobody's records."""
    assert judge(PRODUCED, BAD, GOOD)


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        (GOOD[:2] + GOOD[3:], Verdict(lost=[(0, offset) for offset in range(4, 9)])),
        ([*GOOD, run(0, 8, 9, "learnable")], Verdict(twice=[(0, 8), (0, 9)])),
        ([*GOOD, run(2, 0, 0, "learnable")], Verdict(invented=[(2, 0)])),
        ([*GOOD[:1], run(0, 3, 3, "learnable"), *GOOD[2:]], Verdict(misjudged=[(0, 3)])),
        ([run(0, 0, 3, "dead_lettered"), *GOOD[2:]], Verdict(misjudged=[(0, 0), (0, 1), (0, 2)])),
    ],
    ids=["lost", "twice", "invented", "bad and learnt", "good and refused"],
)
def test_each_kind_of_error_is_found(runs: list[dict[str, Any]], verdict: Verdict) -> None:
    """And nothing beside it."""
    found = judge(PRODUCED, BAD, runs)
    assert found == verdict
    assert not found


@pytest.mark.parametrize(
    ("first", "broken"), [(10, []), (11, ["partition 0: 11 follows 9"]), (9, ["partition 0: 9 follows 9"])]
)
def test_gaps_and_overlaps_on_the_ancestry_are_found(first: int, broken: list[str]) -> None:
    """By partition, whatever lies between two spans of one."""
    spans = [{"partition": 0, "first": 0, "last": 9}, {"partition": 1, "first": 0, "last": 3}]
    assert broken_joints([*spans, {"partition": 0, "first": first, "last": 20}]) == broken
