"""Real servers: the application alone over a desk that keeps what it is given, and the whole composition root."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.errors import SourceUnavailableError
from service.metrics import ServerObserver
from service.probes import probe_routes
from service.serve.api import create_app
from service.serve.predictor import Predictor
from service.serve.watcher import Watcher
from service.server import Server
from service.settings import Settings
from tests.unit.serve.builders import INSTANCE, accepts, answering, store_of


@dataclass
class KeepingDesk:
    """Accepts objects, keeps them in memory, and is away when told so."""

    kept: list[Any] = field(default_factory=list)
    away: bool = False

    def submit(self, events: Sequence[Any]) -> list[str | None]:
        """Keep the objects among the events."""
        if self.away:
            raise SourceUnavailableError("the log is away")
        self.kept += [event for event in events if isinstance(event, dict)]
        return [None if isinstance(event, dict) else "not_object" for event in events]


@dataclass
class Service:
    """What a test talks to."""

    client: httpx.Client
    settings: Settings
    predictor: Predictor
    watcher: Watcher
    desk: KeepingDesk
    observer: ServerObserver

    def predict(self, *instances: object) -> httpx.Response:
        """Ask for predictions of these instances."""
        return self.client.post("/v1/predict", json={"instances": list(instances)})

    def post(self, content: Any, path: str = "/v1/predict") -> httpx.Response:
        """Post raw bytes, or parts of them, declared as JSON."""
        return self.client.post(path, content=content, headers={"content-type": "application/json"})


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """Run a server with these settings, which has looked at the store once."""
    observer, predictor, desk, store = ServerObserver(), Predictor(), KeepingDesk(), store_of(settings)
    watcher = Watcher(settings, store, predictor, observer)
    probes = probe_routes(observer.registry, ready=predictor.ready)
    app = create_app(settings, predictor, store, desk, observer, probes=probes)
    watcher.look()
    with answering(app) as client:
        yield Service(client, settings, predictor, watcher, desk, observer)


@contextmanager
def served(settings: Settings) -> Iterator[httpx.Client]:
    """Run the server in a thread; yield a client of it once it answers."""
    server = Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not accepts(settings.serve.port):
            time.sleep(0.01)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            yield client
    finally:
        server.stop()
        thread.join()


def wait_for_id(client: httpx.Client, checkpoint_id: str) -> None:
    """Return once predictions come from this checkpoint."""
    while (client.get("/v1/status").json()["serving"] or {}).get("id") != checkpoint_id:
        time.sleep(0.01)


def serving_id(client: httpx.Client) -> str:
    """Return which checkpoint answers."""
    found: str = client.post("/v1/predict", json={"instances": [INSTANCE]}).json()["checkpoint"]["id"]
    return found
