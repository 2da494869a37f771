"""service/ingest/decode.py and the reading beneath it."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.decode import Decoded, Decoder
from service.model.features import FeatureColumns
from service.model.vocabulary import Categories, Labels
from service.records import REFUSAL_REASONS, Partition, RecordBatch
from service.settings import Settings
from tests.bad_records import BAD, DAY_MS, FEATURES, FITTING, MAX_BYTES, NOW_MS, SCHEMA, event, features, nested

HERE = Partition("events", 3)


def decoder(task: str = "binary", *, fast: bool = True, labels: Labels | None = None, **schema: object) -> Decoder:
    """Return a decoder with vocabularies of its own; without ``fast`` every record takes the slow path."""
    tree = {
        "task": task,
        "schema": SCHEMA | ({"labels": []} if task == "regression" else {}) | schema,
        "source": {"max_bytes": MAX_BYTES},
    }
    checked = Settings.model_validate(tree)
    categories = Categories(checked.schema_.categorical, 10)
    columns = FeatureColumns(checked.schema_)
    made = Decoder(checked, columns, categories, Labels.of(checked) if labels is None else labels, lambda: NOW_MS)
    if not fast:

        def refuse(value: bytes) -> None:
            raise msgspec.DecodeError(str(len(value)))

        made._decode = refuse
    return made


def batch(*values: bytes | None, first: int = 0, recorded_ms: int = -1) -> RecordBatch:
    """Return a polled batch of these values."""
    count = len(values)
    return RecordBatch(
        source=HERE,
        offsets=np.arange(first, first + count),
        timestamps_ms=np.full(count, recorded_ms),
        values=values,
        keys=[None] * count,
        headers=[()] * count,
    )


def outcome(decoded: Decoded) -> tuple[object, ...]:
    """Return all that a decoder said, in a form that can be compared."""
    rows = decoded.examples
    return (
        [(refusal.index, refusal.reason) for refusal in decoded.refusals],
        decoded.offsets.tolist(),
        rows.numbers.tobytes(),
        rows.codes.tolist(),
        rows.targets.tolist(),
        rows.timestamps_ms.tolist(),
        rows.keys.tolist(),
    )


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("fast", [True, False])
def test_each_bad_record_is_refused_for_its_first_reason(name: str, *, fast: bool) -> None:
    """Whatever is wrong with it, a record is refused for the first reason that fits, in a line of words."""
    value, reason = BAD[name]
    decoded = decoder(fast=fast).decode(batch(value))
    [refusal] = decoded.refusals
    assert refusal.reason == reason
    assert refusal.detail
    assert len(refusal.detail.encode()) <= 1_000
    assert len(decoded.examples) == 0


def test_the_bad_records_cover_every_reason() -> None:
    """No reason of refusal goes untried."""
    assert {reason for _, reason in BAD.values()} == set(REFUSAL_REASONS)


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("fast", [True, False])
def test_each_unusual_but_fitting_record_is_accepted(name: str, *, fast: bool) -> None:
    """What the contract allows is accepted, however it is written."""
    decoded = decoder(fast=fast).decode(batch(FITTING[name]))
    assert decoded.refusals == []
    assert len(decoded.examples) == 1


def test_accepted_rows_become_columns_in_order() -> None:
    """Numbers, booleans as 0 and 1, NaN where missing, codes of categories, labels by index, times and offsets."""
    decoded = decoder().decode(
        batch(event(ts=5), b"junk", features(y=None, c="blue", b=False), event(label="no"), first=40, recorded_ms=7)
    )
    rows = decoded.examples
    np.testing.assert_array_equal(rows.numbers, [[1.5, 2, 1], [1.5, np.nan, 0], [1.5, 2, 1]])
    assert rows.codes.tolist() == [[2], [3], [2]]
    assert rows.targets.tolist() == [0, 0, 1]
    assert rows.timestamps_ms.tolist() == [5, 7, 7]
    assert decoded.offsets.tolist() == [40, 42, 43]
    assert [(refusal.index, refusal.reason) for refusal in decoded.refusals] == [(1, "not_json")]


def test_how_deep_a_record_may_be_nested_does_not_depend_on_who_calls() -> None:
    """Readers give up where the interpreter's stack ends: the same record would have another fate elsewhere."""
    values = (event(extra=nested(199)), event(extra=nested(200)))

    def called_from(frames: int) -> list[str]:
        made = decoder()
        return called_from(frames - 1) if frames else [one.reason for one in made.decode(batch(*values)).refusals]

    assert called_from(0) == called_from(400) == ["not_json"]


def test_an_empty_batch_decodes_to_nothing() -> None:
    """A batch without records, and one without a fitting record, have no rows but the right widths."""
    for decoded in (decoder().decode(batch()), decoder().decode(batch(None))):
        assert decoded.examples.numbers.shape == (0, 3)
        assert decoded.examples.codes.shape == (0, 1)
        assert len(decoded.offsets) == 0


