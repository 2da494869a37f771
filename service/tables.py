"""Reads data files row by row in bounded memory: CSV, JSON Lines and Parquet, the first two also gzipped."""

import csv
import gzip
import json
import os
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import TableError

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")
SCANNED_ROWS = 1_000
"""JSON Lines have no header: their columns are all keys of so many first rows."""
PARQUET_BATCH_ROWS = 1_000
NAMED_COLUMNS = 20


class Row(NamedTuple):
    """One row of a data file.

    ``number`` counts from 1, without the header; ``values`` by column, a missing one is None, "" or absent; ``wire``:
    the values have the types that an event has on the wire (JSON), else the schema says what they mean.
    """

    number: int
    values: dict[str, Any]
    wire: bool

    @property
    def is_event(self) -> bool:
        """Whether the row is a whole event, ``{"features": {...}, "label": ...}``, not a flat row."""
        return self.wire and "features" in self.values

    def flat(self) -> dict[str, Any]:
        """Return the values by column; of a whole event its features, label, id and ts."""
        if not self.is_event:
            return self.values
        features = self.values["features"]
        outer = {key: value for key, value in self.values.items() if key != "features"}
        return {**features, **outer} if isinstance(features, dict) else outer


class Table(ABC):
    """A data file with at least one row; every iteration reads it from its beginning.

    ``columns`` in the file's order. ``share_read`` (0 to 1) is how far the latest iteration has come. Iterating raises
    TableError, naming the line, at what cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.share_read = 0.0
        self.columns = self._read_columns()
        if next(iter(self), None) is None:
            raise TableError(f"{path}: has column names but no rows")

    @abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """Yield all rows."""

    @abstractmethod
    def _read_columns(self) -> tuple[str, ...]: ...

    def _lines(self) -> Iterator[str]:
        """Yield the decoded lines of a text file, with their ends."""
        with _readable(self.path), self.path.open("rb") as raw:
            size = max(1, os.fstat(raw.fileno()).st_size)
            stream = gzip.GzipFile(fileobj=raw) if self.path.suffix.lower() == ".gz" else raw
            for number, line in enumerate(stream, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise TableError(f"{self.path}: line {number} is not UTF-8; convert the file to UTF-8") from None
                self.share_read = raw.tell() / size
                yield text


class CsvTable(Table):
    """Comma-separated text, whose first line names the columns."""

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows, their values text."""
        width = len(self.columns)
        number = 0
        for line, cells in self._records():
            if number == 0:
                number = 1  # the header
                continue
            if len(cells) != width:
                raise TableError(
                    f"{self.path}: line {line} has {_count(len(cells), 'cell')}, but the header names "
                    f"{_count(width, 'column')}; quote cells that hold commas"
                )
            yield Row(number, dict(zip(self.columns, cells, strict=True)), wire=False)
            number += 1

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines(), strict=True)
        try:
            for cells in reader:
                if cells:  # a blank line is no row
                    yield reader.line_num, cells
        except csv.Error as error:
            raise TableError(f"{self.path}: line {reader.line_num} is not valid CSV: {error}") from None

    def _read_columns(self) -> tuple[str, ...]:
        header = next(self._records(), None)
        if header is None:
            raise TableError(f"{self.path}: is empty; a CSV file starts with a line of column names")
        names = [cell.strip() for cell in header[1]]
        if all(parse_number(name) is not None for name in names):
            raise TableError(f"{self.path}: has no header; its first line must name the columns, not hold numbers")
        if "" in names:
            raise TableError(
                f"{self.path}: column {names.index('') + 1} of the header has no name "
                "(pandas writes its index so; use to_csv(..., index=False))"
            )
        return _distinct(self.path, names)


class JsonLinesTable(Table):
    """One JSON object a line: flat rows, or whole events with ``features``."""

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows, their values as JSON has them; NaN and Infinity are let through for ingest to judge."""
        number = 0
        for line, text in enumerate(self._lines(), start=1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise TableError(f"{self.path}: line {line} is not valid JSON: {error}") from None
            if not isinstance(value, dict):
                raise TableError(f"{self.path}: line {line} is no JSON object; each line holds one")
            number += 1
            yield Row(number, value, wire=True)

    def _read_columns(self) -> tuple[str, ...]:
        rows = list(islice(self, SCANNED_ROWS))
        if not rows:
            raise TableError(f"{self.path}: is empty; each line holds one JSON object")
        return tuple(dict.fromkeys(name for row in rows for name in row.flat()))


class ParquetTable(Table):
    """A Parquet file, through pyarrow."""

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows; what JSON has no type for becomes text."""
        number = 0
        with self._open() as file:
            rows = max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    self.share_read = number / rows
                    yield Row(number, {name: _plain(value) for name, value in values.items()}, wire=False)

    def _read_columns(self) -> tuple[str, ...]:
        with self._open() as file:
            return _distinct(self.path, file.schema_arrow.names)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import
            from pyarrow.parquet import ParquetFile  # noqa: PLC0415
        except ImportError:
            raise TableError(
                f"{self.path}: reading Parquet needs pyarrow; install it with `pip install pyarrow`"
            ) from None
        try:
            with _readable(self.path), ParquetFile(self.path) as file:
                yield file
        except pa.ArrowException as error:
            raise TableError(f"{self.path}: is not a readable Parquet file ({str(error).splitlines()[0]})") from None


def read_table(path: Path) -> Table:
    """Open a data file by its suffix; raises TableError for what is missing, empty, headless or of another kind."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise TableError(f"{path}: unknown kind of file; its name must end in {', '.join(SUFFIXES)}")
    if name.endswith(".parquet"):
        return ParquetTable(path)
    return CsvTable(path) if name.endswith((".csv", ".csv.gz")) else JsonLinesTable(path)


def parse_number(text: str) -> int | float | None:
    """Return the number that a text spells (NaN and infinities too), None if it spells none."""
    text = text.strip()
    digits = text.removeprefix("-")
    if not text.isascii() or "_" in text:  # float() and int() read both, other programs do not
        return None
    try:
        return int(text) if digits.isdigit() and len(digits) <= 18 else float(text)  # noqa: PLR2004 - fits int64
    except ValueError:
        return None


def is_missing(value: object, row: Row) -> bool:
    """Tell whether a row's value means *missing*: null or absent, in CSV and Parquet blank text too."""
    return value is None or (isinstance(value, str) and not row.wire and not value.strip())


def listed(names: Sequence[str]) -> str:
    """Return names joined for a message; a long list is cut short."""
    more = f" and {len(names) - NAMED_COLUMNS} more" if len(names) > NAMED_COLUMNS else ""
    return ", ".join(names[:NAMED_COLUMNS]) + more


def _distinct(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TableError(f"{path}: names the column {twice[0]!r} twice; give every column a name of its own")
    return tuple(names)


def _plain(value: Any) -> Any:  # noqa: ANN401 - Parquet holds anything
    """Return a value as JSON can hold it: times in RFC 3339 (UTC where no zone is said), decimals as numbers."""
    match value:
        case None | str() | bool() | int() | float() | list() | dict():
            return value
        case Decimal():
            return float(value)
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", errors="replace")
    return str(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the file system and gzip raise into a TableError."""
    try:
        yield
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise TableError(f"{path}: is not a whole gzip file") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error})") from None
