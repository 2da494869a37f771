"""Small real checkpoints, and a real HTTP server around an application, for the tests of serving."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from starlette.types import ASGIApp

from service.model.encoder import Encoder
from service.model.learned import LearnedModel, build_network
from service.serve.connection import Limits
from service.serve.http import HttpServer
from service.settings import Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.clock import utc_text
from service.store.fingerprint import model_fingerprint, schema_fingerprint
from service.store.manifest import Manifest
from tests.ports import free_port

INSTANCE: dict[str, Any] = {"age": 41, "income": 1200.5, "owner": True, "city": "Rome"}
LIMITS = Limits(connections=50, head_bytes=16_384, head_seconds=30, body_seconds=30, keep_alive_seconds=30)
TRAINED_UNTIL = "2026-01-31T09:30:00.250Z"


def accepts(port: int) -> bool:
    """Tell whether a port takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def settings_in(folder: Path, *, task: str = "binary", labels: Sequence[str] = ("no", "yes"), **serve: Any) -> Settings:
    """Return settings with everything inside a folder, a free port, and one feature of each kind."""
    return Settings.model_validate(
        {
            "task": task,
            "schema": {
                "numeric": ["age", "income"],
                "boolean": ["owner"],
                "categorical": ["city"],
                "nullable": ["income", "city"],
                "labels": list(labels),
            },
            "source": {"embedded": {"path": str(folder / "log.sqlite")}},
            "train": {"model": {"hidden": [8], "embedding_width": 2}},
            "store": {"path": str(folder / "store")},
            "serve": {"port": free_port(), "watch_seconds": 0.02, **serve},
        }
    )


def store_of(settings: Settings) -> CheckpointStore:
    """Return the settings' checkpoint store."""
    return CheckpointStore(settings.store.path, settings.store.keep)


def encoder_of(settings: Settings) -> Encoder:
    """Return an encoder that knows the cities Rome and Oslo."""
    labels = () if settings.task == "regression" else settings.schema_.labels or ("no", "yes")
    return Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=labels,
        categories={"city": ("Rome", "Oslo")},
        means=np.array([40.0, 1000.0, 0.5]),
        scales=np.array([10.0, 300.0, 0.5]),
        target_mean=5.0 if settings.task == "regression" else 0.0,
        target_scale=2.0 if settings.task == "regression" else 1.0,
    )


def checkpoint_of(settings: Settings, checkpoint_id: str, *, seed: int = 0, spoilt: bool = False) -> Checkpoint:
    """Return a checkpoint with weights that depend on the seed; a spoilt one has NaN among them."""
    encoder = encoder_of(settings)
    torch.manual_seed(seed)
    tensors = {name: array * 3 for name, array in build_network(encoder).members()[0].items()}
    if spoilt:
        tensors = {name: np.full_like(array, np.nan) for name, array in tensors.items()}
    manifest = Manifest(
        id=checkpoint_id,
        round=int(checkpoint_id.partition("-")[0]),
        lineage=checkpoint_id,
        created_at=utc_text(time.time()),
        trained_until=TRAINED_UNTIL,
        trigger="new_events",
        schema_fingerprint=schema_fingerprint(settings),
        model_fingerprint=model_fingerprint(settings),
        fence=1,
    )
    return Checkpoint(manifest, tensors, encoder.to_json())


def publish(settings: Settings, *, seed: int = 0, spoilt: bool = False) -> str:
    """Write a checkpoint, point to it, and return its id."""
    store = store_of(settings)
    checkpoint_id = store.new_id(0)
    store.write(checkpoint_of(settings, checkpoint_id, seed=seed, spoilt=spoilt))
    store.point(checkpoint_id, reason="test", by="test")
    return checkpoint_id


def damage(settings: Settings, checkpoint_id: str) -> None:
    """Flip one bit of a checkpoint's weights."""
    path = settings.store.path / "checkpoints" / checkpoint_id / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def model_of(settings: Settings, checkpoint_id: str) -> LearnedModel:
    """Return the model that a checkpoint holds."""
    checkpoint = store_of(settings).read(checkpoint_id)
    return LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)


@contextmanager
def answering(app: ASGIApp, limits: Limits = LIMITS) -> Iterator[httpx.Client]:
    """Run an application on a free port; yield a client of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(app, limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return a response's problem details, having checked that they are what RFC 9457 wants."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert {"type", "title", "detail"} <= set(body)
    assert "Traceback" not in response.text
    return body
