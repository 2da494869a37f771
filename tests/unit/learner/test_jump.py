"""When the error of what predicts has jumped, and when it only has a hard stretch."""

import json

import numpy as np

from service.learner.jump import BLOCK_EVENTS, JumpTest
from service.records import FloatArray

BLOCKS = 200


def jumps(test: JumpTest, levels: FloatArray) -> int:
    """Return in how many blocks a jump is found, of a regression whose usual error is each block's level."""
    random = np.random.default_rng(0)
    return sum(test.add(level * random.exponential(size=BLOCK_EVENTS)) is not None for level in levels)


def test_hard_stretches_of_a_regression_are_no_jumps() -> None:
    """Where neighbours are alike the means of blocks wander by more than single errors scatter."""
    random, level, levels = np.random.default_rng(1), 0.0, []
    for _ in range(BLOCKS):
        level = 0.8 * level + 0.3 * random.normal()
        levels.append(np.exp(level))
    assert jumps(JumpTest(3.0, binary=False), np.array(levels)) <= BLOCKS * 0.03


def test_an_error_that_doubles_is_a_jump_in_its_first_block() -> None:
    """However long nothing has happened; and it is one jump, not many."""
    levels = np.ones(BLOCKS)
    assert jumps(JumpTest(3.0, binary=False), levels) <= BLOCKS * 0.02
    levels[BLOCKS // 2 :] = 2.0
    test = JumpTest(3.0, binary=False)
    before = jumps(test, levels[: BLOCKS // 2])
    assert jumps(test, levels[BLOCKS // 2 : BLOCKS // 2 + 1]) == 1
    assert before + jumps(test, levels[BLOCKS // 2 + 1 :]) <= BLOCKS * 0.02


def test_a_restart_forgets_nothing_of_how_errors_wander() -> None:
    """From there on both find the same."""
    random, made = np.random.default_rng(2), JumpTest(3.0, binary=False)
    for _ in range(20):
        made.add(random.exponential(size=BLOCK_EVENTS) * random.uniform(0.5, 2.0))
    copy = JumpTest.from_json(json.loads(json.dumps(made.to_json())), 3.0, binary=False)
    for errors in random.exponential(size=(50, BLOCK_EVENTS)) * random.uniform(0.5, 2.0, (50, 1)):
        assert copy.add(errors) == made.add(errors)
