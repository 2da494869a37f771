"""A request for inference, from its bytes: what is asked for, by which tensors, and how it is to be answered."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

from service.serve.body import TOO_DEEP, parse_json
from service.serve.problems import ProblemError, clipped
from service.serve.protocol.errors import input_fault, refused
from service.serve.protocol.tensors import BYTES, DTYPES, Tensor, is_text
from service.settings import Serve

HEADER_LENGTH = "Inference-Header-Content-Length"
ENCODINGS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""With zlib's window bits; deflate is zlib's form of it, as HTTP has it."""

MOST_DIGITS = 12
MOST_SIZE_DIGITS = 18
"""Of a size in a shape: what is longer is no size of anything that can be sent."""

MARKS_PER_ELEMENT = 2
MARKS_PER_ROW = 16
"""Commas and brackets that JSON may have for each: commas within texts count as well."""

MOST_DIMENSIONS = 8


class Head(NamedTuple):
    """What headers say of a body: how it is compressed, if it is, and where its JSON ends, if not with the body."""

    encoding: str | None
    json_bytes: int | None


class Wanted(NamedTuple):
    """An output that is asked for: in bytes or in JSON, as it is (0) or as its so many likeliest classes."""

    name: str
    binary: bool
    classes: int = 0


class InferRequest(NamedTuple):
    """What is asked: ``tensors`` by their names; ``wanted`` is None if outputs are not named: then all are meant."""

    id: str | None
    tensors: dict[str, Tensor]
    wanted: tuple[Wanted, ...] | None
    binary_output: bool


