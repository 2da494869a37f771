"""`freshet replay`: what would have happened, had Freshet learnt a recording as it came."""

import gc
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from service.cli.files import DataFile
from service.cli.options import AsJson, Config, Overrides, answer, at_least, load
from service.cli.progress import Screen


def replay(
    file: DataFile,
    *,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="The column to predict; without a schema, it is inferred."),
    ] = None,
    rate: Annotated[
        float,
        typer.Option("--rate", callback=at_least(0.001), metavar="R", help="Events a second where none bears a `ts`."),
    ] = 1_000.0,
    score_only: Annotated[
        Path | None,
        typer.Option(
            "--score-only", metavar="FILE", help="A line for each row: 1 if it counts in the figures, else 0."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Leave report.html and decisions.jsonl there.")
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Learn a recording on a virtual clock, and tell what fine-tuning would have bought."""
    settings = load(config, overrides)
    from service.replay import replay as run_replay  # noqa: PLC0415 - slow to import

    gc.collect()
    gc.freeze()  # what torch has imported is never garbage: not to be looked through all along
    with closing(Screen(file.name)) as screen:
        result = run_replay(
            settings,
            file,
            label=label,
            rate=rate,
            score_only=score_only,
            out=out,
            say=screen.say,
            progress=screen.progress,
        )
    if as_json:
        answer(result)
