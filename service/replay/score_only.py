"""Which rows of a recording count in its figures: all, or those that a file of ones and zeros names."""

from pathlib import Path

import numpy as np

from service.errors import UsageError
from service.records import BoolArray

ADVICE = "it needs one line an input row, 1 where the row counts and 0 where not"


def read_score_only(file: Path, rows: int) -> BoolArray:
    """Return for each of a recording's ``rows`` whether it counts; raises UsageError for a file that does not fit."""
    counts = np.zeros(rows, dtype=np.bool_)
    number = 0
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                mark = line[:64].strip()
                if mark not in (b"0", b"1"):
                    shown = mark[:20].decode(errors="replace")
                    raise UsageError(f"{file}: line {number} is {shown!r}, neither 0 nor 1; {ADVICE}")
                if number <= rows:
                    counts[number - 1] = mark == b"1"
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from None
    if number != rows:
        raise UsageError(f"{file}: has {number:,} lines, but the recording has {rows:,} rows; {ADVICE}")
    if not counts.any():
        raise UsageError(f"{file}: marks no row with 1, so nothing could be told; {ADVICE}")
    return counts
