"""Which rows count: one line a row, and anything else is said in one line."""

from pathlib import Path

import pytest

from service.errors import UsageError
from service.replay.score_only import read_score_only


def test_each_line_says_whether_its_row_counts(tmp_path: Path) -> None:
    """Ones and zeros, with any line ends."""
    (tmp_path / "marks").write_bytes(b"1\r\n0\n1")
    assert read_score_only(tmp_path / "marks", 3).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"1\n0\n", "has 2 lines, but the recording has 3 rows"),
        (b"1\n0\n1\n1\n", "has 4 lines, but the recording has 3 rows"),
        (b"1\nyes\n0\n", "line 2 is 'yes', neither 0 nor 1"),
        (b"1\n\n0\n", "line 2 is '', neither 0 nor 1"),
        (b"\xff\n", "line 1 is"),
        (b"", "has 0 lines"),
        (b"0\n0\n0\n", "marks no row"),
    ],
)
def test_a_file_that_does_not_fit_is_wrong_use(tmp_path: Path, text: bytes, words: str) -> None:
    """The line names the file, what is wrong, and what is wanted."""
    (tmp_path / "marks").write_bytes(text)
    with pytest.raises(UsageError, match=words) as raised:
        read_score_only(tmp_path / "marks", 3)
    assert "one line an input row" in str(raised.value)


def test_an_absent_file_is_wrong_use(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(UsageError, match=r"marks: cannot be read \(No such file"):
        read_score_only(tmp_path / "marks", 3)
