"""`freshet demo`: a drifting synthetic stream, on the embedded log or into a topic."""

import os
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import AsJson, Config, Overrides, answer, at_least, load, tell
from service.demo.loans import DRIFT_EVERY_EVENTS
from service.errors import UsageError


def demo(
    *,
    events: Annotated[
        int | None, typer.Option("--events", min=1, metavar="N", help="End after so many events; else run on.")
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", callback=at_least(1.0), metavar="R", help="Events a second.")
    ] = 2_000.0,
    send_only: Annotated[
        bool, typer.Option("--send-only", help="Only send the stream into the configured topic, for a trainer there.")
    ] = False,
    drift_every: Annotated[
        int | None,
        typer.Option(
            "--drift-every", min=1, metavar="N", help="With --send-only: events between two changes of the rule."
        ),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option("--ask", metavar="URL", help="With --send-only: also ask this server for predictions."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Learn a synthetic stream of loans whose rules change, and say what every promotion bought."""
    if send_only:
        _send(config, overrides, as_json=as_json, events=events, rate=rate, drift_every=drift_every, ask=ask)
        return
    if drift_every is not None or ask is not None:
        raise UsageError("--drift-every and --ask go with --send-only; the demo itself changes its rule by --events")
    # The demo brings its own schema, so a freshet.yaml that happens to lie here is none of its business.
    settings = load(config or Path(os.devnull), overrides)
    from service.demo.live import demo as run_demo  # noqa: PLC0415 - slow to import

    result = run_demo(settings, events=events, rate=rate)
    if as_json:
        answer(result)


def _send(
    config: Path | None,
    overrides: list[str] | None,
    *,
    as_json: bool,
    events: int | None,
    rate: float,
    drift_every: int | None,
    ask: str | None,
) -> None:
    from service.demo.asking import place_of  # noqa: PLC0415 - no other command needs it

    if ask is not None:
        place_of(ask)  # a wrong address is told before anything is opened
    settings = load(config, overrides, with_schema=True)
    from service.demo.sending import send_loans  # noqa: PLC0415 - slow to import

    drift_every = drift_every or DRIFT_EVERY_EVENTS
    sent = send_loans(settings, events=events, rate=rate, drift_every=drift_every, ask=ask)
    if as_json:
        told = {"events": sent.events, "refused": dict(sent.refused), "seconds": round(sent.seconds, 3)}
        answer({"topic": settings.source.topic, **told})
    else:
        tell(f"freshet: sent {sent.events:,} loans to {settings.source.topic} in {sent.seconds:.1f} s")
