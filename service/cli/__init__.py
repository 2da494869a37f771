"""The command line: one module a group of commands, joined here, and how their failures end.

What is slow to import (torch, kafka, fastapi) is imported inside the commands that need it.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from service.cli import checkpoints, dead_letters, operations, topics
from service.cli.check import check
from service.cli.demo import demo
from service.cli.files import pretrain, send
from service.cli.init import init
from service.cli.ledger import ledger
from service.cli.replay import replay
from service.cli.roles import run, serve, train
from service.errors import FreshetError

BEGIN = "Begin"
OPERATE = "Operate"

app = typer.Typer(
    name="freshet",
    help="Keeps a PyTorch model current with its stream of labelled events.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(rich_help_panel=BEGIN)(demo)
app.command(rich_help_panel=BEGIN)(init)
app.command(rich_help_panel=BEGIN)(check)
app.command(rich_help_panel=BEGIN)(replay)
app.command(rich_help_panel=BEGIN)(pretrain)
app.command(rich_help_panel=BEGIN)(send)
app.command(rich_help_panel=OPERATE)(run)
app.command(rich_help_panel=OPERATE)(train)
app.command(rich_help_panel=OPERATE)(serve)
app.command(rich_help_panel=OPERATE)(ledger)
for act in (operations.promote, operations.pin, operations.unpin, operations.history):
    checkpoints.app.command(act.__name__)(act)
app.add_typer(checkpoints.app, rich_help_panel=OPERATE)
app.add_typer(dead_letters.app, rich_help_panel=OPERATE)
app.add_typer(topics.app, rich_help_panel=OPERATE)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted."""
    try:
        try:
            app(arguments, prog_name="freshet")
        finally:
            sys.stdout.flush()
    except FreshetError as error:
        sys.stderr.write(f"freshet: {' '.join(str(error).split())}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read us has gone. Python flushes standard output once more at exit, which then must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)
