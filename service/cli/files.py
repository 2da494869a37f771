"""`freshet send` and `freshet pretrain`: data files as a stream, and as history."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import AsJson, Config, Overrides, answer, at_least, load, tell
from service.cli.progress import progress_bar

DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON Lines or Parquet, one labelled event a row.")]


def send(
    file: DataFile,
    *,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", callback=at_least(0.001), metavar="R", help="Events a second; else as fast as possible."
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Send a file's rows as events into the configured topic."""
    settings = load(config, overrides, with_schema=True)
    from service.send import send_file  # noqa: PLC0415 - slow to import

    with progress_bar(f"to {settings.source.topic}") as progress:
        sent = send_file(file, settings, rate=rate, progress=progress)
    refused = sum(sent.refused.values())
    if as_json:
        answer(
            {
                "file": str(file),
                "topic": settings.source.topic,
                "events": sent.events,
                "refused": dict(sent.refused),
                "seconds": round(sent.seconds, 3),
                "events_per_second": round(sent.events_per_second, 1),
            }
        )
    else:
        tell(
            f"freshet: sent {sent.events:,} events to {settings.source.topic} in {sent.seconds:.1f} s "
            f"({sent.events_per_second:,.0f} a second)"
        )
    if refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sent.refused.most_common())
        tell(f"freshet: the topic refused {refused:,} events: {reasons}")
        raise typer.Exit(1)


def pretrain(file: DataFile, *, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Make the first checkpoint from history, before the stream begins."""
    settings = load(config, overrides, with_schema=True)
    from service.pretrain import pretrain as run_pretrain  # noqa: PLC0415 - slow to import

    result = run_pretrain(settings, file)
    if as_json:
        answer(result)
