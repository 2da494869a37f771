"""Bodies: what is JSON, and what is said of what is not."""

import json
import math
from pathlib import Path

import pytest

from service.serve.body import MAX_DEPTH, list_in, parse_json
from service.serve.problems import ProblemError
from tests.unit.serve.builders import INSTANCE, settings_in


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"[1e999, -1e999, Infinity]", [math.inf, -math.inf, math.inf]),
        (b"[" + b"9" * 399 + b"]", [int("9" * 399)]),
        (b"[" + b"9" * 5000 + b"]", [math.inf]),
        (b'["\\ud800"]', ["\ud800"]),
        (b"[" * 500 + b"]" * 500, None),
    ],
    ids=["plain", "repeated key", "overflow", "large integer", "huge integer", "half a surrogate pair", "nested"],
)
def test_whatever_can_be_understood_is_read(body: bytes, value: object) -> None:
    """Odd numbers and text are values, so that the field that holds them can be blamed."""
    read = parse_json(body)
    assert read == value if value is not None else isinstance(read, list)


def test_nan_is_a_number() -> None:
    """NaN is read as the number that it is not."""
    assert math.isnan(parse_json(b"[NaN]")[0])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1] 2", "not JSON"),
        (b"\xef\xbb\xbf[]", "not JSON"),
        (b'["\xff"]', "not UTF-8: byte 2"),
        ("[]".encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(body: bytes, words: str) -> None:
    """Anything else is a 400 that says what is wrong."""
    with pytest.raises(ProblemError, match=words) as caught:
        parse_json(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("crumb", [b"[],", b"1,", b"{},", b'"",', b"[[]],"])
def test_a_body_of_crumbs_is_refused_unread(tmp_path: Path, crumb: bytes) -> None:
    """Far more values than the largest batch has are counted, not decoded: that would take seconds."""
    settings = settings_in(tmp_path, max_instances=100)
    body = b'{"instances": [[' + crumb * 3_000 + b"1]]}"
    with pytest.raises(ProblemError, match="more values than 100 entries") as caught:
        list_in(body, "instances", settings)
    assert caught.value.status == 413


def test_the_largest_batch_with_commas_in_its_texts_is_read(tmp_path: Path) -> None:
    """Counting commas is not to be in the way of those who keep to the limits."""
    settings = settings_in(tmp_path, max_instances=100)
    event = {"id": "x", "ts": 1, "features": {**INSTANCE, "city": "Rome, Lazio, Italy, Europe"}, "label": "yes"}
    assert len(list_in(json.dumps({"events": [event] * 100}).encode(), "events", settings)) == 100


@pytest.mark.parametrize(("levels", "deep"), [(MAX_DEPTH - 2, False), (MAX_DEPTH - 1, True), (900, True)])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(tmp_path: Path, levels: int, begin: bytes, end: bytes, *, deep: bool) -> None:
    """Below the limit whatever reads the values later can walk them; beyond it is a 400."""
    body = b'{"instances": [' + begin * levels + b"1" + end * levels + b"]}"
    if deep:
        with pytest.raises(ProblemError, match="nested too deeply"):
            list_in(body, "instances", settings_in(tmp_path))
    else:
        assert len(list_in(body, "instances", settings_in(tmp_path))) == 1


@pytest.mark.parametrize(("levels", "status"), [(MAX_DEPTH, 422), (MAX_DEPTH + 1, 400), (40, 400)])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_counts_from_the_outermost_bracket(
    tmp_path: Path, levels: int, status: int, begin: bytes, end: bytes
) -> None:
    """Whatever the body is: one that is not of our form is as deep as its brackets."""
    with pytest.raises(ProblemError) as caught:
        list_in(begin * levels + b"1" + end * levels, "instances", settings_in(tmp_path))
    assert caught.value.status == status


def test_an_empty_list_is_said_to_be_empty(tmp_path: Path) -> None:
    """Its form is right, so the form is not what is explained."""
    with pytest.raises(ProblemError, match=r"^instances is empty; at least one") as caught:
        list_in(b'{"instances": []}', "instances", settings_in(tmp_path))
    assert [(error.pointer, error.detail) for error in caught.value.errors] == [("/instances", "empty")]


def test_a_vector_is_as_many_values_as_it_is_long(tmp_path: Path) -> None:
    """A batch of the largest size is not taken for crumbs because its features are lists."""
    settings = settings_in(tmp_path, max_instances=20)
    schema = settings.schema_.model_copy(update={"vector": {"embedding": 768}})
    wide = settings.model_copy(update={"schema_": schema})
    body = json.dumps({"instances": [{**INSTANCE, "embedding": [0.5] * 768}] * 20}).encode()
    assert len(list_in(body, "instances", wide)) == 20
