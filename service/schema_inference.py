"""Guesses a schema and a task from the first rows of a data file, and says what it was unsure of."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal, Self

from service.errors import TableError
from service.settings import BINARY_CLASSES, Schema, Task, label_text
from service.table_events import BOOLEANS, PASSED_ON, vector
from service.tables import Row, Table, is_missing, listed, parse_number

INFERRED_ROWS = 1_000
LOOKED_THROUGH_ROWS = 1_000_000
"""In so many first rows further labels and missing values are looked for: what comes late comes all the same."""

MOST_LATE_LABELS = 1_000
LEAST_LATE_ROWS = 3
"""So often a late label must come: what comes once may be a slip."""
MOST_CLASSES = 20
ROWS_PER_CLASS = 2
LEAST_ROWS_OF_IDENTIFIER = 10

LEADING_ZERO = re.compile(r"-?0\d")

Kind = Literal["numeric", "boolean", "categorical"]


@dataclass(frozen=True, slots=True)
class Inference:
    """What the first ``rows`` rows of a file suggest; ``warnings`` are whole sentences for the user."""

    task: Task
    schema: Schema
    rows: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column over the rows looked at: its values that are not missing, and what they could be.

    ``numbers``: those that are numbers; ``texts``: those that are not; ``booleans``: how many can be true or false;
    ``padded``: the first that has a leading zero, as codes and no quantities do; ``length``: that of all values, if
    they are lists of equally many numbers.
    Text of CSV and Parquet may spell a number or a boolean; in JSON Lines it is text, as it would be on the wire.
    """

    name: str
    values: tuple[Any, ...]
    numbers: tuple[float, ...]
    texts: tuple[str, ...]
    booleans: int
    missing: int
    padded: str | None
    length: int | None

    @classmethod
    def of(cls, name: str, rows: Sequence[Row]) -> Self:
        """Collect one column."""
        kept = [(row.flat().get(name), row) for row in rows]
        kept = [(value, row) for value, row in kept if not is_missing(value, row)]
        numbers = [(value, _as_number(value, row)) for value, row in kept]
        return cls(
            name=name,
            values=tuple(value for value, _ in kept),
            numbers=tuple(number for _, number in numbers if number is not None),
            texts=tuple(_text(value) for value, number in numbers if number is None),
            booleans=sum(_is_boolean(value, row) for value, row in kept),
            missing=len(rows) - len(kept),
            padded=next((value for value, row in kept if _is_padded(value, row)), None),
            length=_length([value if row.wire else vector(value) for value, row in kept]),
        )

    @property
    def distinct(self) -> tuple[str, ...]:
        """The different values as text, in order of first appearance."""
        return tuple(dict.fromkeys(map(_text, self.values)))


def infer(table: Table, label: str, task: Task | None = None, *, labels_known: bool = False) -> Inference:
    """Infer the schema from the first 1,000 rows; what can be missing, and labels unless they are known, from more.

    A ``task`` that is given is not guessed.

    Raises TableError when the label's column is absent or empty, or no feature is left.
    """
    every = iter(table)
    rows = list(islice(every, INFERRED_ROWS))
    if label not in table.columns:
        raise TableError(f"{table.path}: no column {label!r} for --label; its columns are {listed(table.columns)}")
    warnings: list[str] = []
    target = Column.of(label, rows)
    if not target.values:
        raise TableError(f"{table.path}: column {label!r} is empty in the first {len(rows)} rows; a label is needed")
    wanted = not labels_known and (task or _task(target)) != "regression"
    late, gaps = _looked_through(every, table.columns, label, target.distinct if wanted else None)
    if late:
        names = listed([str(label_text(row.flat()[label])) for row in late])
        warnings.append(f"column {label!r} has labels that come only after the first {len(rows):,} rows: {names}")
        target = Column.of(label, [*rows, *late])
    task = task or _task(target)
    labels = _labels(target, task, warnings)
    kinds: dict[Kind, list[str]] = {"numeric": [], "categorical": [], "boolean": []}
    vectors: dict[str, int] = {}
    nullable = []
    for name in table.columns:
        if name == label:
            continue
        column = Column.of(name, rows)
        if column.length is not None and name not in PASSED_ON:
            vectors[name] = column.length
        else:
            kind = _kind(column, warnings)
            if kind is None:
                continue
            kinds[kind].append(name)
        nullable += [name] if column.missing or name in gaps else []
    if not vectors and not any(kinds.values()):
        raise TableError(
            f"{table.path}: no column but {label!r} can be a feature; its columns are {listed(table.columns)}"
        )
    schema = Schema(
        numeric=tuple(kinds["numeric"]),
        categorical=tuple(kinds["categorical"]),
        boolean=tuple(kinds["boolean"]),
        vector=vectors,
        nullable=tuple(nullable),
        label=label,
        labels=labels,
    )
    return Inference(task, schema, len(rows), tuple(warnings))


