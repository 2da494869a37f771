"""Strategies for the text of events: almost right, in every spelling that JSON has and in some that it has not."""

import json

from hypothesis import strategies as st

from tests.bad_records import DAY_MS, NOW_MS

Texts = st.SearchStrategy[str]

whole_numbers = st.one_of(
    st.integers(-3, 3).map(str),
    st.integers(-(2**66), 2**66).map(str),
    st.sampled_from([NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1, 2**53 + 1, 2**63, 2**64]).map(str),
    st.tuples(
        st.sampled_from(["", "-"]), st.integers(1, 9), st.sampled_from([307, 308, 309, 399, 400, 401, 4_400])
    ).map(lambda parts: parts[0] + str(parts[1]) * parts[2]),
)
fractions = st.one_of(
    st.floats().map(json.dumps),  # NaN and the infinities in Python's spelling, too
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.3E}"),
    st.tuples(st.integers(-9, 9), st.integers(0, 999), st.integers(-400, 400)).map(
        lambda parts: f"{parts[0]}.{parts[1]}e{parts[2]:+}"
    ),
    st.sampled_from(["nan", "NAN", "inf", "-NaN", "+1", ".5", "1.", "01", "-01", "0x1", "1_0", "1e", "1e5", "1E+05"]),
)
strings = st.one_of(
    st.text(max_size=4).map(json.dumps),
    st.text(max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        [
            '"yes"',
            '"no"',
            '"1"',
            '""',
            '"\\ud800"',
            '"\\udc00\\ud83d"',
            '"\\ud83d\\ude00"',
            '"\\u0000"',
            '"\x01"',
            '"\\x"',
        ]
    ),
)


@st.composite
def moments(draw: st.DrawFn) -> str:
    """Return a time in or near RFC 3339, in quotes."""
    year, month, day = draw(st.integers(0, 9_999)), draw(st.integers(0, 13)), draw(st.integers(0, 32))
    clock = ":".join(f"{draw(st.integers(0, most)):02}" for most in (24, 60, 60))
    fraction = draw(st.sampled_from(["", ".", ".5", ".123", ".1239", ".123456789", ",5"]))
    offset = draw(st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+05:30", "-23:59", "+24:00", "+05:60", "+0530"]))
    return f'"{year:04}-{month:02}-{day:02}{draw(st.sampled_from("TTTt _"))}{clock}{fraction}{offset}"'


def nested(texts: Texts) -> Texts:
    """Return texts deep within arrays or objects, about as deep as is allowed, not all of them closed."""
    ways = st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"":', "}]")])
    depths = st.one_of(st.integers(1, 5), st.integers(95, 105), st.integers(190, 210), st.just(1_200))
    return st.tuples(ways, depths, texts, st.sampled_from([0, 0, 0, 1])).map(
        lambda parts: parts[0][0] * parts[1] + parts[2] + parts[0][1] * (parts[1] - parts[3])
    )


literals = st.sampled_from(["null", "true", "false", "True", "none", "[]", "{}", "[1, {}]", ""])
atoms = st.one_of(whole_numbers, fractions, strings, literals, moments())
anything = st.one_of(atoms, nested(atoms))


def objects(names: Texts, contents: Texts, most: int = 5) -> Texts:
    """Return the text of objects, with keys that may stand there twice."""
    return st.lists(st.tuples(names, contents).map(": ".join), max_size=most).map(
        lambda parts: "{" + ", ".join(parts) + "}"
    )


def _together(*pairs: tuple[str, Texts]) -> Texts:
    """Return the text of objects with exactly these keys, in any order."""
    return st.permutations([st.tuples(st.just(name), content).map(": ".join) for name, content in pairs]).flatmap(
        lambda parts: st.tuples(*parts).map(lambda drawn: "{" + ", ".join(drawn) + "}")
    )


finite = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps), st.integers(-(2**70), 2**70).map(str)
)
fitting_features = _together(
    ('"x"', finite),
    ('"y"', st.one_of(finite, st.just("null"))),
    ('"c"', st.sampled_from(["red", "green", "gr\u00fcn", "", "a", "b", "d"]).map(json.dumps)),
    ('"b"', st.sampled_from(["true", "false"])),
)


whole_times = st.integers(0, NOW_MS + DAY_MS).map(str)
edges = (-1, 0, -0.5, 0.5, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1, NOW_MS + DAY_MS + 0.5, 2**63, 1e300)
edge_times = st.one_of(
    whole_times,
    st.sampled_from(edges).map(str),
    st.sampled_from(["null", "true", '"2026-01-02T03:04:05.678+05:30"', '"1969-12-31T23:59:59Z"']),
)


def fitting(labels: Texts, times: Texts = whole_times) -> Texts:
    """Return events that fit, but perhaps for their time or for how deep what is ignored in them is nested."""
    deep = st.one_of(st.just("[1, null]"), st.integers(197, 201).map(lambda depth: "[" * depth + "]" * depth))
    names = st.integers(0, 50).map(lambda number: f'"event-{number}"')
    bare = _together(('"features"', fitting_features), ('"label"', labels), ('"id"', names))
    return st.one_of(
        bare,
        _together(('"features"', fitting_features), ('"label"', labels), ('"ts"', times)),
        _together(('"label"', labels), ('"extra"', deep), ('"features"', fitting_features)),
    )


names = st.sampled_from(['"x"', '"y"', '"c"', '"b"', '"z"', '"\\u0078"', '"\\ud800"', '""'])
some_features = st.one_of(fitting_features, objects(names, anything), anything)
near_events = objects(
    st.sampled_from(['"features"', '"label"', '"ts"', '"id"', '"extra"', '"\\u0069d"']),
    st.one_of(some_features, anything),
    most=7,
)
odd_parts = st.fixed_dictionaries(
    {'"features"': some_features, '"label"': st.one_of(st.just('"yes"'), anything)},
    optional={'"ts"': anything, '"id"': anything, '"extra"': anything},
).map(lambda parts: "{" + ", ".join(map(": ".join, parts.items())) + "}")
texts = st.one_of(odd_parts, near_events, anything, fitting(st.sampled_from(['"yes"', '"no"', "1", "true"])))


@st.composite
def records(draw: st.DrawFn) -> bytes | None:
    """Return a record's value: an odd event, sometimes with damaged bytes or a byte order mark, or any bytes."""
    way = draw(st.integers(0, 11))
    if way == 0:
        return draw(st.one_of(st.none(), st.binary(max_size=30)))
    value = bytearray(draw(texts).encode(errors="surrogatepass"))
    if way == 1:
        value[:0] = draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b" \n", b"\x00"]))
    if way == 2:
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)
