"""The append-only journal."""

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import StoreUnavailableError
from service.store.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return an empty journal that rotates after a thousand bytes."""
    return Journal(tmp_path / "store" / "decisions.jsonl", max_bytes=1_000)


def numbers(entries: list[dict[str, object]]) -> list[object]:
    """Return the entries' numbers."""
    return [entry["n"] for entry in entries]


def fill(journal: Journal, first: int, last: int) -> None:
    """Append numbered entries of some thirty bytes each."""
    for number in range(first, last + 1):
        journal.append({"n": number, "pad": "x" * 15})


def test_entries_are_json_lines_in_order(journal: Journal) -> None:
    """One object a line, nothing else in the file; NaN becomes null, a line break in text stays in its line."""
    journal.append({"n": 1, "loss": float("nan"), "text": "a\nb"})
    journal.append({"n": 2})
    assert journal.path.read_text() == '{"loss":null,"n":1,"text":"a\\nb"}\n{"n":2}\n'
    assert numbers(journal.tail(10)) == [1, 2]
    assert numbers(journal.tail(1)) == [2]
    assert journal.tail(0) == []


def test_a_journal_that_does_not_exist_is_empty(journal: Journal) -> None:
    """Reading makes nothing."""
    assert journal.tail(5) == []
    assert journal.read_since() == ([], 0)
    assert journal.end() == 0
    assert not journal.path.parent.exists()


@pytest.mark.parametrize("torn", [b"{", b'{"n": 3, "x": "' + b"y" * 200_000, b'{"n": 3}'])
def test_a_torn_last_line_is_not_read_and_the_next_append_removes_it(journal: Journal, torn: bytes) -> None:
    """However long it is; a line without its end was never confirmed to anybody."""
    journal.max_bytes = 10**6
    fill(journal, 1, 2)
    with journal.path.open("ab") as file:
        file.write(torn)
    assert numbers(journal.tail(5)) == [1, 2]
    entries, place = journal.read_since()
    assert numbers(entries) == [1, 2]
    journal.append({"n": 4})
    assert numbers(journal.tail(5)) == [1, 2, 4]
    assert numbers(journal.read_since(place)[0]) == [4]
    assert torn not in journal.path.read_bytes() or torn == b"{"


def test_a_follower_sees_each_entry_once(journal: Journal) -> None:
    """From where it left off, across rotations; one that comes late misses what was rotated away."""
    late = 0
    seen, place = journal.read_since()
    for start in range(0, 300, 10):
        fill(journal, start, start + 9)
        more, place = journal.read_since(place)
        assert place == journal.end()
        seen += more
    assert numbers(seen) == list(range(300))
    left, end = journal.read_since(late)
    assert end == place
    assert 20 < len(left) < 80
    assert numbers(left) == list(range(300 - len(left), 300))
    assert journal.read_since(place) == ([], place)


def test_the_files_are_bounded_and_one_older_one_is_kept(journal: Journal) -> None:
    """No file is larger than allowed, and the older one's name tells where it ends."""
    fill(journal, 1, 200)
    files = sorted(journal.path.parent.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 2
    assert files[0].name == f"decisions.until-{journal.end() - journal.path.stat().st_size}.jsonl"
    assert all(path.stat().st_size <= 1_000 for path in files)


def test_the_tail_reaches_into_the_older_file(journal: Journal) -> None:
    """And gives no more than was asked for, no more than there is."""
    fill(journal, 1, 200)
    in_current = len(journal.path.read_text().splitlines())
    count = in_current + 5
    assert numbers(journal.tail(count)) == list(range(201 - count, 201))
    assert numbers(journal.tail(in_current)) == list(range(201 - in_current, 201))
    assert numbers(journal.tail(10**9))[-1] == 200


def test_a_long_tail_is_read_whole(journal: Journal) -> None:
    """More than one block, with lines longer than a block."""
    journal.max_bytes = 10**8
    for number in range(5):
        journal.append({"n": number, "pad": "x" * 100_000})
    for count in range(6):
        assert numbers(journal.tail(count)) == list(range(5 - count, 5))


def test_one_entry_larger_than_the_bound_is_kept(journal: Journal) -> None:
    """In a file of its own."""
    fill(journal, 1, 1)
    journal.append({"n": 2, "pad": "x" * 5_000})
    journal.append({"n": 3})
    assert numbers(journal.read_since()[0]) == [2, 3]
    assert numbers(journal.tail(2)) == [2, 3]


def test_a_crash_in_the_middle_of_a_rotation_loses_nothing(journal: Journal) -> None:
    """After the rename there is no current file; two older ones may be there."""
    fill(journal, 1, 40)
    place = journal.end()
    fill(journal, 41, 50)
    journal.path.rename(journal.path.with_name(f"decisions.until-{journal.end()}.jsonl"))
    assert numbers(journal.read_since(place)[0]) == list(range(41, 51))
    fill(journal, 51, 52)
    assert numbers(journal.read_since(place)[0]) == list(range(41, 53))
    fill(journal, 53, 100)
    assert len(list(journal.path.parent.glob("*.until-*"))) == 1


def test_a_damaged_line_is_passed_over(journal: Journal) -> None:
    """With a line in the log; the others are read."""
    fill(journal, 1, 3)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data.replace(b'{"n":2', b'\xff"n":2'))
    with capture_logs() as logs:
        assert numbers(journal.tail(5)) == [1, 3]
    assert [line["event"] for line in logs] == ["journal line passed over"]


def test_a_follower_begins_anew_where_the_journal_did(journal: Journal) -> None:
    """Somebody removed the files by hand; a place beyond the end would wait for ever."""
    fill(journal, 1, 10)
    place = journal.end()
    journal.path.unlink()
    fill(journal, 11, 11)
    assert numbers(journal.read_since(place)[0]) == [11]


def test_several_writers_and_a_reader_at_once(journal: Journal) -> None:
    """Every entry arrives whole and once, in each writer's order, while files are rotated under the reader."""
    journal.max_bytes = 2_500  # one rotation, so that even a slow reader can miss nothing
    threads = [threading.Thread(target=fill, args=(journal, k * 1_000, k * 1_000 + 39)) for k in range(3)]
    for thread in threads:
        thread.start()
    seen: list[dict[str, object]] = []
    place = 0
    while any(thread.is_alive() for thread in threads):
        more, place = journal.read_since(place)
        seen += more
    seen += journal.read_since(place)[0]
    for k in range(3):
        mine = [n for n in numbers(seen) if isinstance(n, int) and n // 1_000 == k]
        assert mine == list(range(k * 1_000, k * 1_000 + 40))


def test_an_append_that_fails_adds_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if only the sync fails: what was reported as failed must not be read later."""
    fill(journal, 1, 1)

    def fsync(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fsync)
        with pytest.raises(StoreUnavailableError, match=r"decisions\.jsonl: Input/output error"):
            journal.append({"n": 2})
    assert numbers(journal.tail(5)) == [1]
    fill(journal, 3, 3)
    assert numbers(journal.tail(5)) == [1, 3]
