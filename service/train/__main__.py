"""Re-runs one round by hand (`python -m service.train DIRECTORY`), or is the live worker (`--worker`)."""

import argparse
import json
import sys
from pathlib import Path

from service.errors import ConfigurationError, RoundFailedError
from service.logs import configure_logs
from service.model.custom import trust
from service.model.learned import LearnedModel
from service.settings import Log
from service.train.fit import train_round
from service.train.round import Outcome, Round, read_round, write_outcome
from service.train.worker import work


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m service.train", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, help="a round's directory, with round.json in it")
    parser.add_argument("--worker", action="store_true", help="read directories from standard input until it ends")
    parser.add_argument("--niceness", type=int, default=0, help="how far to yield the processor")
    parser.add_argument("--module", help="the factory, package.module:factory, that a round's network may be made by")
    parser.add_argument("--log", type=Log.model_validate_json, help="how to log, as JSON; for the live worker")
    given = parser.parse_args()
    if given.log is not None:
        configure_logs(given.log)
    if given.module is not None:
        trust(given.module)
    if given.worker:
        work(given.niceness)
        return 0
    if given.directory is None:
        parser.error("name a round's directory")
    try:
        inputs = read_round(given.directory)
        outcome = train_round(inputs)
        write_outcome(given.directory, outcome)
    except (OSError, ValueError, KeyError, RoundFailedError, ConfigurationError) as error:
        print(f"service.train: {given.directory}: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    print(json.dumps(summary(inputs, outcome)))  # noqa: T201 - a command speaks
    return 0


def summary(inputs: Round, outcome: Outcome) -> dict[str, object]:
    """Return what a person wants to know of a re-run round: losses by challenger, also on the held-out slice."""
    told = []
    for one in outcome.trained:
        model = LearnedModel.of_members(inputs.encoder, [one.weights])
        recent = float(model.score(inputs.recent).losses.mean()) if len(inputs.recent) else None
        told.append({"name": one.name, "steps": one.steps, "training_loss": one.training_loss, "recent_loss": recent})
    return {"round": inputs.number, "trigger": inputs.trigger, "challengers": told, "seconds": outcome.seconds}


if __name__ == "__main__":
    sys.exit(main())
