"""A batch of raw records becomes examples as columns, and for each record that does not fit, why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import msgspec
import numpy as np

from service.ingest.event_reading import (
    MAX_DEPTH,
    DecodeFault,
    fast_decoder,
    in_order,
    read_slowly,
    timestamp_ms,
    too_deep,
)
from service.ingest.identity import identity_hashes
from service.model.features import FeatureColumns, finite
from service.model.vocabulary import Categories, Labels
from service.records import Examples, FloatArray, IntArray, RecordBatch, Refusal
from service.settings import Settings, label_text

MS_A_DAY = 86_400_000
UNDECIDED = -1


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch held: n accepted rows in order, their ``offsets`` [n] int64, and the refused records by index."""

    examples: Examples
    offsets: IntArray
    refusals: list[Refusal]


class Decoder:
    """Validates records and turns them into examples; new categories and labels are taken in as they come.

    ``clock_ms`` tells the time that a timestamp must not be more than a day ahead of.
    """

    def __init__(
        self,
        settings: Settings,
        columns: FeatureColumns,
        categories: Categories,
        labels: Labels,
        clock_ms: Callable[[], int],
    ) -> None:
        self._max_bytes = settings.source.max_bytes
        self._regression = settings.task == "regression"
        self._columns = columns
        self._categories = categories
        self._labels = labels
        # By type: in one dictionary the labels 1, 1.0 and true would be the same key.
        self._seen: dict[type, dict[Any, int]] = {str: {}, int: {}}
        self._clock_ms = clock_ms
        self._decode = fast_decoder(columns, regression=self._regression)

    def decode(self, batch: RecordBatch) -> Decoded:
        """Return the batch's accepted rows as columns and a refusal for each of its other records."""
        return self._at_once(batch) or self._one_by_one(batch)

    def _at_once(self, batch: RecordBatch) -> Decoded | None:
        """Decode a batch in which every record is as most are; None where one is not, whatever it is."""
        values: Sequence[Any] = batch.values
        known = self._seen[str]
        try:
            if not values or not all(map(bytes.isascii, values)):
                return None
            if max(map(len, values)) > self._max_bytes or any(map(too_deep, values)):
                return None
            events = list(map(self._decode, values))
            stamps = self._stamps([event.ts for event in events], batch.timestamps_ms)
            if self._regression:
                targets = np.array([event.label for event in events], dtype=np.float64)
            else:
                targets = np.array([known[event.label] for event in events], dtype=np.float64)
        except (msgspec.MsgspecError, RecursionError, TypeError, KeyError, OverflowError):
            return None
        if stamps is None or np.isnan(targets).any():
            return None
        rows = [in_order(event.features) for event in events]
        return self._decoded(batch, slice(None), rows, targets, stamps, [event.id for event in events], [])

    def _stamps(self, given: list[Any], recorded: IntArray) -> IntArray | None:
        """Return the times of events that all bear whole milliseconds, or none at all; None for any others."""
        kinds = set(map(type, given))
        now_ms = self._clock_ms()
        if kinds == {int}:
            stamps = np.array(given, dtype=np.int64)
        elif kinds == {NoneType}:
            stamps = np.where(recorded >= 0, recorded, now_ms)
        else:
            return None
        return stamps if stamps.min() >= 0 and stamps.max() <= now_ms + MS_A_DAY else None

    def _one_by_one(self, batch: RecordBatch) -> Decoded:
        now_ms = self._clock_ms()
        kept: list[int] = []
        rows: list[tuple[Any, ...]] = []
        targets: list[float] = []
        stamps: list[int] = []
        ids: list[str | None] = []
        refusals: list[Refusal] = []
        recorded = batch.timestamps_ms.tolist()
        for index, value in enumerate(batch.values):
            try:
                row, target, stamp, name = self._checked(value, recorded[index], now_ms)
            except DecodeFault as fault:
                refusals.append(Refusal(index, fault.reason, fault.detail))
                continue
            kept.append(index)
            rows.append(row)
            targets.append(target)
            stamps.append(stamp)
            ids.append(name)
        columns = np.array(targets, dtype=np.float64), np.array(stamps, dtype=np.int64)
        return self._decoded(batch, kept, rows, *columns, ids, refusals)

    def _decoded(
        self,
        batch: RecordBatch,
        kept: list[int] | slice,
        rows: list[tuple[Any, ...]],
        targets: FloatArray,
        stamps: IntArray,
        ids: list[str | None],
        refusals: list[Refusal],
    ) -> Decoded:
        numbers, texts = self._columns.columns(rows)
        offsets = batch.offsets[kept]
        examples = Examples(
            numbers=numbers,
            codes=self._categories.encode(texts, grow=True, rows=len(rows)),
            targets=targets,
            timestamps_ms=stamps,
            keys=identity_hashes(batch.source, offsets, ids),
        )
        return Decoded(examples, offsets, refusals)

    def _checked(
        self, value: bytes | None, recorded_ms: int, now_ms: int
    ) -> tuple[tuple[Any, ...], float, int, str | None]:
        if value is None:
            raise DecodeFault("tombstone", "the record has no value")
        if len(value) > self._max_bytes:
            raise DecodeFault("too_large", f"{len(value)} bytes are more than source.max_bytes, {self._max_bytes}")
        try:
            if not value.isascii():
                value.decode()  # msgspec does not look into what it skips
            if too_deep(value):
                raise DecodeFault("not_json", f"nested deeper than {MAX_DEPTH} arrays and objects")
            event = self._decode(value)
            row, label, ts, name = in_order(event.features), event.label, event.ts, event.id
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            row, label, ts, name = read_slowly(value, self._columns, regression=self._regression)
        if ts is None:
            ts = recorded_ms if recorded_ms >= 0 else now_ms
        stamp = ts if type(ts) is int else timestamp_ms(ts)
        in_time = 0 <= stamp <= now_ms + MS_A_DAY
        # An unknown label is named before a bad time, yet a record with a bad time must not leave its label behind.
        seen = self._seen.get(type(label))
        target: float | None = None if seen is None else seen.get(label)
        if target is None:
            target = self._target(label, may_grow=in_time)
        if not in_time:
            raise DecodeFault("bad_timestamp", f"ts {ts!r:.80} is not a time from 1970 up to a day ahead of now")
        return row, target, stamp, name

    def _target(self, label: str | float | None, *, may_grow: bool) -> float:
        if label is None:
            raise DecodeFault("missing_label", "label is missing")
        if self._regression:
            return float(label)
        if not isinstance(label, str) and not finite(label):  # the fast reader lets integers of any size pass
            raise DecodeFault("not_finite", "label is NaN, infinite or too large")
        text = str(label_text(label))
        index = self._seen[str].get(text)
        if index is None:
            closed = self._labels.fixed or len(self._labels) >= self._labels.capacity
            if not may_grow and not closed:
                return UNDECIDED
            index = self._labels.index(text)
        if index is None:
            raise DecodeFault("unknown_label", f"label {text!r:.80} is not one of the {len(self._labels)} labels")
        self._seen[str][text] = index
        if type(label) is int:
            self._seen[int][label] = index
        return index
