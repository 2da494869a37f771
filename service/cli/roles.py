"""`freshet train`, `serve` and `run`: the two roles, alone and together."""

import time
from typing import Annotated

import typer

from service.cli.options import AsJson, Config, Overrides, answer, load, passed_on, tell


def train(
    *,
    config: Config = None,
    overrides: Overrides = None,
    standby: Annotated[
        bool, typer.Option("--standby/--no-standby", help="Wait while another trainer holds the store's lease.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Consume, learn and publish until stopped: the trainer."""
    settings = load(config, overrides, with_schema=True)
    from service.trainer import train as run_trainer  # noqa: PLC0415 - slow to import

    started = time.monotonic()
    run_trainer(settings, standby=standby)
    if as_json:
        answer({"role": "trainer", "seconds": round(time.monotonic() - started, 3)})


def serve(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Answer predictions until stopped: the server."""
    settings = load(config, overrides, with_schema=True)
    from service.server import serve as run_server  # noqa: PLC0415 - slow to import

    started = time.monotonic()
    run_server(settings)
    if as_json:
        answer({"role": "server", "seconds": round(time.monotonic() - started, 3)})


def run(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Run trainer and server on this machine, and watch both until stopped."""
    settings = load(config, overrides, with_schema=True)
    from service.run import run as run_both  # noqa: PLC0415 - slow to import
    from service.run import where_to_look  # noqa: PLC0415

    tell(f"freshet: trainer and server start; stop them with Ctrl-C\n{where_to_look(settings)}")
    started = time.monotonic()
    restarts = run_both(settings, passed_on(config, overrides))
    if as_json:
        answer({"restarts": restarts, "seconds": round(time.monotonic() - started, 3)})
