"""Who an event is decides whether it is held out: for good, everywhere alike, and for the share that was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.hashing import HOLDOUT_SALT, STOPPING_SALT, chosen
from service.ingest.identity import identity_hashes
from service.records import Partition
from tests.properties.effort import examples

texts = st.one_of(st.text("aAbB", max_size=3), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
topics = st.text("abcXYZ019._-", min_size=1, max_size=20)
shares = st.floats(0.01, 0.5)


def keys_of(topic: str, partition: int, offsets: list[int], ids: list[str | None]) -> np.ndarray:
    """Return the keys of some events."""
    return identity_hashes(Partition(topic, partition), np.array(offsets, dtype=np.int64), ids)


@examples(100)
@given(st.lists(texts, min_size=1, max_size=20), topics, topics, st.integers(0, 99), st.integers(0, 2**62), shares)
def test_the_same_id_is_on_the_same_side_wherever_it_stands(
    ids: list[str], topic: str, other: str, partition: int, first: int, share: float
) -> None:
    """Neither topic, partition, offset, order nor neighbours matter."""
    here = keys_of(topic, 0, list(range(len(ids))), [*ids])
    there = keys_of(other, partition, [first + index for index in range(len(ids))], [*reversed(ids)])
    assert here.tolist() == there[::-1].tolist()
    assert len({*here.tolist()}) == len({*ids})
    side = chosen(here, share, HOLDOUT_SALT)
    assert (side == chosen(there, share, HOLDOUT_SALT)[::-1]).all()
    assert [bool(chosen(here[at : at + 1], share, HOLDOUT_SALT)[0]) for at in range(len(ids))] == side.tolist()


@examples(100)
@given(topics, st.integers(0, 99), st.lists(st.integers(0, 2**62), min_size=1, max_size=20, unique=True), st.data())
def test_without_an_id_topic_partition_and_offset_decide(
    topic: str, partition: int, offsets: list[int], data: st.DataObject
) -> None:
    """However they were polled; and of another partition or offset, the events are others."""
    none: list[str | None] = [None] * len(offsets)
    keys = keys_of(topic, partition, offsets, none)
    assert len({*keys.tolist()}) == len(offsets)
    cut = data.draw(st.integers(0, len(offsets)))
    parts = [keys_of(topic, partition, part, [None] * len(part)) for part in (offsets[:cut], offsets[cut:])]
    assert np.concatenate(parts).tolist() == keys.tolist()
    assert not {*keys.tolist()} & {*keys_of(topic, partition + 1, offsets, none).tolist()}


@examples(40)
@given(st.integers(0, 2**32), shares, st.sampled_from(["ids", "offsets", "numbers"]))
def test_the_share_held_out_is_the_share_asked_for(seed: int, share: float, kind: str) -> None:
    """Within six standard deviations, for ids at random, ids that count up, and offsets."""
    count = 4_000
    if kind == "offsets":
        keys = keys_of("events", seed % 7, list(range(seed, seed + count)), [None] * count)
    else:
        numbers = (
            np.random.default_rng(seed).integers(0, 2**63, count) if kind == "ids" else np.arange(seed, seed + count)
        )
        keys = keys_of("events", 0, list(range(count)), [f"event-{number}" for number in numbers])
    held = chosen(keys, share, HOLDOUT_SALT).sum()
    assert abs(held - share * count) < 6 * np.sqrt(count * share * (1 - share))


@examples(60)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50), shares, shares)
def test_a_larger_share_only_adds(numbers: list[int], one: float, other: float) -> None:
    """Raising window.holdout_share makes no event learnable that was held out before."""
    keys = np.array(numbers, dtype=np.uint64)
    less, more = (chosen(keys, share, HOLDOUT_SALT) for share in sorted((one, other)))
    assert (more | ~less).all()


def test_two_salts_choose_independently() -> None:
    """What a round keeps to stop by is as common among held-out events as among the others."""
    keys = keys_of("events", 0, list(range(20_000)), [None] * 20_000)
    held, stopping = chosen(keys, 0.5, HOLDOUT_SALT), chosen(keys, 0.5, STOPPING_SALT)
    assert abs((held & stopping).sum() - 5_000) < 6 * np.sqrt(20_000 * 3 / 16)


@pytest.mark.parametrize(
    ("event", "key", "held"),
    [
        (("events", 0, 0, None), 6_554_892_902_937_210_361, False),
        (("events", 0, 1, None), 2_250_187_207_619_835_391, False),
        (("events", 3, 2**40, None), 6_410_989_397_938_235_111, False),
        (("a.b-c", 1, 7, None), 13_892_010_104_992_308_228, True),
        (("events", 0, 0, ""), 6_238_072_747_940_578_789, True),
        (("events", 0, 0, "event-1"), 8_364_007_059_838_857_760, True),
        (("events", 0, 0, "gr\u00fcn \U0001f600"), 5_676_319_400_916_376_707, False),
    ],
)
def test_nobody_reshuffles_the_held_out_events(event: tuple[str, int, int, str | None], key: int, held: bool) -> None:
    """These keys stand for all time: with others, events that were learnt would turn up in the held-out slices."""
    topic, partition, offset, name = event
    [found] = keys_of(topic, partition, [offset], [name]).tolist()
    assert (found, bool(chosen(np.array([found], dtype=np.uint64), 0.3, HOLDOUT_SALT)[0])) == (key, held)
