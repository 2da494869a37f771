"""Answers in tensors: the label, the probabilities or the value of each row, in JSON or in bytes."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from service.model.learned import LearnedModel
from service.records import FloatArray
from service.serve.predictor import Serving
from service.serve.problems import clipped
from service.serve.protocol.errors import refused
from service.serve.protocol.request import InferRequest, Wanted
from service.serve.protocol.tensors import BYTES

LABEL = "label"
PROBABILITIES = "probabilities"
VALUE = "value"


class Answer(NamedTuple):
    """A body, and how many bytes of it are JSON, None if all are."""

    body: bytes
    json_bytes: int | None


def output_names(task: str) -> tuple[str, ...]:
    """Return what a model's outputs are called."""
    return (VALUE,) if task == "regression" else (LABEL, PROBABILITIES)


def wanted_of(request: InferRequest, task: str) -> tuple[Wanted, ...]:
    """Return the outputs that a request is to be answered with; raises ProblemError 400 for one there is not."""
    names = output_names(task)
    if request.wanted is None:
        return tuple(Wanted(name, request.binary_output) for name in names)
    for wanted in request.wanted:
        if wanted.name not in names:
            raise refused(f"output {clipped(wanted.name)!r} is not known; this model has {' and '.join(names)}")
        if wanted.classes and wanted.name != PROBABILITIES:
            raise refused(f"output {wanted.name!r} is not one that classification can be asked of")
    return request.wanted


def answer_of(
    serving: Serving,
    model_name: str,
    outputs: FloatArray,
    wanted: Sequence[Wanted],
    *,
    request_id: str | None,
    warning: str,
) -> Answer:
    """Return the answer that says a model's outputs [n, outputs]."""
    parameters: dict[str, Any] = {}
    if serving.manifest.trained_until is not None:
        parameters["trained_until"] = serving.manifest.trained_until
    if warning:
        parameters["warnings"] = warning
    tensors, blobs = [], []
    for one in wanted:
        tensor, blob = _tensor(serving.model, outputs, one)
        tensors.append(tensor)
        blobs.append(blob)
    answer = {"model_name": model_name, "model_version": serving.checkpoint_id, "parameters": parameters}
    text = msgspec.json.encode({**answer, **({} if request_id is None else {"id": request_id}), "outputs": tensors})
    return Answer(b"".join([text, *blobs]), len(text)) if any(one.binary for one in wanted) else Answer(text, None)


def _tensor(model: LearnedModel, outputs: FloatArray, wanted: Wanted) -> tuple[dict[str, Any], bytes]:
    """Return an output as JSON says it, and its bytes, none if the JSON holds the data."""
    tensor: dict[str, Any] = {"name": wanted.name, "datatype": BYTES, "shape": [len(outputs)]}
    parameters: dict[str, Any] = {}
    if wanted.name == LABEL:
        chosen = outputs.argmax(axis=1).tolist()
        data, raw = _picked(model.labels, chosen)
    elif wanted.classes:
        rows = _classes(model.labels, outputs, wanted.classes)
        tensor["shape"] = [len(rows), len(rows[0])]
        texts = [text for row in rows for text in row]
        data, raw = _picked(texts, range(len(texts)))
    else:
        tensor["datatype"] = "FP64"
        if wanted.name == PROBABILITIES:
            tensor["shape"] = list(outputs.shape)
            parameters["labels"] = labels_text(model.labels)
        data, raw = outputs.ravel().tolist, outputs.astype("<f8", copy=False).tobytes
    blob = b""
    if wanted.binary:
        blob = raw()
        parameters["binary_data_size"] = len(blob)
    else:
        tensor["data"] = data()
    if parameters:
        tensor["parameters"] = parameters
    return tensor, blob


def labels_text(labels: Sequence[str]) -> str:
    """Return labels as one parameter: those may be no arrays, so it is an array's JSON."""
    return msgspec.json.encode(labels).decode()


def _picked(texts: Sequence[str], chosen: Sequence[int]) -> tuple[Callable[[], list[str]], Callable[[], bytes]]:
    """Return how to get some of the texts, as they are and as bytes with their lengths before them."""

    def raw() -> bytes:
        encoded = [text.encode() for text in texts]
        framed = [struct.pack("<I", len(text)) + text for text in encoded]
        return b"".join([framed[index] for index in chosen])

    return lambda: [texts[index] for index in chosen], raw


def _classes(labels: Sequence[str], outputs: FloatArray, count: int) -> list[list[str]]:
    """Return for each row its ``count`` likeliest classes as ``probability:index:label``."""
    order = np.argsort(-outputs, axis=1, kind="stable")[:, :count]
    best = np.take_along_axis(outputs, order, axis=1)
    return [
        [f"{value}:{index}:{labels[index]}" for value, index in zip(values, indices, strict=True)]
        for values, indices in zip(best.tolist(), order.tolist(), strict=True)
    ]
