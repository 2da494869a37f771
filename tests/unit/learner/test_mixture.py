"""Who of a portfolio is heard after a jump of the error that is known by other means."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from service.learner.jump import BLOCK_EVENTS
from service.learner.mixture import Mixture
from tests.examples import settings_of

NAMES = ("quick", "slow")


def mixture(quick: Sequence[bool] = (True, False)) -> Mixture:
    """Return a mixture whose members have done equally well on 200 events."""
    made = Mixture(settings_of().train, quick, 0.1, binary=True)
    made.credit(np.zeros(200), np.full((len(quick), 200), 0.1))
    return made


def test_after_a_jump_members_that_forget_are_heard_first() -> None:
    """Where all forget, or none, all are heard alike."""
    made = mixture()
    assert made.shares == pytest.approx([0.5, 0.5])
    made.jump()
    assert made.shares[0] > 0.9
    for alike in (mixture((True, True)), mixture((False, False))):
        alike.jump()
        assert alike.shares == pytest.approx([0.5, 0.5])


def test_events_are_counted_from_a_jump_on() -> None:
    """Those admitted since then are of the new concept."""
    made = mixture()
    made.jump()
    made.admitted(36)
    assert made.since_jump == 36


def test_a_new_concept_that_is_hard_at_first_is_no_second_jump() -> None:
    """The error before it says nothing of what is usual now."""
    made = mixture()
    made.jump()
    made.admitted(90)
    made.credit(np.ones(BLOCK_EVENTS), np.ones((2, BLOCK_EVENTS)))
    assert made.since_jump == 90


def test_what_forgetting_was_worth_is_learnt_from_the_next_block() -> None:
    """Members that do not forget were right all along: the handicap is halved; a restart in between forgets nothing."""
    made = mixture()
    made.jump()
    copy = mixture()
    copy.restore(json.loads(json.dumps(made.to_json(NAMES))), NAMES)
    for one in (made, copy):
        before = one.handicap
        one.credit(np.zeros(BLOCK_EVENTS), np.full((2, BLOCK_EVENTS), 0.1))
        assert one.handicap == pytest.approx(before / 2)


def regression(errors: Sequence[float], scale: float = 1.0, wild: float = 0.0) -> Mixture:
    """Return the mixture of a regression whose members erred so much on 200 events; the first was ``wild``."""
    made = Mixture(settings_of().train, (False,) * len(errors), 0.1, binary=False)
    each = scale * np.repeat(np.array(errors)[:, None], 200, axis=1)
    each[:, 0] += wild
    made.credit(each.mean(axis=0), each)
    return made


def test_in_a_regression_it_counts_by_how_much_a_member_errs_more_than_usual() -> None:
    """Who errs half as much as the others is heard first, however small errors are, and whatever the label's unit."""
    shares = regression((0.5, 1.0, 1.0)).shares
    assert shares[0] > 0.9
    for scale in (1e-6, 1e9):
        assert regression((0.5, 1.0, 1.0), scale).shares == pytest.approx(shares)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_one_wild_label_does_not_decide_how_large_errors_usually_are(batch: int) -> None:
    """It would make all members alike for thousands of events."""
    made = regression((0.5, 1.0, 1.0))
    wild = np.full((3, batch), 1.0)
    wild[:, 0] = 1e12
    made.credit(wild.mean(axis=0), wild)
    each = np.repeat(np.array([0.5, 1.0, 1.0])[:, None], 500, axis=1)
    made.credit(each.mean(axis=0), each)
    assert made.shares[0] > 0.9


def test_after_one_wild_label_a_jump_is_seen_as_soon() -> None:
    """Neither the mean nor the scatter of errors is what it made of them."""
    random, made = np.random.default_rng(0), regression((1.0, 1.0))
    for wild in (0.0, 1e6, 0.0, 0.0, 0.0, 0.0, 0.0):
        errors = random.exponential(size=BLOCK_EVENTS)
        errors[0] += wild
        made.credit(errors, np.stack([errors, errors]))
    made.admitted(5)
    before = made.since_jump
    errors = 3 * random.exponential(size=BLOCK_EVENTS)
    made.credit(errors, np.stack([errors, errors]))
    assert made.since_jump < before


def test_a_member_that_says_no_number_is_hardly_heard() -> None:
    """The others are judged as if it was not there, and the test for jumps goes on."""
    made = regression((0.5, 1.0, 1.0))
    each = np.repeat(np.array([0.5, 1.0, np.nan])[:, None], BLOCK_EVENTS, axis=1)
    for errors in (np.full(BLOCK_EVENTS, np.nan), np.ones(BLOCK_EVENTS)):
        made.credit(errors, each)
    assert made.shares[2] < 0.01
    assert np.isfinite(made.to_json(("a", "b", "c"))["test"]["wander"])


def test_errors_of_nothing_at_all_leave_all_members_alike() -> None:
    """A label that never varies is learnt to the last digit."""
    assert regression((0.0, 0.0)).shares == pytest.approx([0.5, 0.5])


def test_a_restart_forgets_not_how_large_errors_usually_are() -> None:
    """The next events count as they would have."""
    made, names = regression((0.5, 1.0, 1.0), 30.0), ("a", "b", "c")
    copy = Mixture(settings_of().train, (False,) * 3, 0.1, binary=False)
    copy.restore(json.loads(json.dumps(made.to_json(names))), names)
    worse = np.array([60.0, 30.0, 30.0])[:, None]
    for one in (made, copy):
        one.credit(np.array([40.0]), worse)
    assert copy.shares == pytest.approx(made.shares)