def _looked_through(
    rows: Iterator[Row], columns: Sequence[str], label: str, known: Sequence[str] | None
) -> tuple[list[Row], set[str]]:
    """Look through further rows, as far as they can be read.

    Return one row with each label that is not ``known`` and no slip, none if ``known`` is None, and the columns in
    which a value is missing.
    """
    known_labels, found, seen, gaps = set(known or ()), dict[str, Row](), Counter[str](), set[str]()
    with suppress(TableError):  # it is whoever comes to that row that has to tell
        for row in islice(rows, LOOKED_THROUGH_ROWS - INFERRED_ROWS):
            values = row.flat()
            gaps.update(name for name in columns if name not in gaps and is_missing(values.get(name), row))
            value = values.get(label)
            if (
                known is None
                or is_missing(value, row)
                or isinstance(value, list | dict)
                or len(found) == MOST_LATE_LABELS
            ):
                continue
            text = _text(value)
            number = None if text in known_labels else _as_number(value, row)
            if text in known_labels or (number is not None and not math.isfinite(number)):
                continue
            seen[text] += 1
            found.setdefault(text, row)
    return [row for text, row in found.items() if seen[text] >= LEAST_LATE_ROWS], gaps


def _kind(column: Column, warnings: list[str]) -> Kind | None:
    """Return what kind of feature a column is, None where it is none."""
    reason = _reason_to_leave_out(column)
    if reason:
        warnings.append(f"column {column.name!r} {reason}")
        return None
    if len(column.distinct) == 1:
        warnings.append(f"column {column.name!r} is constant ({column.distinct[0]!r}): it tells nothing yet")
    if column.padded:
        warnings.append(
            f"column {column.name!r} holds numbers with a leading zero such as {column.padded!r}: "
            "it is listed as categorical, a code and no quantity"
        )
        return "categorical"
    if not column.texts:
        if not all(map(math.isfinite, column.numbers)):
            warnings.append(
                f"column {column.name!r} holds NaN or infinity: such events are refused; leave the cell empty"
            )
        return "numeric"
    if column.booleans == len(column.values):
        return "boolean"
    if column.numbers:
        text = Counter(column.texts).most_common(1)[0][0]
        warnings.append(
            f"column {column.name!r} holds numbers and texts such as {text!r}: it is listed as categorical; "
            "where that text means a missing number, leave the cell empty"
        )
    return "categorical"


def _reason_to_leave_out(column: Column) -> str | None:
    if column.name in PASSED_ON:
        return f"is no feature: it is passed on as the event's own {column.name!r}"
    if not column.values:
        return "is empty and left out"
    if any(isinstance(value, list | dict) for value in column.values):
        return "holds lists or objects and is left out (a vector needs equally many numbers in every row)"
    all_differ = len(column.distinct) == len(column.values) >= LEAST_ROWS_OF_IDENTIFIER
    if column.name.lower() == "id" or (all_differ and not column.numbers):
        return "looks like an identifier and is left out"
    if all_differ and not column.texts and all(two - one == 1 for one, two in pairwise(column.numbers)):
        return "counts the rows, as an identifier does, and is left out"
    return None


def _task(target: Column) -> Task:
    if len(target.distinct) <= BINARY_CLASSES:
        return "binary"
    if target.texts or target.padded:
        return "multiclass"
    whole = all(math.isfinite(number) and number == int(number) for number in target.numbers)
    few = len(target.distinct) <= min(MOST_CLASSES, len(target.values) / ROWS_PER_CLASS)
    return "multiclass" if whole and few else "regression"


def _labels(target: Column, task: Task, warnings: list[str]) -> tuple[str, ...]:
    """Return the classes to list, in order of first appearance; none where the stream is to tell them."""
    if target.missing:
        warnings.append(f"{target.missing} rows have no {target.name!r}: they will be refused as missing_label")
    if task == "regression":
        return ()
    labels = target.distinct
    if len(labels) == 1:
        warnings.append(f"column {target.name!r} has the one label {labels[0]!r}: `labels` is left to the stream")
        return ()
    if task == "binary" and len(labels) > BINARY_CLASSES:
        warnings.append(f"column {target.name!r} has {len(labels)} labels, too many for binary: `labels` is left empty")
        return ()
    if len(labels) == len(target.values) > BINARY_CLASSES:
        warnings.append(f"column {target.name!r} has another label in every row: is it the right column?")
    return labels


def _as_number(value: Any, row: Row) -> float | None:  # noqa: ANN401 - a cell may hold anything
    if isinstance(value, str):
        return None if row.wire else parse_number(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _length(values: Sequence[Any]) -> int | None:
    """Return how long all values are, None unless they are lists of equally many numbers."""
    if not values or not all(isinstance(value, list) for value in values):
        return None
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for value in values for one in value)
    lengths = {len(value) for value in values}
    return lengths.pop() or None if numbers and len(lengths) == 1 else None


def _is_padded(value: Any, row: Row) -> bool:  # noqa: ANN401 - a cell may hold anything
    return isinstance(value, str) and not row.wire and LEADING_ZERO.match(value.strip()) is not None


def _is_boolean(value: Any, row: Row) -> bool:  # noqa: ANN401 - a cell may hold anything
    return isinstance(value, bool) or (not row.wire and str(value).strip().lower() in BOOLEANS)


def _text(value: Any) -> str:  # noqa: ANN401 - a cell may hold anything
    return str(label_text(value))
