"""When a call is sent again, and when not: the course of events without any network."""

import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client import calls
from service.client.answers import EventsAnswer, RejectedEvent
from service.client.attempts import Retries, Sending, Steps, attempts, predict_all, until_ready
from service.client.calls import Call, answer_of
from service.client.errors import (
    FieldFault,
    FreshetHTTPError,
    InvalidRequestError,
    NoAnswerError,
    NotAllowedError,
    NotFoundError,
    ServerError,
    TooLargeError,
    UnavailableError,
    UnreadableAnswerError,
)

REQUEST = httpx.Request("POST", "http://host/prefix/v1/predict?explain=true")
PREDICT = calls.predict([{"x": 1.0}], explain=False, first=0, nan_is_missing=False)
SEND = calls.send_events([{}], resend=False, first=0, nan_is_missing=False)
RESEND = calls.send_events([{}], resend=True, first=0, nan_is_missing=False)
CHECKPOINT = {"id": "000001-abcdef01", "trained_until": "2026-01-31T09:30:00.250Z"}
GOOD = {"predictions": [{"label": "yes", "scores": {"yes": 0.75}}], "checkpoint": CHECKPOINT}
TAKEN = {"accepted": 1, "rejected": []}

Outcome = httpx.Response | httpx.RequestError


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """Return an answer; a status of 400 or more is a problem."""
    if status >= 400 and body is None:
        body = {"status": status, "title": "", "detail": "the reason"}
    return httpx.Response(status, json=body, headers=headers, request=REQUEST)


def fails(kind: type[httpx.RequestError]) -> httpx.RequestError:
    """Return an error of the transport."""
    return kind("words", request=REQUEST)


def course(steps: Steps[Any], outcomes: Iterable[Outcome]) -> tuple[Any, list[float]]:
    """Run steps against these outcomes; return the result or the error, and the pauses."""
    left, pauses = list(outcomes), []
    try:
        step = next(steps)
        while True:
            if isinstance(step, Call):
                outcome = left.pop(0)
                step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
            else:
                pauses.append(step)
                step = next(steps)
    except StopIteration as done:
        result = done.value
    except (FreshetHTTPError, NoAnswerError, UnreadableAnswerError) as error:
        result = error
    assert not left
    return result, pauses


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    """Predicting twice is predicting once: it goes on until there is an answer, or the retries are used up."""
    found, pauses = course(attempts(PREDICT, Retries(most=2)), [answer(status), answer(status), answer(200, GOOD)])
    assert found.predictions[0].label == "yes"
    assert len(pauses) == 2
    found, pauses = course(attempts(PREDICT, Retries(most=1)), [answer(status), answer(status)])
    assert (type(found), found.status, len(pauses)) == (UnavailableError, status, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 422, 500, 501])
def test_what_would_be_refused_again_is_not_sent_again(status: int) -> None:
    """The first answer is the last."""
    found, pauses = course(attempts(PREDICT, Retries(most=5)), [answer(status)])
    assert (found.status, found.detail, pauses) == (status, "the reason", [])


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError])
def test_a_lost_answer_is_asked_for_again_only_where_that_does_no_harm(kind: type[httpx.RequestError]) -> None:
    """Predictions are; events are not, since they may have been kept, unless the caller prefers doubles to losses."""
    found, _ = course(attempts(PREDICT, Retries()), [fails(kind), answer(200, GOOD)])
    assert found.checkpoint.id == CHECKPOINT["id"]
    found, _ = course(attempts(SEND, Retries()), [fails(kind)])
    assert (type(found), found.sent) == (NoAnswerError, True)
    assert "may have carried it out" in str(found)
    found, _ = course(attempts(RESEND, Retries()), [fails(kind), answer(202, TAKEN)])
    assert found.accepted == 1


def test_events_are_not_resent_after_a_503() -> None:
    """The server says it also when some of them were kept."""
    found, _ = course(attempts(SEND, Retries()), [answer(503)])
    assert isinstance(found, UnavailableError)
    found, _ = course(attempts(RESEND, Retries()), [answer(503), answer(202, TAKEN)])
    assert found.accepted == 1


