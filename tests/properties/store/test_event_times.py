"""Times of events keep their number and about their ages, however many there are and whenever they happened."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.event_times import MOST_ENTRIES, NO_TIMES, EventTimes
from tests.properties.effort import examples

NOW = 1_790_000_000_000
ages = st.one_of(st.integers(0, 2_000), st.integers(0, 2**40), st.integers(-86_400_000, 0))
spread = st.tuples(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 30_000))


def stamps_of(seed: int, bits: int, events: int) -> np.ndarray:
    """Return the stamps of that many events, as old as 2**bits ms at most, or up to a day ahead."""
    random = np.random.default_rng(seed)
    old = (2 ** random.uniform(0, bits, events)).astype(np.int64)
    return NOW - np.where(random.random(events) < 0.1, -np.minimum(old, 86_400_000), old)


@examples(100)
@given(st.lists(ages, max_size=60))
def test_few_times_are_kept_exactly(given_ages: list[int]) -> None:
    """To the millisecond, also through their text."""
    stamps = NOW - np.array(given_ages, dtype=np.int64)
    times = EventTimes.of(stamps).bounded(NOW)
    assert np.repeat(times.stamps, times.counts).tolist() == sorted(stamps.tolist())
    read = EventTimes.decoded(times.encoded())
    assert read.stamps.tolist() == times.stamps.tolist()
    assert read.counts.tolist() == times.counts.tolist()


@examples(60)
@given(spread)
def test_many_times_fit_and_none_is_lost(drawn: tuple[int, int, int]) -> None:
    """No more entries than there is room for, as many events; each age is wrong by less than a quarter, or 1 ms."""
    stamps = np.sort(stamps_of(*drawn))
    times = EventTimes.of(stamps).bounded(NOW)
    assert len(times) <= MOST_ENTRIES
    assert times.events == len(stamps)
    assert (np.diff(times.stamps) > 0).all()
    kept = np.repeat(times.stamps, times.counts)
    assert (np.abs(kept - stamps) <= np.maximum(np.abs(NOW - stamps) / 4, 1)).all()
    assert EventTimes.decoded(times.encoded()).events == len(stamps)


@examples(60)
@given(spread, st.integers(1, 5))
def test_merging_loses_nothing_and_keeps_the_mean(drawn: tuple[int, int, int], parts: int) -> None:
    """In whatever parts the events came, each bounded before."""
    stamps = stamps_of(*drawn)
    split = [EventTimes.of(part).bounded(NOW) for part in np.array_split(stamps, parts)]
    times = EventTimes.merged(split).bounded(NOW)
    assert times.events == len(stamps)
    assert len(times) <= MOST_ENTRIES
    if len(stamps):
        assert abs(np.average(times.stamps - NOW, weights=times.counts) - (stamps - NOW).mean()) <= 2


def test_a_backlog_does_not_blur_live_events() -> None:
    """A thousand of the last second, one each millisecond, and a thousand of the last hour: none is off by 1/32."""
    ages = np.concatenate([np.arange(1_000), np.arange(1, 1_001) * 3_600])
    times = EventTimes.of(NOW - ages).bounded(NOW)
    kept = np.repeat(NOW - times.stamps, times.counts)[::-1]
    assert (np.abs(kept - np.sort(ages)) <= np.sort(ages) / 32).all()


def test_events_of_the_future_have_no_negative_age() -> None:
    """A producer's clock may be ahead."""
    assert EventTimes.of(np.array([NOW + 500])).ages(NOW / 1_000).tolist() == [0.0]
    assert NO_TIMES.ages(0.0).tolist() == []


@examples(200)
@given(st.one_of(st.text(max_size=30), st.binary(max_size=30).map(lambda raw: raw.hex())))
def test_what_is_no_such_text_is_refused(text: str) -> None:
    """By one kind of error."""
    with pytest.raises(ValueError, match="no event times"):
        EventTimes.decoded(text)


def test_a_text_that_unpacks_to_far_too_much_is_refused() -> None:
    """Whoever writes into the store must not fill a server's memory."""
    many = EventTimes(np.arange(1, 2_000_000), np.ones(1_999_999, dtype=np.int64))
    with pytest.raises(ValueError, match="too many"):
        EventTimes.decoded(many.encoded())