def test_a_record_without_any_time_gets_the_clocks() -> None:
    """Neither ``ts`` nor a time of the log: the event is taken to be of now."""
    assert decoder().decode(batch(event())).examples.timestamps_ms.tolist() == [NOW_MS]


def test_a_logs_own_time_must_not_be_absurd_either() -> None:
    """A producer's clock can be as wrong as an event's."""
    decoded = decoder().decode(batch(event(), recorded_ms=NOW_MS + 2 * DAY_MS))
    assert [refusal.reason for refusal in decoded.refusals] == ["bad_timestamp"]


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
        ("2026-01-02T03:04:05.678999Z", 1_767_323_045_678),
        ("2026-01-02T04:04:05.678123456+01:00", 1_767_323_045_678),
        (1_767_323_045_678.9, 1_767_323_045_678),
    ],
)
def test_times_become_epoch_milliseconds(ts: object, expected: int) -> None:
    """RFC 3339 with any offset and any fraction, and numbers with a fraction, are cut to the millisecond."""
    assert decoder().decode(batch(event(ts=ts))).examples.timestamps_ms.tolist() == [expected]


def test_an_open_set_takes_labels_in_as_they_come_and_compares_them_as_text() -> None:
    """1 and "1" are one label; 1.0 and true are others; a full set refuses the next one."""
    open_set = Labels((), 4, fixed=False)
    labels = (1, "1", 1.0, True, "true", 0, 1, False)
    decoded = decoder("multiclass", labels=open_set).decode(batch(*(event(label=label) for label in labels)))
    assert decoded.examples.targets.tolist() == [0, 0, 1, 2, 2, 3, 0]
    assert open_set.names == ("1", "1.0", "true", "0")
    assert [refusal.reason for refusal in decoded.refusals] == ["unknown_label"]


def test_a_refused_record_leaves_neither_label_nor_category_behind() -> None:
    """Only accepted records teach the vocabularies: an absurd time keeps a new label out, too."""
    open_set = Labels((), 2, fixed=False)
    made = decoder(labels=open_set)
    made.decode(batch(event(label="odd", ts=-1), event(label="odd", features=FEATURES | {"x": None, "c": "mauve"})))
    assert open_set.names == ()
    decoded = made.decode(batch(event(label="first"), event(label="second", ts=-1), event(label="third")))
    assert open_set.names == ("first", "third")
    assert decoded.examples.targets.tolist() == [0, 1]
    assert decoded.examples.codes.tolist() == [[2], [2]]


def test_labels_taken_in_elsewhere_are_known_here() -> None:
    """A set that grew between two batches, by a restored state for instance, is looked up anew."""
    open_set = Labels((), 3, fixed=False)
    made = decoder("multiclass", labels=open_set)
    made.decode(batch(event(label="a")))
    open_set.index("b")
    open_set.fix()
    assert made.decode(batch(event(label="b"))).examples.targets.tolist() == [1]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("1.5", "wrong_type"),
        (True, "wrong_type"),
        ([], "wrong_type"),
        (None, "missing_label"),
        (float("inf"), "not_finite"),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_a_regression_takes_finite_numbers_only(label: object, reason: str, *, fast: bool) -> None:
    """Numbers in text and booleans are no regression labels."""
    decoded = decoder("regression", fast=fast).decode(batch(event(label=-2), event(label=label), event(label=1.25)))
    assert decoded.examples.targets.tolist() == [-2, 1.25]
    assert [(refusal.index, refusal.reason) for refusal in decoded.refusals] == [(1, reason)]


def test_identity_is_the_id_wherever_the_event_stands_else_its_place() -> None:
    """The same id has the same hash in every batch; without one, topic, partition and offset decide."""
    made = decoder()
    one = made.decode(batch(event(id="a"), event(id="b"), event(), event(id=""))).examples.keys
    other = made.decode(batch(event(), event(id="a"), event(), first=1)).examples.keys
    assert one[0] == other[1]
    assert one[2] == made.decode(batch(event(), first=2)).examples.keys[0]
    assert len({*one.tolist(), *other.tolist()}) == 6


def test_identity_hashes_are_fixed_for_all_time() -> None:
    """A held-out event must be held out after every restart, upgrade and move to another machine."""
    keys = decoder().decode(batch(event(id="a"), event())).examples.keys
    # CRC-32 and Adler-32 of "a", mixed; and splitmix64 at step 1 from those of "events/3", by their definitions.
    assert keys.tolist() == [814_452_793_479_949_388, 3_985_959_888_341_956_642]


def test_feature_names_may_be_any_text() -> None:
    """Names that are no identifiers, and even names with quotes, work alike."""
    for names in (["first name", "class", "ä"], ['a"b', "back\\slash", "tab\t"]):
        made = decoder(numeric=names, categorical=[], boolean=[], nullable=[])
        good = {"features": dict.fromkeys(names, 1), "label": "yes"}
        decoded = made.decode(batch(json.dumps(good).encode(), event()))
        assert len(decoded.examples) == 1
        assert [refusal.reason for refusal in decoded.refusals] == ["missing_feature"]


