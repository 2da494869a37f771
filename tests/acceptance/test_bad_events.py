"""DESIGN's row "malformed, oversized, wrong-typed, NaN or unknown-class event": a dead letter, and on it goes."""

from service.ingest.embedded import EmbeddedSink
from tests.acceptance.conftest import MakeService, eventually
from tests.acceptance.faults import dead_letters, stop
from tests.acceptance.nursery import Nursery
from tests.bad_records import BAD, MAX_BYTES, SCHEMA, event


def test_malformed_oversized_wrong_typed_nan_or_unknown_class_event(
    make_service: MakeService, nursery: Nursery
) -> None:
    """Each kind there is becomes a dead letter with its reason and its bytes, and the events beside it are learnt."""
    source = {"topic": "events", "max_bytes": MAX_BYTES}
    service = make_service(nursery=nursery, schema=SCHEMA, source=source)
    sink = EmbeddedSink(service.folder / "log.sqlite")
    expected = {}
    kinds = [kind for name, kind in BAD.items() if name != "over a day ahead"]  # of the day that the table supposes
    for number, (value, reason) in enumerate(kinds):
        sink.send("events", value)
        sink.send("events", event())
        expected[2 * number] = (reason, value)
    sink.flush()
    sink.close()
    trainer = service.start("train")
    eventually(lambda: service.accepted() == len(expected), "the fitting events to be taken in")
    stop(trainer)
    assert {letter.offset: (letter.reason, letter.value) for letter in dead_letters(service)} == expected
