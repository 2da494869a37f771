"""The request around the tensors."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serve.problems import ProblemError
from service.serve.protocol.request import Head, Wanted, head_of, parse_request
from tests.unit.serve.inference import FULL, full_inputs, parsed, settings_of, tensor

SERVE = settings_of(Path(), FULL, max_body_bytes=20_000, max_instances=50).serve
X = tensor("x", "FP64", [1.5])


def parse(body: bytes, head: Head = Head(None, None)) -> Any:  # noqa: B008 - immutable
    """Return what a body says under small limits."""
    return parse_request(body, head, SERVE, elements_per_row=6)


def fault_of(body: bytes | dict[str, Any], head: Head = Head(None, None), status: int = 400) -> str:  # noqa: B008
    """Return what is said of a body that is refused."""
    with pytest.raises(ProblemError) as caught:
        parse(body if isinstance(body, bytes) else json.dumps(body).encode(), head)
    assert caught.value.status == status
    return caught.value.detail


def test_a_request_says_what_it_wants() -> None:
    """Its id, its tensors, the outputs by name and how each is to come."""
    outputs = [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b", "parameters": {"classification": 2}}]
    request = parsed({"id": "7", "inputs": full_inputs(), "outputs": outputs})
    assert request.id == "7"
    assert list(request.tensors) == ["age", "income", "owner", "place", "city"]
    assert request.wanted == (Wanted("a", binary=True), Wanted("b", binary=False, classes=2))
    assert not request.binary_output


def test_outputs_are_in_bytes_if_the_request_says_so_and_they_do_not() -> None:
    """`binary_data_output` is for those that say nothing of their own."""
    own = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}]
    request = parsed({"inputs": [X], "outputs": own, "parameters": {"binary_data_output": True}})
    assert request.wanted == (Wanted("a", binary=True), Wanted("b", binary=False))
    assert parsed({"inputs": [X], "parameters": {"binary_data_output": True}}).binary_output


def test_what_it_need_not_know_is_passed_over() -> None:
    """Keys of other servers' extensions, and null in the place of something that may be absent."""
    more = {"model_name": "freshet", "id": None, "outputs": None, "parameters": {"sequence_id": 3, "priority": 1}}
    assert parsed({"inputs": [{**X, "parameters": None, "extra": {"deep": 1}}], **more}).wanted is None


def test_bytes_behind_the_json_are_shared_out_in_the_order_of_the_inputs() -> None:
    """Inputs with JSON data may stand in between."""
    request = parsed(
        {"inputs": [tensor("a", "INT8", [0, 0]), X, tensor("b", "INT8", [0])]}, {"a": b"\x01\x02", "b": b"\x03"}
    )
    assert bytes(request.tensors["a"].raw) == b"\x01\x02"
    assert request.tensors["x"].data == [1.5]
    assert bytes(request.tensors["b"].raw) == b"\x03"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "inputs must be an array of objects"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": [1]}, "inputs must be an array of objects"),
        ({"inputs": [{**X, "name": 1}]}, "inputs[0] must have a name"),
        ({"inputs": [X, X]}, "input 'x' stands more than once"),
        ({"inputs": [{**X, "datatype": "FP63"}]}, "input 'x' must have one of the datatypes FP16, FP32, FP64"),
        ({"inputs": [{**X, "datatype": None}]}, "not none"),
        ({"inputs": [{**X, "shape": []}]}, "input 'x' must have a shape"),
        ({"inputs": [{**X, "shape": [-1]}]}, "input 'x' must have a shape"),
        ({"inputs": [{**X, "shape": [True]}]}, "input 'x' must have a shape"),
        ({"inputs": [{**X, "shape": [10**30]}]}, "input 'x' must have a shape"),
        ({"inputs": [{**X, "shape": 1}]}, "input 'x' must have a shape"),
        ({"inputs": [{**X, "data": 1.5}]}, "input 'x' must have an array as data"),
        ({"inputs": [{**X, "data": None}]}, "input 'x' must have data, or else binary_data_size"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 8}}]}, "not both"),
        ({"inputs": [{**X, "data": None, "parameters": {"binary_data_size": -8}}]}, "must have a number of bytes"),
        ({"inputs": [{**X, "data": None, "parameters": {"binary_data_size": 8}}]}, "but 0 bytes are left"),
        ({"inputs": [{**X, "data": None, "parameters": {"binary_data_size": 10**300}}]}, "but 0 bytes are left"),
        ({"inputs": [{**X, "parameters": []}]}, "input 'x': parameters must be an object"),
        ({"inputs": [{**X, "parameters": {"shared_memory_region": "r"}}]}, "shared memory is not supported"),
        ({"inputs": [X], "outputs": [{}]}, "outputs[0] must have a name"),
        ({"inputs": [X], "outputs": [{"name": "a"}, {"name": "a"}]}, "output 'a' stands more than once"),
        (
            {"inputs": [X], "outputs": [{"name": "a", "parameters": {"shared_memory_region": "r"}}]},
            "output 'a': shared memory is not supported",
        ),
        (
            {"inputs": [X], "outputs": [{"name": "a", "parameters": {"binary_data": 1}}]},
            "output 'a': binary_data must be true or false",
        ),
        (
            {"inputs": [X], "outputs": [{"name": "a", "parameters": {"classification": "2"}}]},
            "output 'a': classification must be a number",
        ),
        ({"inputs": [X], "parameters": {"binary_data_output": 1}}, "binary_data_output must be true or false"),
        ({"inputs": [X], "id": 7}, "id must be a string"),
        ({"inputs": [X], "id": "\ud800"}, "id must be a string"),
    ],
)
def test_what_is_not_of_the_protocol_is_refused(request_: dict[str, Any], said: str) -> None:
    """By what it is called in the request."""
    assert said in fault_of(request_)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "must be an object"),
        (b"[" * 1_000, "nested too deeply"),
        (b'{"id": "a", "id": "b", "inputs": [%s]}' % json.dumps(X).encode(), "the key 'id' stands more than once"),
        (
            b'{"inputs": [{"name": "a:b", "name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}',
            "the key 'name' stands more than once",
        ),
    ],
)
def test_what_is_no_json_or_has_a_key_twice_is_refused(body: bytes, said: str) -> None:
    """Of a repeated key nobody knows which is meant."""
    assert said in fault_of(body)


