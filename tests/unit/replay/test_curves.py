"""Sums and readings along a stream: exact in total, bounded in memory."""

import numpy as np
import pytest

from service.replay.curves import FIRST_WIDTH, MOST_POINTS, Curves, Samples


@pytest.mark.parametrize("sizes", [(1, 7, 100), (FIRST_WIDTH * MOST_POINTS, 1), (90_001,)])
def test_however_events_are_cut_their_sums_are_all_there(sizes: tuple[int, ...]) -> None:
    """Buckets merge by pairs when there are too many; nothing is lost and no bucket is wider than another."""
    curves = Curves(("events", "place"))
    place = 0
    for size in sizes:
        curves.add(np.stack([np.ones(size), np.arange(place, place + size, dtype=np.float64)]))
        place += size
    sums, ends = curves.sums(), curves.ends()
    assert len(ends) <= MOST_POINTS
    assert ends[-1] == place
    assert sums["events"].tolist() == np.diff(ends, prepend=0).tolist()
    assert sums["place"].sum() == place * (place - 1) / 2
    assert sums["place"][0] == sum(range(min(place, curves.width)))


def test_a_mark_stands_at_the_newest_event() -> None:
    """What comes of the last event of a bucket is marked there, not in the next one, which may never come."""
    curves = Curves(("mark",))
    curves.skip(FIRST_WIDTH)
    curves.note("mark")
    curves.skip(1)
    curves.note("mark", 2)
    assert curves.sums()["mark"].tolist() == [1, 2]


def test_skipping_goes_as_far_as_adding() -> None:
    """A stream of which there is nothing to add has as many points."""
    added, skipped = Curves(("a",)), Curves(("a",))
    added.add(np.zeros((1, 50_000)))
    skipped.skip(50_000)
    assert skipped.ends().tolist() == added.ends().tolist()


def test_readings_are_thinned_out_not_cut_off() -> None:
    """Far more readings than there is room for still span the stream evenly."""
    samples = Samples()
    for event in range(10 * MOST_POINTS):
        samples.offer(event, {"a": float(event)})
    assert len(samples.at) < MOST_POINTS
    assert samples.values["a"] == [float(event) for event in samples.at]
    steps = set(np.diff(samples.at).tolist())
    assert len(steps) == 1
    assert samples.at[-1] > 0.99 * 10 * MOST_POINTS - steps.pop()


def test_a_value_that_comes_late_or_stays_away_reads_nan() -> None:
    """All columns are as long as the list of places."""
    samples = Samples()
    samples.offer(1, {"a": 1.0})
    samples.offer(2, {"b": 2.0})
    assert samples.at == [1, 2]
    assert np.array_equal(samples.values["a"], [1.0, np.nan], equal_nan=True)
    assert np.array_equal(samples.values["b"], [np.nan, 2.0], equal_nan=True)
