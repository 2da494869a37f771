"""Records that a producer might send by malice or mistake: valid events, taken apart and put together wrongly."""

import json
import re
from random import Random
from typing import Any

from tests.bad_records import BAD, FITTING

Record = bytes | None

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\[\]{}:,]')
CORPUS: tuple[Record, ...] = (*FITTING.values(), *(value for value, _ in BAD.values()))
MOST_REPEATS = 1_500

EDGES = [
    *(b"null", b"true", b"false", b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"1e999", b"-1E+400", b"1e-400"),
    *(
        b"0",
        b"-0",
        b"-0.0",
        b"0.0e0",
        b"00",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"0x1F",
        b"1_000",
        b"--1",
        b"1e",
        b"1e+",
        b"-",
    ),
    *(b"1.7976931348623157e308", b"-1.7976931348623157e308", b"1.7976931348623159e308", b"5e-324", b"2e-324"),
    *(b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809"),
    *(b"18446744073709551615", b"18446744073709551616", b"9" * 308, b"9" * 309, b"9" * 400, b"9" * 401, b"9" * 4_301),
    *(b"1e100", b"-1e100", b"1e154", b"1e200", b"-1e300", b"0." + b"0" * 400 + b"1", b"1" + b"0" * 300 + b"e-300"),
    *(b'""', b'"yes"', b'"no"', b'"1"', b'"true"', b'"\\u0000"', b'"\x00"', b'"\\ud800"', b'"\\udc00\\ud800"'),
    *(
        b'"\\ud83d\\ude00"',
        "\U0001f600".encode(),
        '"\u00fcber"'.encode(),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\x"',
        b'"\\u12"',
    ),
    *(b'"2026-01-02T03:04:05Z"', b'"2026-02-29T00:00:00Z"', b'"2024-02-29t23:59:60z"', b'"0000-01-01T00:00:00Z"'),
    *(b'"9999-12-31T23:59:59.999999999-23:59"', b'"0001-01-01T00:00:00+23:59"', b'"2026-01-02 03:04:05.1+00:00"'),
    *(b'"2026-01-02T24:00:00Z"', b'"2026-01-02T03:04:05+24:00"', b'"2026-01-02T03:04:05+05:60"', b'"20260102T030405Z"'),
    *(b"1800000000000", b"4000086400000", b"4000086400001", b"-1", b"0.999", b"-0.5", b"1e12", b"1e15", b"1.5e12"),
    *(
        b"[]",
        b"{}",
        b"[{}]",
        b'{"x":1}',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b"\x1e",
        b"//",
    ),
    *(
        b'"features"',
        b'"label"',
        b'"ts"',
        b'"id"',
        b'"x"',
        b'"y"',
        b'"c"',
        b'"b"',
        b'"\\u0078"',
        b'"X"',
        b'"__class__"',
    ),
]


class Mutator:
    """Draws records without end; the same seed draws the same ones. About half of them fit, whatever the ``task``."""

    def __init__(self, seed: int, task: str) -> None:
        self._task = task
        self._random = Random(seed)  # noqa: S311 - nothing secret
        self._ways = (
            (45, self._event),
            (18, self._swapped),
            (8, lambda: self._random.choice(CORPUS)),
            (8, lambda: self._flipped(self._some())),
            (6, self._spliced),
            (5, self._cut),
            (5, self._inserted),
            (4, self._nested),
            (3, self._swollen),
            (2, lambda: self._random.randbytes(self._random.randrange(200))),
            (1, lambda: self._flipped(self._swapped())),
        )
        self._weights = [weight for weight, _ in self._ways]

    def record(self) -> Record:
        """Return the next record."""
        [(_, way)] = self._random.choices(self._ways, self._weights)
        return way()

    def _event(self) -> bytes:
        """Return an event that fits, in one of many spellings."""
        draw = self._random
        features: dict[str, Any] = {
            "x": draw.choice((draw.gauss(0, 1), draw.randrange(-5, 5), round(draw.random(), 2), 1e6 * draw.random())),
            "c": draw.choice(("red", "green", "", "gr\u00fcn", f"v{draw.randrange(40)}")),
            "b": draw.random() < 0.5,
        }
        if draw.random() < 0.8:
            features["y"] = draw.choice((None, draw.gauss(5, 3)))
        whole: dict[str, Any] = {"features": features, "label": self._label()}
        if draw.random() < 0.5:
            whole["id"] = f"event-{draw.getrandbits(40)}"
        if draw.random() < 0.4:
            whole["ts"] = draw.choice(
                (draw.randrange(4 * 10**12), draw.random() * 1e12, "2026-01-02T03:04:05.25+01:00")
            )
        if draw.random() < 0.1:
            whole["trace"] = {"host": "a", "spans": [1, 2, None]}
        items = list(whole.items())
        draw.shuffle(items)
        spaces = draw.choice(((",", ":"), (", ", ": ")))
        return json.dumps(dict(items), ensure_ascii=draw.random() < 0.5, separators=spaces).encode()

    def _label(self) -> str | float:
        if self._task == "regression":
            return self._random.choice((self._random.gauss(0, 10), self._random.randrange(-100, 100)))
        return self._random.choice(("yes", "no") if self._task == "binary" else ("a", "b", "c", 1, 2.5))

    def _some(self) -> bytes:
        """Return something to be damaged: most often an event."""
        return self._event() if self._random.random() < 0.8 else self._random.choice(CORPUS) or b""

    def _swapped(self) -> bytes:
        """Put edges, or another token of the same record, in place of one to three tokens."""
        value = self._some()
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            tokens = [*TOKEN.finditer(value[:8_192])]
            if not tokens:
                break
            token = self._random.choice(tokens)
            other = self._random.choice(EDGES) if self._random.random() < 0.85 else self._random.choice(tokens)[0]
            value = value[: token.start()] + other + value[token.end() :]
        return value

    def _flipped(self, value: bytes) -> bytes:
        """Flip some bits."""
        damaged = bytearray(value)
        for _ in range(self._random.randrange(1, 5)):
            if damaged:
                damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)

    def _spliced(self) -> bytes:
        """Go on with the end of another record from somewhere in the middle."""
        one, other = self._some(), self._some()
        return one[: self._random.randrange(len(one) + 1)] + other[self._random.randrange(len(other) + 1) :]

    def _cut(self) -> bytes:
        value = self._some()
        return value[: self._random.randrange(len(value) + 1)]

    def _inserted(self) -> bytes:
        """Add a key that may be there already, at the outside or within the features."""
        value, draw = self._some(), self._random
        pair = draw.choice(EDGES[-11:]) + b":" + draw.choice(EDGES) + b","
        places = [match.end() for match in re.finditer(rb"{", value[:8_192])]
        at = draw.choice(places) if places else 0
        return value[:at] + pair + value[at:]

    def _nested(self) -> bytes:
        """Nest deep, closed or not, in place of some token."""
        value, draw = self._some(), self._random
        depth = draw.choice((5, 150, 197, 198, 199, 200, 201, 400, 990, draw.randrange(MOST_REPEATS)))
        opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")))
        core = draw.choice((b"1", b"null", b'"["', b"" if opening == b"[" else b"0"))
        deep = opening * depth + core + closing * (depth if draw.random() < 0.8 else draw.randrange(depth + 1))
        tokens = [*TOKEN.finditer(value[:8_192])]
        if not tokens or draw.random() < 0.5:
            return b'{"extra":' + deep + b"," + value.lstrip()[1:]
        token = draw.choice(tokens)
        return value[: token.start()] + deep + value[token.end() :]

    def _swollen(self) -> bytes:
        """Grow about as large as is allowed, and beyond."""
        value, draw = self._some(), self._random
        filling = draw.choice((b" ", b"0", b"x", b"[", b'"', b"\\", b"\xc3\xbc", b'{"a":1},'))
        at = draw.choice((0, len(value), draw.randrange(len(value) + 1)))
        return value[:at] + filling * (draw.randrange(9_000) // len(filling)) + value[at:]
