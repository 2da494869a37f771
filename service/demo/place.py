"""Where the demo runs: a folder of its own, ports that are free, and a server beside the trainer."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from service import parent
from service.configuration_secrets import drop_secrets
from service.demo.loans import SCHEMA
from service.errors import FreshetError
from service.settings import Settings
from service.trainer import Readiness

START_SECONDS = 120.0
LOOK_SECONDS = 0.1


def own_settings(settings: Settings, folder: Path) -> Settings:
    """Return the settings with the demo's schema, its folder, and free ports where the usual ones are taken."""
    embedded = settings.source.embedded.model_copy(update={"path": folder / "log.sqlite"})
    trainer, serve = settings.trainer, settings.serve
    trainer_port, serve_port = free_port(trainer.host, trainer.port), free_port(serve.host, serve.port)
    return settings.model_copy(
        update={
            "task": "binary",
            "schema_": SCHEMA,
            "source": settings.source.model_copy(update={"kind": "embedded", "embedded": embedded}),
            "store": settings.store.model_copy(update={"path": folder / "store"}),
            "trainer": trainer.model_copy(update={"state_path": folder / "state", "port": trainer_port}),
            "serve": serve.model_copy(update={"port": serve_port}),
            # The demo tells its story itself; only what goes wrong is logged beside it, in lines for people as well.
            "log": settings.log.model_copy(update={"level": "warning", "format": "console"}),
        }
    )


def free_port(host: str, wanted: int) -> int:
    """Return the wanted port if it is free, else any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    return wanted


def start_server(settings: Settings, folder: Path) -> subprocess.Popen[bytes]:
    """Start `freshet serve` on the demo's store."""
    config = folder / "freshet.yaml"
    # Secrets reach the server as they reached us; in a file they would be refused.
    config.write_text(yaml.safe_dump(drop_secrets(settings.model_dump(mode="json", by_alias=True))))
    command = [sys.executable, "-m", "service", "serve", "--config", str(config)]
    # In a group of its own: Ctrl-C is for the demo, which then stops its server.
    tied = {**os.environ, **parent.variables()}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0, env=tied)  # noqa: S603 - our own module


def await_ready(
    settings: Settings,
    server: subprocess.Popen[bytes],
    trainer: threading.Thread,
    readiness: Readiness,
    stop: threading.Event,
) -> None:
    """Return once trainer and server are ready, or ``stop`` is set; raises FreshetError when one of them ends."""
    url = f"http://{settings.serve.host}:{settings.serve.port}/readyz"
    deadline = time.monotonic() + START_SECONDS
    while not stop.wait(LOOK_SECONDS):
        if server.poll() is not None:
            raise FreshetError(f"the demo's server ended with exit code {server.returncode}; see the line above")
        if not trainer.is_alive():
            return  # whatever ended it is raised by the demo itself
        if readiness() is None and _answers(url):
            return
        if time.monotonic() > deadline:
            raise FreshetError(
                f"trainer and server were not ready within {START_SECONDS:g} s; is the machine very busy?"
            )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - our own server on loopback
            return bool(answer.status == 200)  # noqa: PLR2004 - ready
    except (urllib.error.URLError, OSError):
        return False
