"""`freshet demo`: loans whose rule changes, sent in real time through the real service, and what learning bought."""

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from service.demo.loans import DRIFT_EVERY_EVENTS, loans
from service.demo.place import await_ready, own_settings, start_server
from service.demo.tally import Tally
from service.ingest.connect import open_sink
from service.learner.portfolio import recipes_of
from service.logs import configure_logs
from service.pretrain import pretrain_events
from service.probes import ProbeServer
from service.settings import Settings
from service.store.journal import DECISIONS, Journal
from service.trainer import Readiness, learn, stop_signals

HISTORY_EVENTS = 5_000
"""Events of the first rule that the frozen model is pre-trained on, before the stream begins."""

STEP_SECONDS = 0.02
SETTLE_SECONDS = 20.0


def demo(settings: Settings, *, events: int | None, rate: float) -> dict[str, Any]:
    """Run the whole service on a drifting stream and return the summary.

    Ends after ``events`` events, or when told to stop; ``rate`` in events a second. Raises FreshetError when a part
    of the service cannot start.
    """
    folder = Path(tempfile.mkdtemp(prefix="freshet-demo-"))
    try:
        own = own_settings(settings, folder)
        configure_logs(own.log)
        drift_every = max(events // 4, 1) if events else DRIFT_EVERY_EVENTS
        _say(f"pre-training on {HISTORY_EVENTS:,} loans of the first rule")
        history = islice(loans(own.train.seed, HISTORY_EVENTS), HISTORY_EVENTS)
        pretrain_events(history, own, int(time.time() * 1_000), "the demo's history")
        tally = Tally(drift_every, recipes_of(own))
        pace = _run(own, folder, tally, events=events, rate=rate, drift_every=drift_every)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary = {
        "events": pace["events"],
        "predicted": tally.events,
        "rounds": tally.rounds,
        **tally.accuracy(),
        "dead_lettered": tally.dead_lettered_events,
        "seconds": pace["seconds"],
        "events_per_second": pace["events_per_second"],
    }
    _say(_verdict(summary))
    if events:
        _say("over, and its server with it; `freshet demo` without --events runs until you stop it")
    return summary


def _run(
    settings: Settings, folder: Path, tally: Tally, *, events: int | None, rate: float, drift_every: int
) -> dict[str, Any]:
    """Start the service, stream through it, stop it; return the pace."""
    readiness, failure = Readiness(), list[Exception]()
    tally.watch_readiness(readiness)
    trainer_stop = threading.Event()

    def trainer_work() -> None:
        try:
            learn(settings, tally, trainer_stop, readiness, standby=False)
        except Exception as error:  # noqa: BLE001 - raised again below, by the thread that people wait for
            failure.append(error)

    trainer = threading.Thread(target=trainer_work, name="trainer")
    probes = ProbeServer(settings.trainer.host, settings.trainer.port, tally.registry, readiness, alive=readiness.alive)
    server = start_server(settings, folder)
    with stop_signals() as stop:
        try:
            probes.start()
            trainer.start()
            await_ready(settings, server, trainer, readiness, stop)
            if stop.is_set():
                raise KeyboardInterrupt
            _say(_where_to_look(settings, rate, drift_every))
            pace = _stream(settings, tally, stop, trainer, events=events, rate=rate, drift_every=drift_every)
        finally:
            trainer_stop.set()
            if trainer.ident is not None:
                trainer.join()
            server.terminate()
            server.wait()
            probes.stop()
    if failure:
        raise failure[0]
    return pace


def _stream(
    settings: Settings,
    tally: Tally,
    stop: threading.Event,
    trainer: threading.Thread,
    *,
    events: int | None,
    rate: float,
    drift_every: int,
) -> dict[str, Any]:
    """Send events evenly paced and tell what is decided meanwhile; return counts and seconds."""
    teller = _Teller(Journal(settings.store.path / DECISIONS))
    stream = _numbered(loans(settings.train.seed + 1_000, drift_every), drift_every)
    sink = open_sink(settings)
    began, sent = time.monotonic(), 0
    while not stop.wait(STEP_SECONDS) and trainer.is_alive() and (events is None or sent < events):
        due = int((time.monotonic() - began) * rate) - sent
        for event in islice(stream, due if events is None else min(due, events - sent)):
            sink.send(settings.source.topic, json.dumps(event).encode())
            sent += 1
        sink.flush()
        teller.tell(tally.events)
    limit = time.monotonic() + SETTLE_SECONDS
    while tally.events < sent and trainer.is_alive() and time.monotonic() < limit:
        time.sleep(STEP_SECONDS)
    seconds = time.monotonic() - began
    sink.close()
    teller.tell(tally.events)
    return {"events": sent, "seconds": round(seconds, 3), "events_per_second": round(tally.events / seconds, 1)}


def _numbered(stream: Iterator[dict[str, Any]], drift_every: int) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(stream):
        if number and number % drift_every == 0:
            _say(f"{number:>11,} events: THE RULE CHANGES")
        yield {"id": f"loan-{number}", "ts": time.time_ns() // 1_000_000, **event}


class _Teller:
    """Prints promotions as the journal tells of them; why, where it is not as the time before."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._place = 0
        self._reason = ""

    def tell(self, predicted: int) -> None:
        """Print what is new, now that so many events are predicted."""
        entries, self._place = self._journal.read_since(self._place)
        for entry in entries:
            if entry.get("decision") != "promote":
                continue
            newest = {role: 1 - told["error"] for role, told in entry["prequential"].items()}
            why, self._reason = f"; {entry['meaning']}" if entry["reason"] != self._reason else "", entry["reason"]
            _say(
                f"{predicted:>11,} events: promoted {entry['checkpoint']}; of the newest events champion "
                f"{newest['champion']:.1%} right, frozen {newest['frozen']:.1%}{why}"
            )


def _where_to_look(settings: Settings, rate: float, drift_every: int) -> str:
    server = f"http://{settings.serve.host}:{settings.serve.port}"
    trainer = f"http://{settings.trainer.host}:{settings.trainer.port}"
    return (
        f"streaming {rate:,.0f} loans a second; the rule changes every {drift_every:,}\n"
        f"    predictions  {server}/docs\n"
        f"    status       {server}/\n"
        f"    metrics      {trainer}/metrics (trainer), {server}/metrics (server)"
    )


def _verdict(summary: dict[str, Any]) -> str:
    def line(title: str, scores: dict[str, float | None]) -> str:
        champion, frozen = scores["champion"], scores["frozen"]
        if champion is None or frozen is None:
            return f"    {title}: no events"
        bought = 100 * (champion - frozen)
        return f"    {title}: champion {champion:.1%}, frozen {frozen:.1%} ({bought:+.1f} points)"

    rounds = ", ".join(f"{count} {outcome}" for outcome, count in summary["rounds"].items())
    others = 2 * summary["rounds"]["started"] - sum(summary["rounds"].values())
    if others:
        rounds += f", {others} taken back or cut off by the end"
    return (
        f"{summary['predicted']:,} events predicted, then learnt, in {summary['seconds']:.1f} s; rounds: {rounds}\n"
        f"{line('accuracy over all events', summary['accuracy'])}\n"
        f"{line('after the first change', summary['accuracy_drifted'])}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"freshet demo: {text}\n" if not text.startswith(" ") else f"{text}\n")
    sys.stderr.flush()
