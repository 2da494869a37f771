"""Every offset has one fate; it is settled when a round has trained on it or when it left the window before that."""

import random
from collections import Counter

import numpy as np
import pytest

from service.learner.fates import Fates, Moment
from service.learner.runs import (
    DEAD_LETTERED,
    EVICTED_UNLEARNT,
    HELD_OUT,
    LEARNABLE,
    NO_RECORD,
    ROLLED_BACK,
    Runs,
    heldout_fates,
)
from service.records import REWOUND, Partition

SOURCE = Partition("events", 0)
OTHER = Partition("events", 1)
NOTHING = np.empty(0, dtype=np.int64)


def add(fates: Fates, first: int, codes: list[int], *, expected: int | None = None, source: Partition = SOURCE) -> None:
    """Add consecutive offsets with these fates."""
    offsets = np.arange(first, first + len(codes))
    given = np.array(codes, dtype=np.int64)
    fates.add(source, expected, offsets, given, offsets[given == LEARNABLE])


def told(runs: Runs) -> list[tuple[int, int, int]]:
    """Return runs as (first, last, fate)."""
    return list(zip(runs.first.tolist(), runs.last.tolist(), runs.fates.tolist(), strict=True))


def test_refused_and_held_out_rows_are_told_apart() -> None:
    """The refused rows are named, the others come in order; the first of these may be noise."""
    heldout = np.array([True, False, False])
    assert heldout_fates([1, 3], heldout, 5).tolist() == [HELD_OUT, DEAD_LETTERED, LEARNABLE, DEAD_LETTERED, LEARNABLE]
    undone = [ROLLED_BACK, DEAD_LETTERED, ROLLED_BACK, DEAD_LETTERED, LEARNABLE]
    assert heldout_fates([1, 3], heldout, 5, 2).tolist() == undone


def test_what_is_not_learnable_is_settled_at_once() -> None:
    """A dead letter or a held-out event needs no round, wherever it stands."""
    fates = Fates(10)
    add(fates, 0, [DEAD_LETTERED, DEAD_LETTERED, HELD_OUT, LEARNABLE, HELD_OUT])
    assert told(fates.drain()) == [(0, 1, DEAD_LETTERED), (2, 2, HELD_OUT), (4, 4, HELD_OUT)]
    assert told(fates.drain()) == []


def test_refused_records_behind_an_open_event_cost_one_run() -> None:
    """Ten thousand polls of one bad record each, none of them a round: what is held and what is told stays small."""
    fates = Fates(10)
    add(fates, 0, [LEARNABLE])
    for offset in range(1, 10_001):
        add(fates, offset, [DEAD_LETTERED], expected=offset)
    assert told(fates.drain()) == [(1, 10_000, DEAD_LETTERED)]
    arrays, _ = fates.snapshot()
    assert len(arrays["first"]) == 1


def test_a_round_settles_its_window() -> None:
    """All that it was trained on is learnable for good, with what lies between."""
    fates = Fates(10)
    add(fates, 0, [LEARNABLE] * 4 + [HELD_OUT])
    fates.round_began(4)
    add(fates, 5, [LEARNABLE] * 2, expected=5)
    assert fates.waiting == 6
    fates.round_ended(learnt=True)
    assert fates.waiting == 2
    assert sorted(told(fates.drain())) == [(0, 3, LEARNABLE), (4, 4, HELD_OUT)]
    assert fates.unlearnt == 0


def test_what_left_the_window_between_two_rounds_was_not_learnt() -> None:
    """The window of 3 holds the newest three of eight when the round begins."""
    fates = Fates(3)
    add(fates, 0, [LEARNABLE] * 8)
    fates.round_began(3)
    fates.round_ended(learnt=True)
    assert told(fates.drain()) == [(0, 4, EVICTED_UNLEARNT), (5, 7, LEARNABLE)]
    assert fates.unlearnt == 5


def test_events_of_a_round_in_flight_wait_for_its_end() -> None:
    """They may have left the window meanwhile, and are learnt all the same if it succeeds."""
    for learnt, fate in ((True, LEARNABLE), (False, EVICTED_UNLEARNT)):
        fates = Fates(3)
        add(fates, 0, [LEARNABLE] * 3)
        fates.round_began(3)
        add(fates, 3, [LEARNABLE] * 6, expected=3)
        assert told(fates.drain()) == []
        fates.round_ended(learnt=learnt)
        settled = told(fates.drain())
        assert settled == ([(0, 2, fate), (3, 5, EVICTED_UNLEARNT)] if learnt else [(0, 5, fate)])


