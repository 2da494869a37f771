"""``make fuzz``: both targets in their long form; prints figures, and exits 1 with the culprit in a file at a fault.

Environment: FRESHET_FUZZ_RECORDS (1,000,000), FRESHET_FUZZ_FILES (100,000), FRESHET_FUZZ_SEED (1).
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from tests.fuzz.ingest import FuzzError, fuzz
from tests.fuzz.store_files import FileFuzzError, fuzz_files

PROGRESS_SECONDS = 10.0
CULPRIT = Path("fuzz-culprit.json")


def main() -> int:
    """Run both targets; return the exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    records, files, seed = (
        int(os.environ.get(f"FRESHET_FUZZ_{name}", default))
        for name, default in (("RECORDS", "1000000"), ("FILES", "100000"), ("SEED", "1"))
    )
    with tempfile.TemporaryDirectory(prefix="freshet-fuzz-") as place:
        try:
            _ingest(records, seed, Path(place))
            _files(files, seed, Path(place))
        except FuzzError as error:
            texts = [None if value is None else value.decode("latin-1") for value in error.records]
            return _fail(error, {"seed": seed, "latin_1": texts})
        except FileFuzzError as error:
            return _fail(error, {"seed": seed, "reader": error.reader, "latin_1": error.data.decode("latin-1")})
    return 0


def _ingest(records: int, seed: int, place: Path) -> None:
    begun = shown = time.monotonic()
    for figures in fuzz(records, seed, place):
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            _say(f"ingest: {figures.records:,} of {records:,} records", sys.stderr)
    if figures.accepted + figures.refused.total() != records:
        raise FuzzError(f"{records} sent, {figures.accepted} + {figures.refused.total()} found again", [])
    _say(
        json.dumps(
            {
                "target": "ingest",
                "seed": seed,
                "records": figures.records,
                "accepted": figures.accepted,
                "dead_lettered": figures.refused.total(),
                "by_reason": dict(figures.refused.most_common()),
                "rounds": figures.rounds,
                "seconds": round(time.monotonic() - begun),
                "crashes": 0,
            }
        )
    )


def _files(files: int, seed: int, place: Path) -> None:
    begun = shown = time.monotonic()
    for counts in fuzz_files(files, seed, place):
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            _say(f"store files: {counts.total():,} of {files:,}", sys.stderr)
    told = {"target": "store files", "seed": seed, "files": counts.total(), "by_reader_and_answer": dict(counts)}
    _say(json.dumps(told | {"seconds": round(time.monotonic() - begun), "crashes": 0}))


def _fail(error: Exception, culprit: dict[str, Any]) -> int:
    CULPRIT.write_text(json.dumps(culprit, indent=1))
    _say(f"fault: {error}; the input is in {CULPRIT}", sys.stderr)
    if error.__cause__ is not None:
        sys.excepthook(type(error.__cause__), error.__cause__, error.__cause__.__traceback__)
    return 1


def _say(line: str, stream: Any = sys.stdout) -> None:
    stream.write(f"{line}\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
