"""Spans of rounds."""

import structlog
from opentelemetry.trace import StatusCode

from service.tracing.rounds import RoundSpans
from tests.unit.tracing.conftest import Kept


def test_the_phases_of_a_round_are_its_children(kept: Kept) -> None:
    """Each lasts as long as was measured; what the gate said and what was published stand on the round."""
    spans = RoundSpans(kept.tracer)
    with structlog.contextvars.bound_contextvars():
        spans.round_began(7, "new_events", "000006-aaaaaaaa")
        ids = dict(structlog.contextvars.get_contextvars())
        structlog.contextvars.unbind_contextvars("trace_id", "span_id")
    for phase in ("prepare", "train", "validate", "publish"):
        spans.phase_ended(phase, 0.25)
    spans.decided("promote", "better")
    spans.worker_restarted("hang")
    spans.round_over(7, "promoted", "000007-bbbbbbbb")
    spans.phase_ended("publish", 1.0)  # of no round
    made = kept.spans()
    assert list(made) == ["prepare", "train", "validate", "publish", "round"]
    whole = made["round"]
    assert whole.context is not None
    assert ids == {"trace_id": f"{whole.context.trace_id:032x}", "span_id": f"{whole.context.span_id:016x}"}
    for phase in ("prepare", "train", "validate", "publish"):
        part = made[phase]
        assert part.parent is not None
        assert part.parent.span_id == whole.context.span_id
        assert part.end_time is not None
        assert part.start_time is not None
        assert part.end_time - part.start_time == 250_000_000
    assert whole.attributes == {
        "freshet.round.number": 7,
        "freshet.round.trigger": "new_events",
        "freshet.round.parent.checkpoint.id": "000006-aaaaaaaa",
        "freshet.gate.decision": "promote",
        "freshet.gate.reason": "better",
        "freshet.round.outcome": "promoted",
        "freshet.checkpoint.id": "000007-bbbbbbbb",
    }
    assert [event.name for event in whole.events] == ["worker restarted"]
    assert whole.status.status_code is StatusCode.UNSET


def test_a_failed_round_is_an_error_with_its_cause(kept: Kept) -> None:
    """The cause is the error's type, as the conventions want it."""
    spans = RoundSpans(kept.tracer)
    spans.round_began(1, "first_events", None)
    spans.round_over(1, "failed", cause="deadline")
    structlog.contextvars.unbind_contextvars("trace_id", "span_id")
    made = kept.spans()["round"]
    assert made.status.status_code is StatusCode.ERROR
    assert (made.attributes or {})["error.type"] == "deadline"


def test_a_round_that_a_stop_cuts_off_is_told(kept: Kept) -> None:
    """At the end its span ends, too; without a round there is nothing to tell."""
    spans = RoundSpans(kept.tracer)
    spans.close()
    assert not kept.spans()
    spans.round_began(1, "first_events", None)
    structlog.contextvars.unbind_contextvars("trace_id", "span_id")
    spans.close()
    assert (kept.spans()["round"].attributes or {})["freshet.round.outcome"] == "abandoned"
