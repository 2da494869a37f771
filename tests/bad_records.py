"""Every kind of record that is refused, with its reason; the schema they are refused by, and a record that fits it."""

import json
from typing import Any

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
MAX_BYTES = 8_192

SCHEMA = {
    "numeric": ["x", "y"],
    "categorical": ["c"],
    "boolean": ["b"],
    "nullable": ["y"],
    "labels": ["yes", "no"],
}
FEATURES: dict[str, Any] = {"x": 1.5, "y": 2, "c": "red", "b": True}


def event(**changes: object) -> bytes:
    """Return a fitting event with some keys changed; ``...`` takes one out."""
    whole = {"features": FEATURES, "label": "yes", **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def features(**changes: object) -> bytes:
    """Return a fitting event with some features changed; ``...`` takes one out."""
    whole = FEATURES | changes
    return event(features={key: value for key, value in whole.items() if value is not ...})


def raw(fragment: str, old: str = '"x": 1.5') -> bytes:
    """Return a fitting event with a piece of its text replaced."""
    text = event().decode()
    assert old in text
    return text.replace(old, fragment).encode()


def nested(depth: int) -> list[Any]:
    """Return an empty array within arrays, ``depth`` of them in all."""
    whole: list[Any] = []
    for _ in range(depth - 1):
        whole = [whole]
    return whole


FITTING = {
    "as it should be": event(),
    "an id": event(id="é-1"),
    "epoch milliseconds": event(ts=NOW_MS),
    "fractions of a millisecond": event(ts=NOW_MS + 0.5),
    "a time in RFC 3339": event(ts="2026-01-02T03:04:05.678+05:30"),
    "a time in lower case": event(ts="2026-01-02t03:04:05z"),
    "a null time": event(ts=None),
    "almost a day ahead": event(ts=NOW_MS + DAY_MS),
    "a nullable feature that is null": features(y=None),
    "a nullable feature that is absent": features(y=...),
    "an integer for a number": features(x=3),
    "an integer beyond 64 bits": raw('"x": ' + "9" * 30),
    "a key the contract does not name": event(extra={"deep": [1, None]}),
    "an ignored NaN": event(extra=float("nan")),
    "an ignored half of a surrogate pair": event(extra="\ud800"),
    "text beyond ASCII": features(c="grün"),
    "a key twice, the last one fitting": raw('"x": "no", "x": 1'),
    "an escaped key": raw('"\\u0078": 1.5'),
    "nested as deep as may be": event(extra=nested(199)),
    "many brackets, none of them deep": event(extra=[[]] * 300),
    "brackets in text": event(extra='[{\\"[' * 300),
    "spaces around": b" \r\n\t" + event() + b"\n",
}

BAD: dict[str, tuple[bytes | None, str]] = {
    "one byte too many": (event(extra="x" * MAX_BYTES), "too_large"),
    "too large and not even text": (b"\xff" * (MAX_BYTES + 1), "too_large"),
    "no value": (None, "tombstone"),
    "latin-1": (features(c="gr?n").replace(b"?", b"\xfc"), "not_utf8"),
    "latin-1 in an ignored key": (event(extra="?").replace(b"?", b"\xfc"), "not_utf8"),
    "a surrogate as UTF-8": (event(extra="?").replace(b"?", b"\xed\xa0\x80"), "not_utf8"),
    "nothing": (b"", "not_json"),
    "blanks": (b"  \n", "not_json"),
    "cut off": (event()[:-1], "not_json"),
    "more after the end": (event() + b"}", "not_json"),
    "two events": (event() + event(), "not_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + event(), "not_json"),
    "UTF-16": ('{"a": 1}'.encode("utf-16-le"), "not_json"),
    "single quotes": (b"{'features': {}}", "not_json"),
    "a trailing comma": (event()[:-1] + b",}", "not_json"),
    "a leading zero": (raw('"x": 01'), "not_json"),
    "a raw line break in a string": (raw('"red\n"', '"red"'), "not_json"),
    "CSV": (b"1.5,2,red,true,yes", "not_json"),
    "nested without end": (b'{"a":' * 800, "not_json"),
    "nested too deep to be read": (b'{"a":' + b"[" * 2_000 + b"]" * 2_000 + b"}", "not_json"),
    "nested one level too deep": (event(extra=nested(200)), "not_json"),
    "an array": (b"[" + event() + b"]", "not_object"),
    "a number": (b"17", "not_object"),
    "null": (b"null", "not_object"),
    "NaN alone": (b"NaN", "not_object"),
    "no features": (event(features=...), "missing_feature"),
    "null features": (event(features=None), "missing_feature"),
    "a feature is absent": (features(x=...), "missing_feature"),
    "a feature is null": (features(c=None), "missing_feature"),
    "a feature is absent, another unknown and wrong": (features(x=..., z=1, b="no"), "missing_feature"),
    "an unknown feature": (features(z=1), "unknown_feature"),
    "an unknown feature that is null": (features(z=None), "unknown_feature"),
    "an unknown feature beside a wrong type": (features(z=1, x="1"), "unknown_feature"),
    "features in an array": (event(features=[1, 2]), "wrong_type"),
    "features as text": (event(features="x=1"), "wrong_type"),
    "a number as text": (features(x="1.5"), "wrong_type"),
    "a boolean for a number": (features(x=True), "wrong_type"),
    "a number for a boolean": (features(b=1), "wrong_type"),
    "text for a boolean": (features(b="true"), "wrong_type"),
    "a number for a category": (features(c=7), "wrong_type"),
    "an object for a number": (features(x={"value": 1}), "wrong_type"),
    "half a surrogate pair for a category": (features(c="\ud83d"), "wrong_type"),
    "a number for an id": (event(id=7), "wrong_type"),
    "half a surrogate pair for an id": (event(id="\udc00"), "wrong_type"),
    "a wrong id beside NaN": (event(id=7, features=FEATURES | {"x": float("nan")}), "wrong_type"),
    "a label in an array": (event(label=["yes"]), "wrong_type"),
    "a label as an object": (event(label={}), "wrong_type"),
    "NaN": (features(x=float("nan")), "not_finite"),
    "Infinity": (features(x=float("inf")), "not_finite"),
    "minus Infinity": (features(y=float("-inf")), "not_finite"),
    "overflow": (raw('"x": 1e999'), "not_finite"),
    "an integer beyond a double": (raw('"x": ' + "9" * 400), "not_finite"),
    "an integer beyond what Python converts": (raw('"x": ' + "9" * 5_000), "not_finite"),
    "a NaN label": (event(label=float("nan")), "not_finite"),
    "an overflowing label": (raw('"label": 1e999', '"label": "yes"'), "not_finite"),
    "a label beyond a double": (raw('"label": ' + "9" * 310, '"label": "yes"'), "not_finite"),
    "no label": (event(label=...), "missing_label"),
    "a null label": (event(label=None), "missing_label"),
    "no label and a bad time": (event(label=..., ts=-1), "missing_label"),
    "an unknown label": (event(label="maybe"), "unknown_label"),
    "a number that is no label": (event(label=1), "unknown_label"),
    "true that is no label": (event(label=True), "unknown_label"),
    "an unknown label and a bad time": (event(label="maybe", ts="yesterday"), "unknown_label"),
    "a negative time": (event(ts=-1), "bad_timestamp"),
    "a time before 1970": (event(ts="1969-12-31T23:59:59Z"), "bad_timestamp"),
    "over a day ahead": (event(ts=NOW_MS + DAY_MS + 1), "bad_timestamp"),
    "microseconds": (event(ts=NOW_MS * 1_000), "bad_timestamp"),
    "an endless time": (raw('"label": "yes", "ts": 1e999', '"label": "yes"'), "bad_timestamp"),
    "a NaN time": (event(ts=float("nan")), "bad_timestamp"),
    "a time as a boolean": (event(ts=True), "bad_timestamp"),
    "a time as an object": (event(ts={"$date": 1}), "bad_timestamp"),
    "words for a time": (event(ts="yesterday"), "bad_timestamp"),
    "milliseconds as text": (event(ts=str(NOW_MS)), "bad_timestamp"),
    "a time without an offset": (event(ts="2026-01-02T03:04:05"), "bad_timestamp"),
    "a day alone": (event(ts="2026-01-02"), "bad_timestamp"),
    "a 30th of February": (event(ts="2026-02-30T00:00:00Z"), "bad_timestamp"),
    "an offset of more than a day": (event(ts="2026-01-02T03:04:05+25:00"), "bad_timestamp"),
}
