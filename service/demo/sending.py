"""`freshet demo --send-only`: the demo's stream alone, into a topic that a trainer elsewhere learns from."""

import math
import signal
import time
from contextlib import ExitStack
from typing import Any

import structlog

from service.demo.asking import Asker
from service.demo.loans import SCHEMA, loans
from service.errors import ConfigurationError
from service.ingest.connect import open_sink
from service.send import Outbox, Sent
from service.settings import Schema, Settings

MOST_LATE_SECONDS = 1.0
"""A topic that was away for longer is not flooded with what was due meanwhile: the stream goes on at its pace."""

SEEDS = 2**31 - 1

logger = structlog.get_logger(__name__)


def send_loans(
    settings: Settings, *, events: int | None, rate: float, drift_every: int, ask: str | None = None
) -> Sent:
    """Send so many loans, ``rate`` a second, by another rule after every ``drift_every``; without end if None.

    ``ask`` is the address of a server that is asked about some of them. SIGTERM and Ctrl-C end it. It waits for a topic
    that is away, without end too. Raises ConfigurationError unless the schema is the demo's, and SourceRefusedError
    where no waiting helps.
    """
    _require_loans(settings.schema_)
    began = time.monotonic()
    outbox = Outbox(open_sink(settings), settings.source.topic, math.inf)
    with ExitStack() as cleanup:
        cleanup.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        cleanup.callback(outbox.sink.close)
        asker = Asker(ask) if ask is not None else None
        if asker is not None:
            cleanup.callback(asker.close)
        try:
            _send(outbox, asker, events, rate, drift_every)
            outbox.flush()
        except KeyboardInterrupt:
            logger.info("stream ends", events=outbox.sent.events)
    outbox.sent.seconds = time.monotonic() - began
    return outbox.sent


def _send(outbox: Outbox, asker: Asker | None, events: int | None, rate: float, drift_every: int) -> None:
    # Each stream has loans and ids of its own: none is held out that was learnt from when it came the last time.
    began_ms = time.time_ns() // 1_000_000
    due = time.monotonic()
    for number, loan in enumerate(loans(began_ms % SEEDS, drift_every)):
        if number == events:
            return
        if number % drift_every == 0:
            logger.info("the rule changes" if number else "stream begins", events=number, rate=rate)
        due = max(due, time.monotonic() - MOST_LATE_SECONDS)
        outbox.wait_until(due)
        if asker is not None:
            asker.see(loan["features"])
        outbox.put({"id": f"loan-{began_ms}-{number}", "ts": time.time_ns() // 1_000_000, **loan})
        due += 1 / rate
        if outbox.is_due():
            outbox.flush()


def _require_loans(schema: Schema) -> None:
    """Raise ConfigurationError unless a trainer with this schema takes the demo's events."""
    if _kinds(schema) != _kinds(SCHEMA) or set(schema.labels) - set(SCHEMA.labels):
        names = ", ".join(SCHEMA.names)
        raise ConfigurationError(
            f"schema: the demo sends loans ({names}), and this configuration expects other events; "
            "name a configuration for loans, or send events of your own (`freshet send FILE`)"
        )


def _kinds(schema: Schema) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        name: kind for kind in ("numeric", "categorical", "boolean") for name in getattr(schema, kind)
    }
    return kinds | dict(schema.vector)