def test_colons_within_texts_are_no_keys() -> None:
    """Texts may look like JSON."""
    request = parsed({"id": 'a": "b', "inputs": [tensor("city", "BYTES", ["12:30", '"x": 1'])]})
    assert request.tensors["city"].data == ["12:30", '"x": 1']


def test_deep_nesting_is_refused() -> None:
    """As JSON that cannot be read, or as data that is none."""
    for depth in (500, 9_000):
        assert fault_of(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}", status=400 if depth == 500 else 413)


def test_more_values_than_the_most_rows_have_are_not_read_at_all() -> None:
    """413, before millions of little objects are made."""
    assert "more values than 50 rows" in fault_of(b'{"inputs": [' + b"[]," * 5_000 + b"[]]}", status=413)


def test_the_length_of_the_json_must_be_within_the_body() -> None:
    """Else the header lies; what no input takes is refused as well."""
    body = json.dumps({"inputs": [X]}).encode()
    assert f"is {len(body) + 1}, but the body has {len(body)} bytes" in fault_of(body, Head(None, len(body) + 1))
    assert "not JSON" in fault_of(body, Head(None, len(body) - 1))
    assert "not JSON" in fault_of(body, Head(None, 0))
    assert "3 bytes at the end of the body belong to no input" in fault_of(body + b"abc", Head(None, len(body)))


@pytest.mark.parametrize("said", [b"", b"-1", b"1.0", b"0x10", b"\xb2", b"1" * 13, b"9" * 5_000])
def test_the_length_of_the_json_must_be_a_number(said: bytes) -> None:
    """Of bytes, in digits."""
    with pytest.raises(ProblemError, match="must be one number of bytes"):
        head_of([(b"inference-header-content-length", said)])


def test_headers_are_read() -> None:
    """One length, said twice at most; one compression."""
    length = (b"inference-header-content-length", b"17")
    assert head_of([length, length, (b"content-encoding", b"GZIP")]) == Head("gzip", 17)
    assert head_of([(b"content-encoding", b"identity")]) == Head(None, None)
    with pytest.raises(ProblemError, match="must be one number"):
        head_of([length, (b"inference-header-content-length", b"18")])
    with pytest.raises(ProblemError, match="'br' is not known") as caught:
        head_of([(b"content-encoding", b"br")])
    assert caught.value.status == 415
    assert caught.value.headers == {"Accept-Encoding": "gzip, deflate"}


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_read_up_to_the_limit(encoding: str, compress: Any) -> None:
    """The limit is that of the body itself: a small one that swells is refused, not swollen."""
    body, head = json.dumps({"inputs": [X]}).encode(), Head(encoding, None)
    packed = compress(body)
    assert parse(packed, head).tensors["x"].data == [1.5]
    padded = body + b" " * (SERVE.max_body_bytes - len(body))
    assert parse(compress(padded), head).tensors["x"].data == [1.5]
    assert "once it is decompressed" in fault_of(compress(padded + b" "), head, status=413)
    assert "once it is decompressed" in fault_of(compress(b" " * 10**7), head, status=413)
    assert "cannot be read as that" in fault_of(body, head)
    assert "are cut off" in fault_of(packed[:-1], head)
    assert "go on after their end" in fault_of(packed + b"x", head)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON | st.sampled_from(["x", "y"]),
        "datatype": JSON | st.sampled_from(["FP64", "BOOL", "BYTES"]),
        "shape": JSON | st.lists(st.integers(0, 3), max_size=3),
        "data": JSON | st.lists(JSON, max_size=3),
        "parameters": JSON
        | st.fixed_dictionaries({}, optional={"binary_data_size": JSON | st.integers(0, 20), "binary_data": JSON}),
    },
)


@given(
    inputs=st.lists(PARTS, max_size=3) | JSON,
    more=st.fixed_dictionaries({}, optional={"id": JSON, "parameters": JSON, "outputs": st.lists(PARTS, max_size=2)}),
    rest=st.binary(max_size=20),
    shift=st.integers(-3, 3) | st.none(),
)
def test_any_request_is_read_or_refused(inputs: Any, more: dict[str, Any], rest: bytes, shift: int | None) -> None:
    """Never anything else, whatever its parts are, and wherever its JSON is said to end."""
    text = json.dumps({"inputs": inputs, **more}).encode()
    head = Head(None, None if shift is None else max(0, len(text) + shift))
    try:
        request = parse(text + rest, head)
    except ProblemError as error:
        status = error.status
    else:
        status = 200 if request.tensors else 0
    assert status in {200, 400, 413}
