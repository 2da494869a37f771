"""Choices by hash are stable, of the right size, and independent of one another."""

import numpy as np

from service.hashing import HOLDOUT_SALT, STOPPING_SALT, chosen


def test_the_share_is_met_on_keys_in_sequence() -> None:
    """Sequential keys, the worst case for a weak hash, are split as asked."""
    keys = np.arange(100_000, dtype=np.uint64)
    for share in (0.01, 0.1, 0.5):
        assert abs(chosen(keys, share, HOLDOUT_SALT).mean() - share) < 0.005


def test_the_same_key_is_always_chosen_alike() -> None:
    """The choice does not depend on what else is in the batch."""
    keys = np.arange(1_000, dtype=np.uint64)
    whole = chosen(keys, 0.3, HOLDOUT_SALT)
    assert (np.concatenate([chosen(keys[:10], 0.3, HOLDOUT_SALT), chosen(keys[10:], 0.3, HOLDOUT_SALT)]) == whole).all()


def test_two_salts_choose_independently() -> None:
    """Events kept from a round's steps are not those kept from all models."""
    keys = np.arange(100_000, dtype=np.uint64)
    both = chosen(keys, 0.2, HOLDOUT_SALT) & chosen(keys, 0.2, STOPPING_SALT)
    assert abs(both.mean() - 0.04) < 0.005