def test_offsets_left_out_hold_no_record() -> None:
    """Markers of transactions and compacted records are named, where something was awaited."""
    fates = Fates(10)
    fates.add(SOURCE, 0, np.array([2, 3, 6]), np.array([HELD_OUT, HELD_OUT, DEAD_LETTERED]), NOTHING)
    wanted = [(0, 1, NO_RECORD), (2, 3, HELD_OUT), (4, 5, NO_RECORD), (6, 6, DEAD_LETTERED)]
    assert sorted(told(fates.drain())) == wanted


def test_what_the_log_deleted_has_no_fate() -> None:
    """Of what was left out, only what the log says to have deleted is left without a fate."""
    fates = Fates(10)
    fates.gone(SOURCE, 3, 6)
    fates.add(SOURCE, 1, np.array([9]), np.array([HELD_OUT]), NOTHING)
    assert sorted(told(fates.drain())) == [(1, 2, NO_RECORD), (7, 8, NO_RECORD), (9, 9, HELD_OUT)]
    fates.gone(SOURCE, 11, 12)
    fates.add(SOURCE, 10, np.array([10, 13]), np.array([HELD_OUT, HELD_OUT]), NOTHING)
    assert sorted(told(fates.drain())) == [(10, 10, HELD_OUT), (13, 13, HELD_OUT)]


def test_an_open_event_whose_offset_is_given_away_tells_nothing() -> None:
    """It stays an event of the window; what is told of its offset is about the new record."""
    fates = Fates(10)
    add(fates, 0, [LEARNABLE] * 4)
    fates.rewind(SOURCE, 2, 3)
    add(fates, 2, [LEARNABLE], expected=2)
    assert fates.waiting == 5
    fates.round_began(5)
    fates.round_ended(learnt=True)
    assert told(fates.drain()) == [(2, 3, REWOUND), (0, 2, LEARNABLE)]


def test_a_repeated_delivery_is_seen() -> None:
    """Offsets that come twice are told twice: the ledger hides nothing."""
    fates = Fates(10)
    add(fates, 0, [HELD_OUT] * 5)
    add(fates, 3, [HELD_OUT] * 4, expected=5)
    assert told(fates.drain()) == [(0, 4, HELD_OUT), (3, 6, HELD_OUT)]


def test_a_log_that_went_back_is_noted() -> None:
    """What was told about these offsets is of former records."""
    fates = Fates(10)
    add(fates, 0, [HELD_OUT] * 5)
    fates.rewind(SOURCE, 3, 4)
    add(fates, 3, [DEAD_LETTERED], expected=3)
    assert told(fates.drain()) == [(3, 4, REWOUND), (3, 3, DEAD_LETTERED), (0, 2, HELD_OUT)]


def test_what_is_rolled_back_was_neither_learnt_nor_held_out() -> None:
    """Whatever rounds did since, events behind the moment have one fate, and those before it are as they were."""
    fates = Fates(10)
    add(fates, 0, [LEARNABLE] * 4)
    fates.round_began(2)
    fates.round_ended(learnt=True)
    add(fates, 4, [LEARNABLE, HELD_OUT], expected=4)
    moment = fates.now()
    add(fates, 6, [HELD_OUT, LEARNABLE, DEAD_LETTERED, LEARNABLE], expected=6)
    fates.round_began(5)
    fates.round_ended(learnt=True)
    assert sorted(told(fates.drain(keep=moment))) == [
        (0, 1, EVICTED_UNLEARNT),
        (2, 3, LEARNABLE),
        (5, 5, HELD_OUT),
        (8, 8, DEAD_LETTERED),
    ]
    fates.roll_back(moment)
    assert fates.waiting == 1
    assert sorted(told(fates.drain())) == [(6, 7, ROLLED_BACK), (9, 9, ROLLED_BACK)]
    fates.round_began(3)
    fates.round_ended(learnt=True)
    assert told(fates.drain()) == [(4, 4, LEARNABLE)]


def test_what_is_admitted_anew_after_a_roll_back_is_open_again() -> None:
    """The newest events stay, held out or learnable as they were; the rounds they were in have not been."""
    fates = Fates(10)
    moment = fates.now()
    add(fates, 0, [LEARNABLE, LEARNABLE, HELD_OUT, LEARNABLE, DEAD_LETTERED, HELD_OUT, LEARNABLE])
    fates.round_began(4)
    fates.round_ended(learnt=True)
    fates.drain(keep=moment)
    fates.roll_back(moment, 3)
    assert fates.waiting == 2
    assert sorted(told(fates.drain())) == [(0, 2, ROLLED_BACK), (5, 5, HELD_OUT)]
    fates.round_began(2)
    fates.round_ended(learnt=True)
    assert sorted(told(fates.drain())) == [(3, 3, LEARNABLE), (6, 6, LEARNABLE)]