def head_of(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Return what matters of a request's headers; raises ProblemError 400, or 415 for an unknown compression."""
    encoding, lengths = "identity", list[bytes]()
    for name, value in headers:
        if name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
        elif name == HEADER_LENGTH.lower().encode():
            lengths.append(value.strip())
    if encoding not in {*ENCODINGS, "identity"}:
        detail = f"Content-Encoding {clipped(encoding)!r} is not known here; send gzip, deflate, or no compression"
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": ", ".join(ENCODINGS)})
    length = lengths[0] if lengths else b""
    if lengths and (len(set(lengths)) > 1 or not length.isdigit() or len(length) > MOST_DIGITS):
        said = clipped(", ".join(one.decode("latin-1") for one in lengths))
        raise refused(f"{HEADER_LENGTH} must be one number of bytes, not {said!r}")
    return Head(None if encoding == "identity" else encoding, int(length) if lengths else None)


def parse_request(body: bytes, head: Head, limits: Serve, *, elements_per_row: int) -> InferRequest:
    """Return what a body asks; ``elements_per_row`` is how many a model takes, which bounds what is worth reading.

    Raises ProblemError: 400 for whatever is not of the protocol, 413 for a body that is too large.
    """
    if head.encoding is not None:
        body = _inflated(body, head.encoding, limits.max_body_bytes)
    text, rest = body, memoryview(b"")
    if head.json_bytes is not None:
        if head.json_bytes > len(body):
            raise refused(f"{HEADER_LENGTH} is {head.json_bytes}, but the body has {len(body)} bytes")
        text, rest = body[: head.json_bytes], memoryview(body)[head.json_bytes :]
    # Counted before it is read: a body of millions of empty arrays would hold everything up for seconds.
    most = (limits.max_instances + MARKS_PER_ROW) * (elements_per_row * MARKS_PER_ELEMENT + MARKS_PER_ROW)
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > most:
        detail = f"the body holds more values than {limits.max_instances} rows have; send them in parts"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    request = parse_json(text)
    if not isinstance(request, dict):
        raise refused('the body must be an object with "inputs"')
    inputs, outputs = _objects(request, "inputs"), _objects(request, "outputs", needed=False)
    _refuse_repeated(text, request, inputs, outputs)
    sent_id = request.get("id")
    if sent_id is not None and not (isinstance(sent_id, str) and is_text(sent_id)):
        raise refused("id must be a string")
    parameters = _parameters(request, "the request")
    binary = _flag(parameters, "binary_data_output", "the request")
    return InferRequest(sent_id, _tensors(inputs, rest), _wanted(outputs, binary=binary), binary)


def _inflated(body: bytes, encoding: str, most: int) -> bytes:
    engine = zlib.decompressobj(ENCODINGS[encoding])
    try:
        inflated = engine.decompress(body, most + 1)
    except zlib.error:
        raise refused(f"the body is declared as {encoding}, but cannot be read as that") from None
    if len(inflated) > most:
        detail = f"the body is larger than {most} bytes once it is decompressed; send it in parts"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    if not engine.eof or engine.unused_data:
        raise refused(f"the body's {encoding} data {'go on after their end' if engine.eof else 'are cut off'}")
    return inflated


def _objects(request: dict[str, Any], key: str, *, needed: bool = True) -> list[dict[str, Any]]:
    found = request.get(key)
    if found is None and not needed:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refused(f"{key} must be an array of objects")
    if needed and not found:
        raise refused(f"{key} is empty; at least one is needed")
    return found


def _tensors(inputs: list[dict[str, Any]], rest: memoryview) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    at = 0
    for place, sent in enumerate(inputs):
        name = sent.get("name")
        if not isinstance(name, str):
            raise refused(f"inputs[{place}] must have a name, a string")
        if name in tensors:
            raise input_fault(name, "stands more than once; which is meant?")
        shape, datatype = _shape(name, sent.get("shape")), sent.get("datatype")
        if not isinstance(datatype, str) or datatype not in {*DTYPES, BYTES}:
            said = repr(clipped(datatype)) if isinstance(datatype, str) else "none"
            raise input_fault(name, f"must have one of the datatypes {', '.join((*DTYPES, BYTES))}, not {said}")
        data, size = _data(name, sent, len(rest) - at)
        tensors[name] = Tensor(name, datatype, shape, data, rest[at : at + size])
        at += size
    if at != len(rest):
        raise refused(f"{len(rest) - at} bytes at the end of the body belong to no input")
    return tensors


def _data(name: str, sent: dict[str, Any], left: int) -> tuple[list[Any] | None, int]:
    """Return an input's data, None if they are bytes behind the JSON, and how many of those it has."""
    parameters, data = _parameters(sent, f"input {clipped(name)!r}"), sent.get("data")
    size = parameters.get("binary_data_size")
    if (data is None) == (size is None):
        raise input_fault(name, "must have data, or else binary_data_size" + (", not both" if data else ""))
    if size is None:
        if not isinstance(data, list):
            raise input_fault(name, "must have an array as data")
        return data, 0
    if type(size) is not int or size < 0:
        raise input_fault(name, "must have a number of bytes as binary_data_size")
    if size > left:
        detail = f"has binary_data_size {clipped(str(size))}, but {left} bytes are left behind the JSON"
        raise input_fault(name, f"{detail}, whose length {HEADER_LENGTH} tells")
    return None, size


def _shape(name: str, shape: object) -> tuple[int, ...]:
    good = isinstance(shape, list) and 0 < len(shape) <= MOST_DIMENSIONS
    if not good or not all(type(size) is int and 0 <= size < 10**MOST_SIZE_DIGITS for size in shape):  # type: ignore[attr-defined] # a list
        raise input_fault(name, f"must have a shape of 1 to {MOST_DIMENSIONS} sizes, whole numbers from 0")
    return tuple(shape)  # type: ignore[arg-type] # a list


def _wanted(outputs: list[dict[str, Any]], *, binary: bool) -> tuple[Wanted, ...] | None:
    wanted: dict[str, Wanted] = {}
    for place, sent in enumerate(outputs):
        name = sent.get("name")
        if not isinstance(name, str):
            raise refused(f"outputs[{place}] must have a name, a string")
        where = f"output {clipped(name)!r}"
        if name in wanted:
            raise refused(f"{where} stands more than once; which is meant?")
        parameters = _parameters(sent, where)
        classes = parameters.get("classification", 0)
        if type(classes) is not int or not 0 <= classes < 10**MOST_SIZE_DIGITS:
            raise refused(f"{where}: classification must be a number of classes")
        wanted[name] = Wanted(name, _flag(parameters, "binary_data", where, default=binary), classes)
    return tuple(wanted.values()) or None


def _parameters(sent: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = sent.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise refused(f"{where}: parameters must be an object")
    shared = next((key for key in parameters if key.startswith("shared_memory")), None)
    if shared is not None:
        raise refused(f"{where}: shared memory is not supported here ({clipped(shared)}); send the data itself")
    return parameters


def _flag(parameters: dict[str, Any], key: str, where: str, *, default: bool = False) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise refused(f"{where}: {key} must be true or false")
    return value


def _refuse_repeated(text: bytes, request: dict[str, Any], *objects: list[dict[str, Any]]) -> None:
    """Refuse a key that an object has more than once: of those only the last one was read."""
    known = [request, *(one for several in objects for one in several)]
    keys = sum(len(one) + len(inner) for one in known if isinstance(inner := one.get("parameters") or {}, dict))
    if text.count(b":") != keys:  # colons within texts, or a key too many
        try:
            json.loads(text.decode(), object_pairs_hook=_unique, parse_int=float)
        except RecursionError:
            raise refused(TOO_DEEP) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise refused(f"the key {clipped(key)!r} stands more than once in an object; which is meant?")
    return found
