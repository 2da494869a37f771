"""How long events wait for a checkpoint that was trained on them."""

from service.trigger.freshness import MOST_MARKS, Freshness


def test_the_oldest_event_that_waits_gives_the_age() -> None:
    """It waits until a round that began after its arrival serves; rejected, it was tried and waits on."""
    fresh = Freshness(1_000)
    assert fresh.unserved_seconds(5.0) == 0
    fresh.took_in(10, 10.0)
    fresh.took_in(10, 20.0)
    assert fresh.unserved_seconds(30.0) == 20
    fresh.began()
    fresh.took_in(10, 31.0)
    fresh.tried()
    assert (fresh.untried_seconds(35.0), fresh.unserved_seconds(35.0)) == (4, 25)
    fresh.began()
    fresh.tried()
    fresh.served()
    assert (fresh.untried_seconds(40.0), fresh.unserved_seconds(40.0)) == (0, 0)


def test_what_left_the_window_waits_no_more() -> None:
    """No round can train on it."""
    fresh = Freshness(15)
    fresh.took_in(10, 1.0)
    fresh.took_in(10, 2.0)
    assert fresh.unserved_seconds(3.0) == 2
    fresh.took_in(10, 3.0)
    assert fresh.unserved_seconds(3.0) == 1


def test_what_is_rolled_back_waits_no_more() -> None:
    """It will never be trained on; what comes later waits anew."""
    fresh = Freshness(100)
    fresh.took_in(10, 1.0)
    fresh.gave_up()
    assert fresh.unserved_seconds(9.0) == 0
    fresh.took_in(1, 10.0)
    assert fresh.unserved_seconds(12.0) == 2


def test_memory_is_bounded_and_ages_err_on_the_old_side() -> None:
    """Years without a served checkpoint: the marks are thinned, and no age is told too young."""
    fresh = Freshness(50_000)
    for second in range(100_000):
        fresh.took_in(1, float(second))
    state = fresh.to_json(100_000.0)
    assert len(state["marks"]) <= MOST_MARKS + 1
    assert 50_000 <= fresh.unserved_seconds(100_000.0) <= 60_000


def test_a_round_takes_as_long_as_the_longest_of_late() -> None:
    """The bound is a promise; of what was long ago nothing is feared."""
    fresh = Freshness(100)
    assert fresh.round_seconds == 0
    for seconds in (30.0, *[2.0] * 7):
        fresh.took(seconds)
    assert fresh.round_seconds == 30
    fresh.took(3.0)
    assert fresh.round_seconds == 3
