"""The journal, with writers that die in the middle of a line, rotations, and readers that follow."""

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.store.journal import Journal
from tests.properties.effort import examples

MAX_BYTES = 200


class Follower:
    """One reader, with what it has seen so far."""

    def __init__(self) -> None:
        self.place = 0
        self.seen: list[int] = []

    def read(self, journal: Journal) -> list[int]:
        """Read on; return what was new."""
        entries, self.place = journal.read_since(self.place)
        new = [entry["n"] for entry in entries]
        self.seen += new
        return new


class Machine(RuleBasedStateMachine):
    """A journal, one reader that keeps up and one that sleeps, beside the list of all entries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.journal = Journal(Path(self.folder) / "decisions.jsonl", MAX_BYTES)
        self.count = 0
        self.eager, self.lazy = Follower(), Follower()

    def teardown(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder)

    @rule(padding=st.integers(0, 260))
    def append(self, padding: int) -> None:
        """Add an entry, perhaps one larger than a file should be; it is there at once, and last."""
        self.journal.append({"n": self.count, "pad": "x" * padding})
        self.count += 1
        assert self.journal.tail(1)[0]["n"] == self.count - 1

    @rule(kept=st.integers(1, 30))
    def die_in_the_middle_of_a_line(self, kept: int) -> None:
        """What was written of it was never confirmed to anybody."""
        if self.journal.path.exists():
            with self.journal.path.open("ab") as file:
                file.write(json.dumps({"n": 10**6, "pad": "y" * 40}).encode()[:kept])

    @rule()
    def die_in_the_middle_of_a_rotation(self) -> None:
        """After the rename, before there is a new file."""
        whole = self.journal.path.exists() and self.journal.path.read_bytes().endswith(b"\n")
        if whole:
            self.journal._rotate(self.journal.path.stat().st_size)

    @rule()
    def another_process(self) -> None:
        """Writes and reads the same files from here on."""
        self.journal = Journal(self.journal.path, MAX_BYTES)

    @rule()
    def wake_up(self) -> None:
        """The reader that sleeps misses at most what was rotated away for good: what it gets has no gaps."""
        new = self.lazy.read(self.journal)
        assert new == [*range(self.count - len(new), self.count)]
        assert self.lazy.seen == sorted({*self.lazy.seen})

    @invariant()
    def who_keeps_up_misses_nothing(self) -> None:
        """Every entry, whole, once, in order."""
        self.eager.read(self.journal)
        assert self.eager.seen == [*range(self.count)]
        assert self.eager.place == self.journal.end()

    @invariant()
    def the_tail_is_the_newest(self) -> None:
        """As many as there are, up to what was asked for."""
        numbers = [entry["n"] for entry in self.journal.tail(3)]
        assert numbers == [*range(self.count - len(numbers), self.count)]

    @invariant()
    def the_files_are_bounded(self) -> None:
        """At most the current one and two that were rotated, the last of which a crash may have left."""
        assert len([*Path(self.folder).glob("*.jsonl")]) <= 3


def test_whole_entries_are_kept_and_read_once_whatever_happens() -> None:
    """Any interleaving of appends, torn lines, rotations, crashes and readers."""
    run_state_machine_as_test(Machine, settings=examples(40))
