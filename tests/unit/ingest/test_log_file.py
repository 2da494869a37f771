"""service/ingest/log_file.py: which files are opened, and which are left alone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import SourceUnavailableError
from service.ingest.log_file import FORMAT_VERSION, LogFile


def count(log: LogFile) -> int:
    """Return how many records the file holds, and close it."""
    with closing(log), log.connection() as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def make_foreign(path: Path, *statements: str) -> bytes:
    """Make a SQLite file that is not a log, and return its bytes."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path.read_bytes()


def test_a_missing_file_is_made_with_its_folder_and_opened_again(tmp_path: Path) -> None:
    """The first use makes the log; a second connection finds it, and so does the first after a close."""
    log = LogFile(tmp_path / "deep" / "er" / "log.sqlite")
    assert not log.path.exists()
    with log.connection():
        assert count(LogFile(log.path)) == 0
    log.close()
    assert count(log) == 0


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    """A file that another process has just begun to make is no stranger's."""
    path = tmp_path / "log.sqlite"
    path.touch()
    assert count(LogFile(path)) == 0


def test_who_only_looks_makes_no_log(tmp_path: Path) -> None:
    """No file, or one that is still empty, is no log yet; what another process then makes is found."""
    path = tmp_path / "deep" / "log.sqlite"
    log = LogFile(path)
    with log.existing() as connection:
        assert connection is None
    assert list(tmp_path.iterdir()) == []
    path.parent.mkdir()
    path.touch()
    with log.existing() as connection:
        assert connection is None
    assert path.read_bytes() == b""
    assert count(LogFile(path)) == 0
    with closing(log), log.existing() as connection:
        assert connection is not None
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)
    assert [each.name for each in path.parent.iterdir()] == ["log.sqlite"]


@pytest.mark.parametrize("name", ["a b?c#d%20é.sqlite", "log"])
def test_any_name_is_a_files_name(tmp_path: Path, name: str) -> None:
    """What means something in a URI is text in a path."""
    assert count(LogFile(tmp_path / name)) == 0
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE records (id INTEGER)",),
        ("PRAGMA application_id = 77",),
        ("PRAGMA user_version = 1", "CREATE VIEW v AS SELECT 1"),
        ("PRAGMA application_id = 1181902195", f"PRAGMA user_version = {FORMAT_VERSION + 1}"),
    ],
)
def test_another_programs_database_stays_untouched(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """Not a byte of a foreign database, or of a newer version of the log, is changed."""
    path = tmp_path / "foreign.sqlite"
    before = make_foreign(path, *statements)
    for use in (LogFile(path).connection, LogFile(path).existing):
        with pytest.raises(SourceUnavailableError, match=r"foreign\.sqlite .*set source\.embedded\.path"), use():
            pass
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["foreign.sqlite"]


def test_a_file_that_is_no_database_stays_untouched(tmp_path: Path) -> None:
    """A text file is refused in one line that names it."""
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    with pytest.raises(SourceUnavailableError, match=r"notes\.txt cannot be used: file is not a database") as raised:
        count(LogFile(path))
    assert "\n" not in str(raised.value)
    assert raised.value.retriable
    assert path.read_text() == "remember the milk\n" * 100


def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    """A folder in the file's place, and a file in a folder's place."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "log.sqlite"):
        with pytest.raises(SourceUnavailableError, match=str(path)):
            count(LogFile(path))


def test_a_log_can_be_used_again_once_what_was_wrong_is_put_right(tmp_path: Path) -> None:
    """A failure closes the connection, and the next use opens the file anew."""
    path = tmp_path / "log.sqlite"
    path.write_text("not a database, and long enough to be seen as none" * 10)
    log = LogFile(path)
    with pytest.raises(SourceUnavailableError):
        count(log)
    path.unlink()
    assert count(log) == 0


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Half of a flush is never seen by readers."""
    log = LogFile(tmp_path / "log.sqlite")

    def append_and_fail() -> None:
        with log.transaction() as connection:
            connection.execute("INSERT INTO records VALUES ('events', 0, 0, NULL, NULL, NULL)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append_and_fail()
    assert count(log) == 0
