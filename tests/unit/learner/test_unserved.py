"""What a checkpoint tells of events never served before: each learnable event once, whatever happens in between."""

import random
from collections import Counter

import numpy as np
import pytest

from service.learner.fates import Fates, Moment
from service.learner.runs import HELD_OUT, LEARNABLE
from service.learner.unserved import MOST_LEARNT
from service.records import Partition

SOURCE = Partition("events", 0)


def arrive(fates: Fates, first: int, codes: list[int]) -> None:
    """Let consecutive offsets arrive; the time of each is its offset."""
    offsets, given = np.arange(first, first + len(codes)), np.array(codes, dtype=np.int64)
    fates.add(SOURCE, first, offsets, given, offsets[given == LEARNABLE])


def round_of(fates: Fates, window: int, *, learnt: bool = True) -> list[int]:
    """Carry a round out and return the times that its candidate would tell."""
    fates.round_began(window)
    fates.round_ended(learnt=learnt)
    return told(fates)


def told(fates: Fates) -> list[int]:
    """Return the times that a candidate would tell now."""
    times = fates.newly_learnt()
    return [int(one) for one in np.repeat(times.stamps, times.counts)]


def test_a_published_round_tells_its_window_and_the_next_one_only_what_is_new() -> None:
    """Held-out events are nobody's."""
    fates = Fates(10)
    arrive(fates, 0, [LEARNABLE, HELD_OUT, LEARNABLE])
    assert round_of(fates, 2) == [0, 2]
    fates.unserved.published("a")
    arrive(fates, 3, [LEARNABLE])
    assert round_of(fates, 3) == [3]
    assert fates.unserved.last == "a"


def test_a_rejected_rounds_events_are_told_by_the_next_published_one() -> None:
    """Also when they have been settled and have left the window by then."""
    fates = Fates(2)
    arrive(fates, 0, [LEARNABLE] * 2)
    assert round_of(fates, 2) == [0, 1]  # rejected: nobody says that it was published
    fates.drain()
    arrive(fates, 2, [LEARNABLE] * 3)
    assert round_of(fates, 2) == [0, 1, 3, 4]  # 2 was evicted unlearnt


def test_events_of_a_failed_round_wait() -> None:
    """Nothing was learnt, so nothing is told."""
    fates = Fates(10)
    arrive(fates, 0, [LEARNABLE] * 2)
    assert round_of(fates, 2, learnt=False) == []
    assert round_of(fates, 2) == [0, 1]


def test_what_a_refused_publication_told_is_told_again() -> None:
    """Until a checkpoint is published its events have not been served."""
    fates = Fates(10)
    arrive(fates, 0, [LEARNABLE] * 2)
    assert round_of(fates, 2) == [0, 1]
    fates.drain()
    assert round_of(fates, 2) == [0, 1]


def test_a_snapshot_of_a_promotion_tells_its_events_no_more() -> None:
    """The restart finishes the promotion: those events are that checkpoint's."""
    fates = Fates(10)
    arrive(fates, 0, [LEARNABLE] * 2)
    assert round_of(fates, 2) == [0, 1]
    fates.drain()
    going_on, restored = Fates(10), fates.snapshot()
    going_on.restore(*restored)
    going_on.unserved.restore(*fates.unserved.snapshot("a"))
    arrive(going_on, 2, [LEARNABLE])
    assert round_of(going_on, 3) == [2]
    assert going_on.unserved.last == "a"


def test_a_state_of_before_begins_with_what_comes() -> None:
    """Times of events that were taken in by an older program are not known, and nothing else suffers."""
    fates = Fates(10)
    arrive(fates, 0, [LEARNABLE] * 3)
    fates.drain()
    older = Fates(10)
    older.restore(*fates.snapshot())
    arrive(older, 3, [LEARNABLE])
    assert round_of(older, 4) == [3]


def test_times_do_not_pile_up_while_nothing_is_published() -> None:
    """However many events rejected rounds learn from: the number is kept, the times are rounded."""
    fates = Fates(1_000)
    for first in range(0, 20_000, 1_000):
        arrive(fates, first, [LEARNABLE] * 1_000)
        fates.round_began(1_000)
        fates.round_ended(learnt=True)
        fates.drain()
    arrays, _ = fates.unserved.snapshot()
    assert len(arrays["stamps"]) <= MOST_LEARNT
    assert len(arrays["open"]) == 0
    assert fates.newly_learnt().events == 20_000


@pytest.mark.parametrize("seed", range(30))
def test_every_learnable_event_is_told_once_by_what_is_published(seed: int) -> None:  # noqa: C901, PLR0915 - a model, step by step
    """Rounds that end well or not, are published or not; drains, restarts and roll-backs in any order."""
    chance = random.Random(seed)  # noqa: S311 - a test's choices are no secret
    capacity = chance.randint(3, 40)
    fates = Fates(capacity)
    following = 0
    order: list[int] = []  # learnable events as they arrived
    learnt: set[int] = set()
    served = Counter[int]()
    since: list[tuple[int, int]] = []  # admitted since the moment
    moment: Moment | None = None
    at_moment: tuple[list[int], set[int]] = ([], set())
    window: list[int] | None = None
    covered: list[int] | None = None
    for _ in range(400):
        action = chance.random()
        if action < 0.04 and window is None:
            moment, since, at_moment = fates.now(), [], (list(order), set(learnt))
        elif action < 0.08 and moment is not None:
            again = chance.choice((0, chance.randint(0, len(since))))
            fates.roll_back(moment, again)
            order = at_moment[0] + [one for one, code in since[len(since) - again :] if code == LEARNABLE]
            learnt = set(at_moment[1])
            moment = window = None
        elif action < 0.1:
            moment = None
        elif action < 0.5:
            codes = [chance.choice((LEARNABLE, LEARNABLE, HELD_OUT)) for _ in range(7)]
            arrive(fates, following, codes)
            since += list(enumerate(codes, following))
            order += [at for at, code in enumerate(codes, following) if code == LEARNABLE]
            following += 7
        elif action < 0.65 and window is None and covered is None:
            window = order[-capacity:]
            fates.round_began(len(window))
        elif action < 0.8 and window is not None:
            learnt |= set(window) if (good := chance.random() < 0.8) else set()
            fates.round_ended(learnt=good)
            window = None
            if good and chance.random() < 0.7:
                covered = told(fates)
                assert covered == sorted(one for one in order if one in learnt and not served[one])
        elif action < 0.9 and covered is not None:
            if chance.random() < 0.8:
                fates.unserved.published("a")
                served.update(covered)
            covered = None
        elif action < 0.96:
            fates.drain(keep=moment)
        elif covered is None:
            fates.drain(keep=moment)
            unserved, before = fates.unserved.snapshot(), fates.snapshot()
            fates = Fates(capacity)
            fates.restore(*before)
            fates.unserved.restore(*unserved)
            window = None
    assert set(served.values()) <= {1}
    assert served
