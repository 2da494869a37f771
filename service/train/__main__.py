"""Re-runs one round by hand (`python -m service.train DIRECTORY`), or is the live worker (`--worker`)."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from service.errors import ConfigurationError, DeviceMissingError, RoundFailedError
from service.logs import configure_logs
from service.model.custom import told, trust
from service.model.encoder import Encoder
from service.model.learned import LearnedModel
from service.model.trial import try_on
from service.settings import Log, Train
from service.train.device import MISSING
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
    parser.add_argument("--device", help="train on this instead of what the round names; the live worker gets it ready")
    parser.add_argument("--try-device", help="try the network of an encoder on standard input on this, and say no more")
    parser.add_argument("--log", type=Log.model_validate_json, help="how to log, as JSON; for the live worker")
    given = parser.parse_args()
    if given.log is not None:
        configure_logs(given.log)
    if given.module is not None:
        trust(given.module)
    if given.worker:
        work(given.niceness, given.device)
        return 0
    if given.try_device is not None:
        return _try_device(given.try_device)
    if given.directory is None:
        parser.error("name a round's directory")
    try:
        inputs = read_round(given.directory)
        if given.device is not None:
            settings = inputs.settings.model_dump(mode="json") | {"device": given.device}
            inputs = replace(inputs, settings=Train.model_validate(settings))
        outcome = train_round(inputs)
        write_outcome(given.directory, outcome)
    except ValidationError as error:
        return _failed(given.directory, error.errors()[0]["msg"])
    except (RoundFailedError, ConfigurationError) as error:
        return _failed(given.directory, str(error))
    except Exception as error:  # noqa: BLE001 - what a network of one's own or a device raises is told likewise
        return _failed(given.directory, told(error))
    print(json.dumps(summary(inputs, outcome)))  # noqa: T201 - a command speaks
    return 0


def _failed(directory: Path, problem: str) -> int:
    print(f"service.train: {directory}: {problem}", file=sys.stderr)  # noqa: T201 - a command speaks
    return 1


def _try_device(device: str) -> int:
    """Say what is wrong with a device, or with a network on it; return the exit code that ``require_device`` knows."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a module that prints must not be taken for the answer
    try:
        try_on(Encoder.from_json(json.load(sys.stdin)), device)
    except ConfigurationError as error:
        print(error, file=answers)
        return MISSING if isinstance(error, DeviceMissingError) else 1
    return 0


def summary(inputs: Round, outcome: Outcome) -> dict[str, object]:
    """Return what a person wants to know of a re-run round: losses by challenger, also on the held-out slice."""
    challengers = []
    for one in outcome.trained:
        model = LearnedModel.of_members(inputs.encoder, [one.weights])
        recent = float(model.score(inputs.recent).losses.mean()) if len(inputs.recent) else None
        loss = one.training_loss
        challengers.append({"name": one.name, "steps": one.steps, "training_loss": loss, "recent_loss": recent})
    return {"round": inputs.number, "trigger": inputs.trigger, "challengers": challengers, "seconds": outcome.seconds}


if __name__ == "__main__":
    sys.exit(main())
