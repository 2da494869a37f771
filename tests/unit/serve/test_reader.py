"""The quick way of reading a body says what the slow way says, or nothing."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.encoder import Encoder
from service.model.ensemble import build_network
from service.model.learned import LearnedModel
from service.serve.body import list_in
from service.serve.instances import encode_instances, warnings_of
from service.serve.problems import ProblemError
from service.serve.reader import InstanceReader
from service.settings import Network, Schema, Settings

SCHEMA = Schema(
    numeric=("a b", "c:d"),
    boolean=("on",),
    categorical=("city", "q:"),
    vector={"v": 2},
    nullable=("c:d", "city", "v"),
    labels=("no", "yes"),
)
SETTINGS = Settings.model_validate({"schema": SCHEMA.model_dump(), "serve": {"max_instances": 3}})


def model_of(schema: Schema) -> LearnedModel:
    """Return a model of a schema that knows two cities."""
    width = len(schema.numeric) + len(schema.boolean) + sum(schema.vector.values())
    encoder = Encoder(
        task="binary",
        schema=schema,
        network=Network(hidden=(4,)),
        labels=("no", "yes"),
        categories=dict.fromkeys(schema.categorical, ("Rome", "12:30")),
        means=np.zeros(width),
        scales=np.ones(width),
    )
    return LearnedModel(encoder, build_network(encoder))


MODEL = model_of(SCHEMA)
READER = InstanceReader(SCHEMA, SETTINGS.serve)

numbers = st.integers(-(10**20), 10**20) | st.floats()
texts = st.sampled_from(["Rome", "12:30", "", ":", "\\", '"', "ü"]) | st.text(max_size=4)
anything = st.none() | st.booleans() | numbers | texts | st.lists(numbers, max_size=3)
fitting = st.fixed_dictionaries(
    {"a b": numbers, "on": st.booleans(), "q:": texts},
    optional={
        "c:d": st.none() | numbers,
        "city": st.none() | texts,
        "v": st.none() | st.lists(numbers, min_size=2, max_size=2),
    },
)
odd = st.dictionaries(st.sampled_from(["a b", "c:d", "on", "city", "q:", "v", "w"]), anything, max_size=7)
bodies = st.fixed_dictionaries({"instances": st.lists(fitting, min_size=1, max_size=3)}) | st.fixed_dictionaries(
    {"instances": st.lists(fitting | odd, max_size=4)}, optional={"more": anything}
)


@given(bodies, st.booleans())
def test_the_quick_way_says_what_the_slow_way_says(body: dict[str, Any], ascii_only: bool) -> None:
    """Numbers, codes and warnings are the same to the bit; what the slow way refuses is never taken."""
    raw = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    quick = READER.read(raw, MODEL)
    try:
        expected = encode_instances(MODEL, list_in(raw, "instances", SETTINGS, unique_keys=True), 10**6)
    except ProblemError:
        assert quick is None
        return
    if quick is not None:
        np.testing.assert_array_equal(quick.numbers, expected[0])
        np.testing.assert_array_equal(quick.codes, expected[1])
        assert warnings_of(MODEL, quick.codes, quick.rows) == expected[2]


@pytest.mark.parametrize(
    "instance",
    [
        {"a b": 1, "c:d": 2.5, "on": True, "city": "Rome", "q:": "x", "v": [1, 2]},
        {"a b": 1, "on": False, "q:": "x", "c:d": None},
    ],
)
def test_what_fits_takes_the_quick_way(instance: dict[str, Any]) -> None:
    """With everything there, and with what may be missing absent or null; blanks make no difference."""
    for indent in (None, 2):
        read = READER.read(json.dumps({"instances": [instance, instance]}, indent=indent).encode(), MODEL)
        assert read is not None
        assert read.numbers.shape == (2, 5)


def test_texts_with_colons_take_the_quick_way() -> None:
    """A time of day is no key; only together with escapes it is looked at closely."""
    schema = Schema(categorical=("at",))
    reader, model = InstanceReader(schema, SETTINGS.serve), model_of(schema)
    assert reader.read(b'{"instances": [{"at": "12:30"}]}', model) is not None
    assert reader.read(b'{"instances": [{"at": "12:30\\n"}]}', model) is None
    assert reader.read(b'{"instances": [{"at": "12:30", "at": "12:30"}]}', model) is None


def test_a_feature_of_python_is_a_feature() -> None:
    """Names may be words of the language, or blank."""
    names = ("class", "None", " ", "0", "f0", "f1")
    schema = Schema(numeric=names)
    body = json.dumps({"instances": [dict.fromkeys(names, 1)]}).encode()
    read = InstanceReader(schema, SETTINGS.serve).read(body, model_of(schema))
    assert read is not None
    assert read.numbers.tolist() == [[1.0] * 6]


@pytest.mark.parametrize("name", ['"', "\\", "a\nb"])
def test_names_that_the_quick_way_cannot_spell_go_the_slow_way(name: str) -> None:
    """They are rare, and answered all the same."""
    schema = Schema(numeric=(name,))
    body = json.dumps({"instances": [{name: 1}]}).encode()
    assert InstanceReader(schema, SETTINGS.serve).read(body, model_of(schema)) is None
