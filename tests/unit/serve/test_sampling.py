"""Which instances run in the shadow."""

import numpy as np
import pytest

from service.serve.sampling import Sampler


def picked(share: float, *counts: int) -> list[int]:
    """Return which instances are picked of batches of these sizes, counted through all of them."""
    sampler, found, begin = Sampler(share), [], 0
    for count in counts:
        found += [begin + index for index in sampler.pick(count)]
        begin += count
    return found


@pytest.mark.parametrize("share", [0.001, 0.1, 0.37, 0.999])
def test_every_stretch_has_its_share(share: float) -> None:
    """Not only on average: no stretch of a thousand is off by more than a few."""
    chosen = np.zeros(50_000)
    chosen[picked(share, 50_000)] = 1
    sums = np.convolve(chosen, np.ones(1_000), "valid")
    assert np.abs(sums - share * 1_000).max() < 6


def test_how_instances_come_in_batches_makes_no_difference() -> None:
    """One by one, in tens or all at once: the same are picked."""
    once = picked(0.1, 3_000)
    assert once == picked(0.1, *[1] * 3_000) == picked(0.1, *[10] * 300) == picked(0.1, 1, 0, 2_000, 999)


def test_a_whole_share_is_everything() -> None:
    """1 leaves nobody out."""
    assert picked(1.0, 1, 700, 3) == list(range(704))


def test_traffic_with_a_rhythm_is_not_picked_at_one_place() -> None:
    """With a tenth of requests of ten instances, each place in a request is picked about as often."""
    places = np.bincount(np.array(picked(0.1, *[10] * 1_000)) % 10, minlength=10)
    assert places.min() > 60