NAMES = ['"x"', '"y"', '"c"', '"b"', '"z"', '"\\u0078"', '"é"', '"\\ud800"', '""']
ATOMS = [
    *("null", "true", "false", "NaN", "Infinity", "-Infinity", "nan", "1", "-0", "-0.0", "1.0", "1e5", "1E400"),
    *("-1e999", "1e-400", "01", "1.", ".5", "+1", "0x1", "-", "1e", "9007199254740993", "18446744073709551616"),
    *("1.7976931348623159e308", "5e-324", "9" * 310, "9" * 4_400, str(NOW_MS), str(NOW_MS + 2 * DAY_MS)),
    *('"yes"', '"no"', '"1"', '""', '"é"', '"a\\tb"', '"a\tb"', '"\\x"', '"\x00"', '"\\ud83d"', '"\\ud83d\\ude00"'),
    *('"\\udc00\\ud800"', '"2026-01-02T03:04:05Z"', '"2026-13-02T03:04:05Z"', "[]", "{}", "[1, [null, {}]]"),
]
atoms = st.sampled_from(ATOMS)


def objects(names: st.SearchStrategy[str], contents: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return the text of objects, with keys that can stand there twice."""
    pairs = st.tuples(names, contents).map(": ".join)
    return st.lists(pairs, max_size=6).map(lambda parts: "{" + ", ".join(parts) + "}")


fitting_features = st.fixed_dictionaries(
    {'"x"': st.sampled_from(["1", "-0.0", "1e5", "18446744073709551616"]), '"c"': st.sampled_from(['"a"', '"é"'])}
    | {'"b"': st.sampled_from(["true", "false"])},
    optional={'"y"': atoms},
).map(lambda pairs: "{" + ", ".join(map(": ".join, pairs.items())) + "}")
some_features = st.one_of(fitting_features, objects(st.sampled_from(NAMES), atoms), atoms)
events = st.fixed_dictionaries(
    {'"features"': some_features, '"label"': st.one_of(st.just('"yes"'), atoms)},
    optional={'"ts"': atoms, '"id"': atoms, '"extra"': atoms, '"\\u0069d"': atoms},
).map(lambda pairs: "{" + ", ".join(map(": ".join, pairs.items())) + "}")
texts = st.one_of(events, events.map(lambda text: text + text), atoms, objects(st.just('"features"'), some_features))


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Return the bytes of a record: an event of odd parts, sometimes with a few bytes damaged."""
    value = bytearray(draw(texts).encode(errors="surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@settings(max_examples=600, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4), st.sampled_from(["binary", "regression"]))
def test_the_fast_and_the_slow_path_agree_on_every_record(values: list[bytes], task: str) -> None:
    """Whatever the bytes, both paths accept the same rows, or refuse for the same reason."""
    fast, slow = (decoder(task, fast=fast).decode(batch(*values)) for fast in (True, False))
    assert outcome(fast) == outcome(slow)


def test_the_paths_agree_on_all_known_kinds() -> None:
    """The named corpora, good and bad, decode alike on both paths."""
    values = [*FITTING.values(), *(value for value, _ in BAD.values())]
    fast, slow = (decoder(fast=fast).decode(batch(*values)) for fast in (True, False))
    assert outcome(fast) == outcome(slow)


def test_a_batch_decoded_at_once_equals_its_records_decoded_one_by_one() -> None:
    """The short way for whole batches gives the same columns, and is taken once the labels have been seen."""
    for recorded_ms, stamps in ((-1, True), (NOW_MS - 5, False), (-1, False)):
        values = [
            json.dumps(
                {
                    "features": {
                        "a": index / 3,
                        "b": None if index % 4 else 2.0,
                        "c": bool(index % 2),
                        "d": f"v{index % 5}",
                    },
                    "label": "yes" if index % 3 else "no",
                }
                | ({"ts": NOW_MS - index} if stamps else {})
                | ({"id": f"event-{index}"} if index % 2 else {})
            ).encode()
            for index in range(50)
        ]
        schema = {
            "numeric": ["a", "b"],
            "boolean": ["c"],
            "categorical": ["d"],
            "nullable": ["b"],
        }
        short, long = (decoder("binary", **schema) for _ in range(2))
        given = batch(*values, first=7, recorded_ms=recorded_ms)
        short.decode(given)
        at_once, one_by_one = short._at_once(given), long._one_by_one(given)
        assert at_once is not None
        assert at_once.refusals == one_by_one.refusals == []
        assert at_once.offsets.tolist() == one_by_one.offsets.tolist()
        for name in ("numbers", "codes", "targets", "timestamps_ms", "keys"):
            np.testing.assert_array_equal(getattr(at_once.examples, name), getattr(one_by_one.examples, name))