@pytest.mark.parametrize(
    "call",
    [
        calls.promote("000001-abcdef01", reason=None),
        calls.pin("000001-abcdef01", reason="because"),
        calls.unpin(reason=None),
    ],
    ids=["promote", "pin", "unpin"],
)
def test_what_operators_do_is_sent_again_after_a_refusal_alone(call: Call[Any]) -> None:
    """A refusal changed nothing; after a lost answer a second call would tell of another state than the first."""
    found, pauses = course(attempts(call, Retries(most=1)), [answer(503), answer(404)])
    assert (found.status, len(pauses)) == (404, 1)
    found, pauses = course(attempts(call, Retries()), [fails(httpx.ReadError)])
    assert (type(found), pauses) == (NoAnswerError, [])


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout])
def test_what_never_left_is_sent_again_whatever_it_is(kind: type[httpx.RequestError]) -> None:
    """Without a connection nothing was carried out."""
    found, _ = course(attempts(SEND, Retries()), [fails(kind), answer(202, TAKEN)])
    assert found.accepted == 1
    found, pauses = course(attempts(SEND, Retries(most=1)), [fails(kind)] * 2)
    assert (type(found), found.sent, len(pauses)) == (NoAnswerError, False, 1)
    assert isinstance(found.__cause__, kind)


@given(st.integers(0, 40), st.none() | st.floats(0, 1e6), st.floats(0.01, 5), st.floats(0.01, 60))
def test_a_pause_keeps_to_what_the_server_asks_and_to_the_longest(
    attempt: int, asked: float | None, first: float, longest: float
) -> None:
    """Never longer than allowed, never shorter than asked but for that, and growing where nothing is asked."""
    pause = Retries(most=1, first_pause_seconds=first, longest_pause_seconds=longest).pause_seconds(attempt, asked)
    wanted = first * 2**attempt if asked is None else asked
    assert min(wanted, longest) <= pause <= min(wanted * 1.25, longest)


def test_retry_after_is_honoured() -> None:
    """As seconds or as a date; what is neither counts as nothing."""
    retries = Retries(most=3, first_pause_seconds=0.1, longest_pause_seconds=4.0)
    past, nonsense = "Wed, 21 Oct 2015 07:28:00 GMT", "soon"
    headers = ("2", "3600", past, nonsense)
    found, pauses = course(
        attempts(
            PREDICT, Retries(most=4, first_pause_seconds=0.1, longest_pause_seconds=retries.longest_pause_seconds)
        ),
        [*(answer(503, **{"retry-after": value}) for value in headers), answer(200, GOOD)],
    )
    assert found.predictions
    assert 2 <= pauses[0] <= 2.5
    assert pauses[1] == 4.0
    assert pauses[2] == 0
    assert 0.8 <= pauses[3] <= 1.0


@pytest.mark.parametrize("values", [{"most": -1}, {"first_pause_seconds": 0}, {"longest_pause_seconds": float("nan")}])
def test_retries_without_sense_are_refused(values: dict[str, Any]) -> None:
    """At once, not at the first failure."""
    with pytest.raises(ValueError, match="most is at least 0"):
        Retries(**values)


def predicted(labels: Sequence[int], checkpoint: str = "000001-abcdef01") -> httpx.Response:
    """Return predictions with these values."""
    predictions = [{"label": value, "scores": {"value": value}} for value in labels]
    return answer(200, {"predictions": predictions, "checkpoint": {"id": checkpoint, "trained_until": None}})


def test_a_batch_that_is_too_large_goes_in_halves() -> None:
    """Order is kept, and each prediction has the checkpoint of the half that it was in."""
    asked: list[tuple[int, int]] = []

    def predict(instances: Sequence[Any], first: int) -> Call[Any]:
        asked.append((first, len(instances)))
        return PREDICT

    outcomes = [answer(413), predicted([0, 1], "000001-abcdef01"), answer(413), predicted([2]), predicted([3], "b")]
    found, _ = course(predict_all(range(4), 100, predict, Retries()), outcomes)
    assert [one.prediction.label for one in found] == [0, 1, 2, 3]
    assert [one.checkpoint.id for one in found] == ["000001-abcdef01"] * 3 + ["b"]
    assert asked == [(100, 4), (100, 2), (102, 2), (102, 1), (103, 1)]
    found, _ = course(predict_all(range(1), 0, predict, Retries()), [answer(413)])
    assert isinstance(found, TooLargeError)


def test_as_many_predictions_as_instances_or_none() -> None:
    """Else all that follow would belong to other instances."""
    found, _ = course(predict_all(range(3), 0, lambda _, __: PREDICT, Retries()), [predicted([0, 1])])
    assert isinstance(found, UnreadableAnswerError)


def test_an_error_says_how_many_events_were_taken_before_it() -> None:
    """Also when it happens in the second half of a batch that was too large."""

    def send(events: Iterable[Any], first: int = 0, *, resend: bool = False) -> Call[EventsAnswer]:
        return calls.send_events([{} for _ in events], resend=resend, first=first, nan_is_missing=False)

    sending = Sending(send, Retries(), resend=False)
    rejected = {"accepted": 1, "rejected": [{"index": 1, "reason": "wrong_type"}]}
    assert course(sending.batch(range(2), 0), [answer(202, {"accepted": 2, "rejected": []})])[0] is None
    found, _ = course(sending.batch(range(4), 2), [answer(413), answer(202, rejected), answer(503)])
    assert isinstance(found, UnavailableError)
    assert found.taken == sending.taken == EventsAnswer(3, (RejectedEvent(3, "wrong_type"),))


