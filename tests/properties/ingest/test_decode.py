"""Decoding: every record is an example or a refusal, for the reason that the contract names, however it was batched."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.ingest.decode import Decoded, Decoder
from service.model.features import FeatureColumns
from service.model.vocabulary import Categories, Labels
from service.records import REFUSAL_REASONS, Examples, Partition, RecordBatch
from service.settings import Settings
from tests.bad_records import MAX_BYTES, NOW_MS, SCHEMA
from tests.properties.contract_oracle import Contract, Fits
from tests.properties.effort import examples
from tests.properties.event_texts import edge_times, fitting, records

HERE = Partition("events", 3)
CATEGORIES = 3
LABELS = 3
Values = Sequence[bytes | None]
some_labels = st.sampled_from(['"yes"', '"no"', "1", "2", "true"])
tasks = st.sampled_from(["binary", "multiclass", "regression"])


def decoder(task: str) -> Decoder:
    """Return a decoder; a multiclass one has an open set of labels, soon full, as its categories are."""
    schema = SCHEMA | ({} if task == "binary" else {"labels": []})
    tree = {"task": task, "schema": schema, "source": {"max_bytes": MAX_BYTES}}
    checked = Settings.model_validate(tree)
    labels = Labels((), LABELS, fixed=False) if task == "multiclass" else Labels.of(checked)
    columns, categories = FeatureColumns(checked.schema_), Categories(checked.schema_.categorical, CATEGORIES)
    return Decoder(checked, columns, categories, labels, lambda: NOW_MS)


def contract(task: str) -> Contract:
    """Return the judge of the same events."""
    labels = {"binary": ["yes", "no"], "multiclass": [], "regression": None}[task]
    lists = {kind: SCHEMA[kind] for kind in ("numeric", "boolean", "categorical", "nullable")}
    is_open = task == "multiclass"
    return Contract(**lists, labels=labels, max_bytes=MAX_BYTES, now_ms=NOW_MS, open_labels=is_open, most_labels=LABELS)


def batch(values: Values, first: int = 0, recorded_ms: int = -1) -> RecordBatch:
    """Return a polled batch of these values."""
    count = len(values)
    return RecordBatch(
        HERE, np.arange(first, first + count), np.full(count, recorded_ms), values, [None] * count, [()] * count
    )


def encoded(drawn: Sequence[bytes | str | None]) -> Values:
    """Return texts as bytes."""
    return [value.encode() if isinstance(value, str) else value for value in drawn]


def told(parts: Sequence[tuple[int, Decoded]]) -> tuple[object, ...]:
    """Return what was made of the batches that began at these places, in a form that can be compared."""
    rows = Examples.concatenate([decoded.examples for _, decoded in parts])
    return (
        [(start + one.index, one.reason) for start, decoded in parts for one in decoded.refusals],
        np.concatenate([decoded.offsets for _, decoded in parts]).tolist(),
        rows.numbers.tobytes(),
        rows.codes.tolist(),
        rows.targets.tolist(),
        rows.timestamps_ms.tolist(),
        rows.keys.tolist(),
    )


@examples(400)
@given(
    st.lists(st.one_of(records(), fitting(some_labels, edge_times)), min_size=1, max_size=6),
    tasks,
    st.sampled_from([-1, 0, NOW_MS, 2 * NOW_MS]),
)
def test_each_record_is_an_example_or_a_refusal_as_the_contract_says(
    drawn: Sequence[bytes | str | None], task: str, recorded: int
) -> None:
    """Never both, never neither, never an exception; content and first reason agree with a reading of the contract."""
    values = encoded(drawn)
    decoded = decoder(task).decode(batch(values, first=40, recorded_ms=recorded))
    judge = contract(task)
    judged = [judge.judge(value, recorded) for value in values]
    assert all(one in REFUSAL_REASONS for one in judged if not isinstance(one, Fits))
    wanted = [(index, one) for index, one in enumerate(judged) if not isinstance(one, Fits)]
    assert [(one.index, one.reason) for one in decoded.refusals] == wanted
    fits = [one for one in judged if isinstance(one, Fits)]
    assert decoded.offsets.tolist() == [40 + index for index, one in enumerate(judged) if isinstance(one, Fits)]
    np.testing.assert_array_equal(decoded.examples.numbers, np.array([one.numbers for one in fits]).reshape(-1, 3))
    assert decoded.examples.timestamps_ms.tolist() == [one.ts for one in fits]
    known: dict[str, int] = {}
    for [code], one in zip(decoded.examples.codes.tolist(), fits, strict=True):
        text = one.categories[0]
        assert text is not None
        if len(known) < CATEGORIES:
            known.setdefault(text, len(known) + 2)
        assert code == known.get(text, 1)
    labels = judge.labels
    targets = [float(one.label) if labels is None else labels.index(str(one.label)) for one in fits]
    assert decoded.examples.targets.tolist() == targets


@examples(150)
@given(st.data(), tasks)
def test_a_batch_read_at_once_equals_its_records_read_one_by_one(data: st.DataObject, task: str) -> None:
    """The short way for batches of ordinary events is only a short way; and it is taken for them."""
    labels = st.sampled_from(["1", "2.5", "-3"] if task == "regression" else ['"yes"', '"no"'])
    ordinary = fitting(labels)
    some_odd = st.one_of(ordinary, fitting(labels, edge_times), records().filter(bool))
    drawn = data.draw(st.lists(some_odd if data.draw(st.booleans()) else ordinary, min_size=1, max_size=8))
    values = encoded(drawn)
    quick, slow = decoder(task), decoder(task)
    for made in (quick, slow):  # so that the labels have been seen
        made.decode(batch([event(label) for label in (b'"yes"', b'"no"')], first=1_000))
    slow._at_once = lambda _: None  # type: ignore[method-assign]
    given_batch = batch(values)
    assert told([(0, quick.decode(given_batch))]) == told([(0, slow.decode(given_batch))])


def event(label: bytes) -> bytes:
    """Return an ordinary event."""
    return b'{"features": {"x": 1, "y": 2, "c": "red", "b": true}, "label": ' + label + b"}"


def test_ordinary_batches_do_take_the_short_way() -> None:
    """Else the comparison above would compare the long way with itself."""
    made = decoder("binary")
    values = [event(label) for label in (b'"yes"', b'"no"')]
    made.decode(batch(values))
    assert made._at_once(batch(values)) is not None


@examples(150)
@given(
    st.lists(st.one_of(records(), fitting(some_labels, edge_times)), max_size=10),
    st.lists(st.integers(0, 10), max_size=4),
    tasks,
)
def test_how_records_are_batched_changes_nothing(
    drawn: Sequence[bytes | str | None], cuts: list[int], task: str
) -> None:
    """Examples, codes, labels, refusals and keys, and so the held-out split, are those of the records, not of polls."""
    values = encoded(drawn)
    whole = decoder(task).decode(batch(values))
    made = decoder(task)
    borders = sorted({0, *(min(cut, len(values)) for cut in cuts)})
    pieces = [*zip(borders, [*borders[1:], len(values)], strict=True)]
    parts = [(start, made.decode(batch(values[start:end], first=start))) for start, end in pieces]
    assert told(parts) == told([(0, whole)])


@examples(60)
@given(st.lists(records(), min_size=1, max_size=5), tasks)
def test_reading_again_gives_the_same(values: Values, task: str) -> None:
    """After a restart the same records become the same examples, from the same state of the vocabularies."""
    once, again = (decoder(task).decode(batch(values)) for _ in range(2))
    assert told([(0, once)]) == told([(0, again)])
