"""Models of any schema, and requests of the Open Inference Protocol, for its tests."""

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from service.model.encoder import Encoder
from service.model.learned import LearnedModel, build_network
from service.observer import Observer
from service.serve.api import create_app
from service.serve.predictor import Predictor, Serving, warm_up
from service.serve.protocol.request import HEADER_LENGTH, Head, InferRequest, parse_request
from service.settings import Settings
from tests.unit.serve.builders import answering, checkpoint_of, settings_in, store_of
from tests.unit.serve.running import KeepingDesk

CHECKPOINT = "000007-0a1b2c3d"
FULL = {
    "numeric": ["age", "income"],
    "boolean": ["owner"],
    "vector": {"place": 2},
    "categorical": ["city"],
    "nullable": ["income", "place", "city"],
}
NUMBERS = {"numeric": ["age", "income"], "boolean": ["owner"], "vector": {"place": 2}, "nullable": ["income", "place"]}


def model_of(schema: dict[str, Any], *, task: str = "binary", labels: Sequence[str] = ("no", "yes")) -> LearnedModel:
    """Return a model with weights of no meaning that knows the texts Rome and Oslo."""
    settings = settings_of(Path(), schema, task=task, labels=labels)
    features = settings.schema_
    width = len(features.numeric) + len(features.boolean) + sum(features.vector.values())
    encoder = Encoder(
        task=settings.task,
        schema=features,
        network=settings.train.model,
        labels=() if task == "regression" else tuple(labels),
        categories=dict.fromkeys(features.categorical, ("Rome", "Oslo")),
        means=np.linspace(0, 1, width),
        scales=np.linspace(1, 2, width),
        target_mean=5.0 if task == "regression" else 0.0,
        target_scale=2.0 if task == "regression" else 1.0,
    )
    torch.manual_seed(0)
    members = build_network(encoder).members()
    return LearnedModel.of_members(encoder, [{name: array * 3 for name, array in members[0].items()}])


def settings_of(
    folder: Path, schema: dict[str, Any], *, task: str = "binary", labels: Sequence[str] = ("no", "yes"), **serve: Any
) -> Settings:
    """Return settings for such a model."""
    labels = () if task == "regression" else labels
    values = settings_in(folder, task=task, labels=labels, **serve).model_dump(mode="json", by_alias=True)
    return Settings.model_validate(values | {"schema": {**schema, "labels": list(labels)}})


@contextmanager
def asking(settings: Settings, model: LearnedModel | None) -> Iterator[httpx.Client]:
    """Run the application with a model that serves, or none; yield a client of it."""
    predictor = Predictor()
    if model is not None:
        manifest = checkpoint_of(settings_in(settings.store.path), CHECKPOINT).manifest
        predictor.current = Serving(CHECKPOINT, manifest, model, 0.0, warm_up(model))
    with answering(create_app(settings, predictor, store_of(settings), KeepingDesk(), Observer())) as client:
        yield client


def tensor(name: str, datatype: str, data: Any, shape: Sequence[int] | None = None, **more: Any) -> dict[str, Any]:
    """Return an input with its data in JSON."""
    return {"name": name, "datatype": datatype, "shape": list(shape or [len(data)]), "data": data, **more}


def full_inputs(rows: int = 1) -> list[dict[str, Any]]:
    """Return inputs for every feature of FULL."""
    return [
        tensor("age", "FP64", [41.0] * rows),
        tensor("income", "FP64", [1200.5] * rows),
        tensor("owner", "BOOL", [True] * rows),
        tensor("place", "FP64", [0.5, -0.5] * rows, [rows, 2]),
        tensor("city", "BYTES", ["Rome"] * rows),
    ]


def framed(*texts: bytes) -> bytes:
    """Return texts as a tensor of BYTES holds them."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def binary(request: dict[str, Any], blobs: dict[str, bytes]) -> tuple[bytes, int]:
    """Return a body whose inputs of these names have their data behind the JSON, and how long that is."""
    inputs = []
    for sent in request["inputs"]:
        inputs.append(dict(sent))
        if sent["name"] in blobs:
            inputs[-1].pop("data", None)
            inputs[-1]["parameters"] = {"binary_data_size": len(blobs[sent["name"]])}
    text = json.dumps({**request, "inputs": inputs}).encode()
    return text + b"".join(blobs[sent["name"]] for sent in inputs if sent["name"] in blobs), len(text)


def parsed(
    request: Any, blobs: dict[str, bytes] | None = None, settings: Settings | None = None, **limits: Any
) -> InferRequest:
    """Return what a request says, of which some inputs may be in bytes."""
    body, length = binary(request, blobs) if blobs else (json.dumps(request).encode(), None)
    serve = (settings or settings_of(Path(), FULL, **limits)).serve
    return parse_request(body, Head(None, length), serve, elements_per_row=6)


def infer(client: httpx.Client, request: Any, blobs: dict[str, bytes] | None = None, **sent: Any) -> httpx.Response:
    """Ask for an inference."""
    path = "/v2/models/freshet/infer"
    if blobs is None:
        return client.post(path, json=request, **sent)
    body, length = binary(request, blobs)
    return client.post(path, content=body, headers={HEADER_LENGTH: str(length), **sent.pop("headers", {})}, **sent)


def error_of(response: httpx.Response, status: int) -> str:
    """Return what an error says, having checked that it has the protocol's form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    said: str = body["error"]
    return said
