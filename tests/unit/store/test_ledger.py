"""The ledger gives back what was appended up to the place that a snapshot names, and stays within its size."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from service.records import Partition
from service.store.ledger import Ledger, Place, Rows

PARTITIONS = [Partition("events", 0), Partition("clicks", 3)]


def rows(*runs: tuple[int, int, int, int]) -> Rows:
    """Return runs (partition, fate, first, last) as columns."""
    partition, fate, first, last = np.array(runs, dtype=np.int64).reshape(-1, 4).T
    return partition, fate, first, last


def begun(path: Path, place: Place | None = None, fence: int = 1, **sizes: int) -> Ledger:
    """Return a ledger to be written by the trainer of a fencing number."""
    ledger = Ledger(path, **({"max_bytes": 2**20} | sizes))
    ledger.go_on(place or Place(), fence)
    return ledger


def read(ledger: Ledger, until: Place) -> list[tuple[Partition, int, int, int]]:
    """Return all runs before a place."""
    found = []
    for partitions, columns in ledger.read(until):
        for index, fate, first, last in zip(*(column.tolist() for column in columns), strict=True):
            found.append((partitions[index], fate, first, last))
    return found


def test_runs_come_back_by_partition(tmp_path: Path) -> None:
    """Of one append, those of a partition stay in order; overlaps, leaps and steps back survive."""
    ledger = begun(tmp_path)
    ledger.append(PARTITIONS, rows((1, 0, 5, 9), (0, 2, 2**40, 2**40 + 3), (1, 4, 3, 7), (0, 1, 0, 0)))
    place = ledger.append(PARTITIONS, rows((0, 5, 1, 1)))
    assert read(ledger, place) == [
        (PARTITIONS[0], 2, 2**40, 2**40 + 3),
        (PARTITIONS[0], 1, 0, 0),
        (PARTITIONS[1], 0, 5, 9),
        (PARTITIONS[1], 4, 3, 7),
        (PARTITIONS[0], 5, 1, 1),
    ]


def test_what_no_snapshot_names_does_not_count(tmp_path: Path) -> None:
    """A trainer that died between ledger and snapshot leaves nothing; the next begins where the snapshot stands."""
    first = begun(tmp_path, fence=1)
    place = first.append(PARTITIONS, rows((0, 0, 0, 9)))
    first.append(PARTITIONS, rows((0, 0, 10, 19)))
    second = begun(tmp_path, place, fence=2)
    assert read(second, place) == [(PARTITIONS[0], 0, 0, 9)]
    end = second.append(PARTITIONS, rows((0, 2, 10, 10)))
    assert read(second, end) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 2, 10, 10)]


def test_a_superseded_trainer_changes_nothing(tmp_path: Path) -> None:
    """It writes on in a segment of its own, behind the place where its successor has begun."""
    first = begun(tmp_path, fence=1)
    place = first.append(PARTITIONS, rows((0, 0, 0, 9)))
    second = begun(tmp_path, place, fence=2)
    end = second.append(PARTITIONS, rows((0, 2, 10, 10)))
    late = first.append(PARTITIONS, rows((0, 0, 10, 15)))
    assert read(second, end) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 2, 10, 10)]
    assert read(first, late) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 0, 10, 15)]


def test_restarts_leave_no_files_behind(tmp_path: Path) -> None:
    """Each takes over what fits into one segment, and the snapshots of former trainers find theirs until then."""
    place = Place()
    for fence in range(1, 20):
        ledger = begun(tmp_path, place, fence)
        assert len(read(ledger, place)) == fence - 1
        place = ledger.append(PARTITIONS, rows((0, fence % 3, 10 * fence, 10 * fence + 9)))
        assert len(read(ledger, place)) == fence
        ledger.drop_merged()
        assert len(list(tmp_path.iterdir())) == 1
    assert [run[2] for run in read(begun(tmp_path, place, 20), place)] == [10 * fence for fence in range(1, 20)]


def test_nothing_appended_is_no_frame(tmp_path: Path) -> None:
    """A snapshot without newly settled fates costs the ledger nothing."""
    ledger = begun(tmp_path / "ledger")
    assert ledger.append(PARTITIONS, rows()) == Place(0, 1)
    assert not (tmp_path / "ledger").exists()
    assert read(ledger, Place()) == []


def test_the_oldest_goes_first(tmp_path: Path) -> None:
    """Size stays bounded, and what is left reads on without a break."""
    chance = np.random.default_rng(0)
    ledger = begun(tmp_path, max_bytes=2**14, segment_bytes=2**12)
    place = Place()
    offset = 0
    for _ in range(300):
        lengths = chance.integers(1, 1_000, size=50)
        ends = offset + np.cumsum(lengths)
        column = np.zeros(50, dtype=np.int64)
        place = ledger.append(PARTITIONS, (column, chance.integers(0, 3, size=50), ends - lengths, ends - 1))
        offset = int(ends[-1])
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert 2**14 <= size < 2**14 + 2 * 2**12
    assert ledger.problems(place) == []
    found = read(ledger, place)
    assert found[0][2] > 0
    assert found[-1][3] == offset - 1
    assert all(before[3] + 1 == after[2] for before, after in pairwise(found))


@pytest.mark.parametrize("at", [0, 5, 9, 20, -1])
def test_a_flipped_byte_costs_one_frame_and_is_named(tmp_path: Path, at: int) -> None:
    """In the header or in the body; what was appended before and after it is still told, and damage is not copied."""
    ledger = begun(tmp_path)
    first = ledger.append(PARTITIONS, rows((0, 0, 0, 9)))
    second = ledger.append(PARTITIONS, rows((0, 0, 10, 19)))
    place = ledger.append(PARTITIONS, rows((0, 0, 20, 29)))
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[first.end + at if at >= 0 else second.end + at] ^= 0x40
    file.write_bytes(data)
    assert read(ledger, place) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 0, 20, 29)]
    (told,) = ledger.problems(place)
    assert f"damaged, bytes {first.end} to {second.end}" in told
    follower = begun(tmp_path, place, fence=2)
    end = follower.append(PARTITIONS, rows((0, 0, 30, 39)))
    assert len(list(tmp_path.iterdir())) == 2
    assert len(read(follower, end)) == 3


def test_a_ledger_that_somebody_removed_goes_on(tmp_path: Path) -> None:
    """What is gone is gone, and no longer told."""
    place = begun(tmp_path).append(PARTITIONS, rows((0, 0, 0, 9)))
    for file in tmp_path.iterdir():
        file.unlink()
    second = begun(tmp_path, place, fence=2)
    assert second.problems(place) == [f"{tmp_path}: bytes 0 to {place.end} are missing"]
    after = second.append(PARTITIONS, rows((0, 0, 10, 19)))
    assert read(second, after) == [(PARTITIONS[0], 0, 10, 19)]
    assert second.problems(after) == [f"{tmp_path}: bytes 0 to {place.end} are missing"]


def test_a_ledger_cut_short_goes_on_behind_the_gap(tmp_path: Path) -> None:
    """A file shorter than the snapshot says keeps what it has."""
    first = begun(tmp_path)
    kept = first.append(PARTITIONS, rows((0, 0, 0, 9)))
    place = first.append(PARTITIONS, rows((0, 0, 10, 19)))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[: kept.end])
    second = begun(tmp_path, place, fence=2)
    lost = second.problems(place)
    assert lost == [f"{tmp_path}: bytes {kept.end} to {place.end} are missing"]
    place = second.append(PARTITIONS, rows((0, 0, 20, 29)))
    assert second.problems(place) == lost
    assert read(second, place) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 0, 20, 29)]


def test_a_write_that_failed_leaves_nothing(tmp_path: Path) -> None:
    """Half a frame is overwritten by the next try."""
    ledger = begun(tmp_path)
    ledger.append(PARTITIONS, rows((0, 0, 0, 9)))
    (file,) = tmp_path.iterdir()
    with file.open("ab") as half:
        half.write(b"FRL1 half a frame")
    place = ledger.append(PARTITIONS, rows((0, 0, 10, 19)))
    assert read(ledger, place) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 0, 10, 19)]


def test_starts_that_die_before_they_save_leave_no_files_for_good(tmp_path: Path) -> None:
    """The first one that lives takes away what its predecessors wrote and what does not count."""
    place = begun(tmp_path, fence=1).append(PARTITIONS, rows((0, 0, 0, 9)))
    for fence in range(2, 12):
        begun(tmp_path, place, fence).append(PARTITIONS, rows((0, 0, 10, 10 + fence)))
    survivor = begun(tmp_path, place, fence=12)
    end = survivor.append(PARTITIONS, rows((0, 1, 10, 19)))
    survivor.drop_merged()
    assert len(list(tmp_path.iterdir())) == 1
    assert read(survivor, end) == [(PARTITIONS[0], 0, 0, 9), (PARTITIONS[0], 1, 10, 19)]