def test_a_log_that_went_back_takes_its_offsets_out_of_a_roll_back() -> None:
    """The new records at those offsets are what is told of them."""
    fates = Fates(10)
    moment = fates.now()
    add(fates, 0, [LEARNABLE, LEARNABLE, HELD_OUT, HELD_OUT])
    fates.rewind(SOURCE, 1, 3)
    add(fates, 1, [LEARNABLE], expected=1)
    fates.roll_back(moment)
    assert sorted(told(fates.drain())) == [(0, 1, ROLLED_BACK), (1, 3, REWOUND)]


def test_a_round_in_flight_at_a_snapshot_is_open_again_after_it() -> None:
    """A restart does not know the round: its events wait for another one."""
    fates = Fates(4)
    add(fates, 0, [LEARNABLE] * 6)
    fates.round_began(4)
    settled = fates.drain()
    arrays, state = fates.snapshot()
    restored = Fates(4)
    restored.restore(arrays, state)
    assert told(settled) == [(0, 1, EVICTED_UNLEARNT)]
    assert restored.unlearnt == 2
    assert restored.waiting == 4
    restored.round_began(4)
    restored.round_ended(learnt=True)
    assert told(restored.drain()) == [(2, 5, LEARNABLE)]


@pytest.mark.parametrize("seed", range(20))
def test_every_offset_is_settled_once_and_as_a_plain_model_says(seed: int) -> None:  # noqa: C901, PLR0912, PLR0915 - a model, step by step
    """Arrivals from two partitions, rounds that end well or not, drains, restarts and roll-backs in any order."""
    chance = random.Random(seed)  # noqa: S311 - a test's choices are no secret
    capacity = chance.randint(3, 40)
    fates = Fates(capacity)
    following = {SOURCE: 0, OTHER: 100}
    order: list[tuple[Partition, int]] = []  # learnable events as they arrived
    window_of_round: list[tuple[Partition, int]] | None = None
    learnt: set[tuple[Partition, int]] = set()
    expected: dict[tuple[Partition, int], int] = {}
    settled: list[Runs] = []
    moment: Moment | None = None
    since: list[tuple[Partition, int]] = []  # admitted since the moment
    at_moment: tuple[list[tuple[Partition, int]], set[tuple[Partition, int]]] = ([], set())
    for _ in range(300):
        action = chance.random()
        if action < 0.04 and window_of_round is None:
            moment, since, at_moment = fates.now(), [], (list(order), set(learnt))
        elif action < 0.08 and moment is not None:
            again = chance.choice((0, chance.randint(0, len(since))))
            fates.roll_back(moment, again)
            undone, newest = since[: len(since) - again], since[len(since) - again :]
            expected |= dict.fromkeys(undone, ROLLED_BACK)
            order = at_moment[0] + [one for one in newest if expected[one] == LEARNABLE]
            learnt = set(at_moment[1])
            moment, window_of_round = None, None
        elif action < 0.1:
            moment = None
        elif action < 0.5:
            source = chance.choice((SOURCE, OTHER))
            codes = [chance.choice((LEARNABLE, LEARNABLE, LEARNABLE, HELD_OUT, DEAD_LETTERED)) for _ in range(7)]
            add(fates, following[source], codes, expected=following[source], source=source)
            for offset, code in enumerate(codes, following[source]):
                expected[source, offset] = code
                if code in (LEARNABLE, HELD_OUT):
                    since.append((source, offset))
                if code == LEARNABLE:
                    order.append((source, offset))
            following[source] += len(codes)
        elif action < 0.65 and window_of_round is None:
            window_of_round = order[-capacity:]
            fates.round_began(len(window_of_round))
        elif action < 0.8 and window_of_round is not None:
            succeeded = chance.random() < 0.6
            learnt |= set(window_of_round) if succeeded else set()
            window_of_round = None
            fates.round_ended(learnt=succeeded)
        elif action < 0.95:
            settled.append(fates.drain(keep=moment))
        else:
            settled.append(fates.drain(keep=moment))
            arrays, state = fates.snapshot()
            fates = Fates(capacity)
            fates.restore(arrays, state)
            window_of_round = None
    fates.round_ended(learnt=False)
    settled.append(fates.drain())
    for one in order[:-capacity]:
        expected[one] = LEARNABLE if one in learnt else EVICTED_UNLEARNT
    found = Counter[tuple[Partition, int]]()
    arrays, _ = fates.snapshot()
    runs = Runs.concatenate([*settled, Runs(**arrays)])
    for index, fate, first, last in zip(runs.sources, runs.fates, runs.first, runs.last, strict=True):
        for offset in range(first, last + 1):
            at = (fates.partitions[index], offset)
            found[at] += 1
            assert fate == expected[at], at
    assert set(found) == set(expected)
    assert set(found.values()) == {1}
    assert fates.unlearnt == sum(fate == EVICTED_UNLEARNT for fate in expected.values())
