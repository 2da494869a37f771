"""Training pauses a little after a failure, and long after several in a row."""

from service.settings import Worker
from service.trainer.breaker import Breaker


def make() -> Breaker:
    """Return a breaker that opens at the third failure, for 100 s."""
    return Breaker(Worker(breaker_failures=3, breaker_seconds=100.0))


def test_pauses_double_until_it_opens() -> None:
    """1 s, 2 s, and then the long pause; consumption is not its business."""
    breaker = make()
    assert [breaker.failed(0.0, "loss is NaN") for _ in range(3)] == [1.0, 2.0, 100.0]
    assert not breaker.lets(99.0)
    assert breaker.lets(100.0)


def test_it_says_why_and_until_when() -> None:
    """Only while it is open."""
    breaker = make()
    breaker.failed(0.0, "loss is NaN")
    assert breaker.problem(0.0) is None
    breaker.failed(0.0, "loss is NaN")
    breaker.failed(10.0, "the worker ended with exit code -9")
    told = breaker.problem(50.0)
    assert told is not None
    assert "after 3 failed rounds in a row" in told
    assert "in 60 s" in told
    assert "exit code -9" in told


def test_one_round_tries_again_and_decides() -> None:
    """It opens again at once when that one fails, and closes when it does not."""
    breaker = make()
    for _ in range(3):
        breaker.failed(0.0, "x")
    assert breaker.lets(100.0)
    assert breaker.is_open
    assert breaker.failed(101.0, "y") == 100.0
    assert not breaker.lets(200.0)
    breaker.reset()
    assert breaker.lets(102.0)
    assert not breaker.is_open
    assert breaker.problem(102.0) is None
    assert breaker.failed(103.0, "z") == 1.0
