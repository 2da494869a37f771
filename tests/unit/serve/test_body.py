"""Bodies: what is JSON, and what is said of what is not."""

import math

import pytest

from service.serve.body import parse_json
from service.serve.problems import ProblemError


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
