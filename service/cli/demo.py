"""`freshet demo`: a drifting synthetic stream on the embedded log."""

import os
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import AsJson, Config, Overrides, answer, at_least, load


def demo(
    *,
    events: Annotated[
        int | None, typer.Option("--events", min=1, metavar="N", help="End after so many events; else run on.")
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", callback=at_least(1.0), metavar="R", help="Events a second.")
    ] = 2_000.0,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Learn a synthetic stream of loans whose rules change, and say what every promotion bought."""
    # The demo brings its own schema, so a freshet.yaml that happens to lie here is none of its business.
    settings = load(config or Path(os.devnull), overrides)
    from service.demo import demo as run_demo  # noqa: PLC0415 - slow to import

    result = run_demo(settings, events=events, rate=rate)
    if as_json:
        answer(result)