def test_waiting_ends_once_the_server_is_ready_or_the_time_is_over() -> None:
    """A server that is not there yet is waited for, too; in the end the last reason is what is raised."""
    times = iter(range(100))
    outcomes = [fails(httpx.ConnectError), answer(503), answer(200, {"status": "ready"})]
    found, pauses = course(until_ready(60, lambda: next(times)), outcomes)
    assert (found, len(pauses)) == (None, 2)
    found, _ = course(until_ready(1.5, lambda: next(times)), [fails(httpx.ConnectError), answer(503)])
    assert "not ready: the reason" in str(found)
    found, _ = course(until_ready(0.5, lambda: next(times)), [fails(httpx.ConnectError)])
    assert isinstance(found, NoAnswerError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (408, InvalidRequestError),
        (413, TooLargeError),
        (422, InvalidRequestError),
        (499, InvalidRequestError),
        (500, ServerError),
        (503, UnavailableError),
        (599, ServerError),
    ],
)
def test_each_refusal_has_its_class_and_all_that_the_server_said(status: int, kind: type[FreshetHTTPError]) -> None:
    """In attributes for programs, in one line for people; also after a journey between processes."""
    errors = [{"pointer": "/instances/2/x~1y", "detail": "missing"}, {"pointer": "/other/2", "detail": "unknown"}]
    body = {"detail": "x/y is missing", "errors": errors, "request_id": "r-1", "more": "of tomorrow"}
    call = calls.predict([{}], explain=False, first=1_000, nan_is_missing=False)
    with pytest.raises(kind) as caught:
        answer_of(call, answer(status, body, **{"retry-after": "7"}))
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301 - our own
        assert type(error) is kind
        assert (error.status, error.detail, error.request_id) == (status, "x/y is missing", "r-1")
        assert error.errors == (FieldFault("/instances/1002/x~1y", "missing"), FieldFault("/other/2", "unknown"))
        assert error.retry_after_seconds == 7
        assert str(error) == f"{status} at /instances/1002/x~1y: x/y is missing (request r-1)"


@pytest.mark.parametrize("content", [b"<html>\n Bad  Gateway</html>", b"", b"[]", b"{}", b"\xff", b'{"detail": 5}'])
def test_a_refusal_by_somebody_else_is_read_as_well(content: bytes) -> None:
    """A proxy's page has a status and text, and nothing more."""
    error = calls.refusal(httpx.Response(502, content=content, headers={"x-request-id": "p"}, request=REQUEST))
    assert (error.status, error.errors, error.request_id, error.retry_after_seconds) == (502, (), "p", None)
    assert error.detail
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "response",
    [
        answer(200, {"predictions": []}),
        answer(200, {**GOOD, "predictions": [{"label": None, "scores": {}}]}),
        httpx.Response(200, content=b"<html>", request=REQUEST),
        httpx.Response(200, content=b"\xff", request=REQUEST),
        httpx.Response(204, request=REQUEST),
        httpx.Response(301, headers={"location": "https://host/"}, request=REQUEST),
    ],
)
def test_an_answer_of_another_form_is_named_as_one(response: httpx.Response) -> None:
    """Not an error of the JSON reader, far from its cause; the address is in the message, the query is not."""
    with pytest.raises(UnreadableAnswerError, match=r"http://host/prefix/v1/predict ") as caught:
        answer_of(PREDICT, response)
    assert ("https://host/" in str(caught.value)) == (response.status_code == 301)


def test_what_a_newer_server_adds_is_passed_over() -> None:
    """At any level."""
    checkpoint = {**CHECKPOINT, "new": 1}
    body = {"predictions": [{**GOOD["predictions"][0], "new": [1]}], "checkpoint": checkpoint, "new": {}}
    found = answer_of(PREDICT, answer(200, body))
    assert found == answer_of(PREDICT, answer(200, GOOD))
    assert found.checkpoint.trained_until.isoformat() == "2026-01-31T09:30:00.250000+00:00"


def test_an_unreadable_encoding_is_no_failure_of_the_network() -> None:
    """It would come back the same: it is not asked for again."""
    found, pauses = course(attempts(PREDICT, Retries()), [fails(httpx.DecodingError)])
    assert (type(found), pauses) == (UnreadableAnswerError, [])


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a?b", "é", "x" * 100 + "/"])
def test_what_is_no_id_makes_no_other_path(name: str) -> None:
    """It is refused before it is sent."""
    with pytest.raises(ValueError, match="no checkpoint's id"):
        calls.checkpoint(name)
