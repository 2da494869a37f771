"""What every command shares: its options, the configuration they name, and one way to answer."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from service.configuration import load_settings, require_schema
from service.errors import UsageError
from service.settings import Settings

WIDEST = 10_000

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration; else $FRESHET_CONFIG, else ./freshet.yaml."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key, such as trigger.every_events=100; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on standard output.")]


def at_least(least: float) -> Callable[[float | None], float | None]:
    """Return a check of --rate, which raises UsageError for less than ``least``, infinity and NaN."""

    def check(rate: float | None) -> float | None:
        if rate is not None and not least <= rate < math.inf:
            raise UsageError(f"--rate {rate:g}: a finite rate of at least {least:g} is needed, such as --rate 2000")
        return rate

    return check


def load(config: Path | None, overrides: Sequence[str] | None, *, with_schema: bool = False) -> Settings:
    """Return the settings that the options name, and let logs follow them; raises ConfigurationError."""
    settings = load_settings(config, overrides or ())
    if with_schema:
        require_schema(settings)
    from service.logs import configure_logs  # noqa: PLC0415 - slow to import, and `check` does without

    configure_logs(settings.log)
    return settings


def passed_on(config: Path | None, overrides: Sequence[str] | None) -> list[str]:
    """Return the options that give a child process the same configuration."""
    options = ["--config", str(config)] if config is not None else []
    return options + [part for override in overrides or () for part in ("--set", override)]


def answer(value: Mapping[str, Any]) -> None:
    """Write the one JSON object of ``--json`` to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def tell(text: str) -> None:
    """Write a line for a human to standard error."""
    sys.stderr.write(text + "\n")


def show(text: str) -> None:
    """Write a command's result for a human to standard output."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to standard output."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and few commands need it
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    # Into a file or pipe nothing is cut off to fit a screen.
    Console(width=None if sys.stdout.isatty() else WIDEST).print(table, markup=False)
