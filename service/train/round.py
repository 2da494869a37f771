"""A round as a value: all that training needs goes in, candidates come out.

The live worker gets it as a directory, so that any round can be re-run by hand:

    000042/round.json                     settings, encoder, recipe of each challenger, parent, trigger, data
    000042/inputs.safetensors             window, replay sample, held-out *recent*, weights, moments, anchor
    000042/candidate/outcome.json         losses, steps and seconds of each challenger
    000042/candidate/outcome.safetensors  new weights and moments
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from service.model.encoder import Encoder
from service.model.members import Weights
from service.records import Examples
from service.settings import Member, Train

Arrays = dict[str, NDArray[Any]]

EXAMPLE_COLUMNS = ("numbers", "codes", "targets", "timestamps_ms", "keys")


@dataclass(frozen=True)
class Challenger:
    """One lineage of weights, continued from round to round; without weights it begins from chance.

    ``moments`` are what training remembers beside the weights, empty at the start of a lineage: AdamW's running
    averages, by parameter and kind, and how many ``steps`` they have seen; the sums of a ridge regression.
    """

    name: str
    recipe: Member
    weights: Weights | None = None
    moments: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """The inputs of one round. Training is a pure function of them.

    ``parent`` is the id of the checkpoint that served when it began, None for the first round; ``anchor`` the weights
    of the frozen model's members, none where nothing pulls towards them; ``data`` says which offsets the window spans.
    ``fresh`` of the window's newest events are new to the challengers; ``since_jump`` of them came since the error last
    jumped.
    """

    number: int
    seed: int
    trigger: str
    parent: str | None
    encoder: Encoder
    settings: Train
    window: Examples
    replay: Examples
    recent: Examples
    challengers: tuple[Challenger, ...]
    anchor: tuple[Weights, ...]
    data: tuple[Mapping[str, Any], ...]
    trained_until_ms: int
    fresh: int
    since_jump: int


@dataclass(frozen=True)
class Trained:
    """What became of one challenger. Losses are means; ``stopping_loss`` is None without early stopping.

    One that diverged while others did not has the weights it began with, no moments, and no ``training_loss``.
    """

    name: str
    weights: Weights
    moments: Arrays
    steps: int
    training_loss: float | None
    stopping_loss: float | None


@dataclass(frozen=True)
class Outcome:
    """What a round brought, one entry a challenger; ``seconds`` of training.

    ``cpu_seconds`` of a processor are for whoever pays for it to add: asking for them costs as much as a step or two.
    """

    number: int
    trained: tuple[Trained, ...]
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def training_loss(self) -> float:
        """The mean over challengers of their last training losses; NaN if all diverged."""
        losses = [one.training_loss for one in self.trained if one.training_loss is not None]
        return sum(losses) / len(losses) if losses else math.nan


def write_round(directory: Path, given: Round) -> None:
    """Write a round's inputs; `round.json` comes last, so that a directory with it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays: Arrays = {}
    for name in ("window", "replay", "recent"):
        examples = getattr(given, name)
        arrays |= {f"{name}/{column}": getattr(examples, column) for column in EXAMPLE_COLUMNS}
    for one in given.challengers:
        arrays |= under(f"weights/{one.name}", one.weights or {}) | under(f"moments/{one.name}", one.moments)
    for index, weights in enumerate(given.anchor):
        arrays |= under(f"anchor/{index}", weights)
    _replace(directory / "inputs.safetensors", save(arrays))
    described = {
        "number": given.number,
        "seed": given.seed,
        "trigger": given.trigger,
        "parent": given.parent,
        "encoder": given.encoder.to_json(),
        "settings": given.settings.model_dump(mode="json"),
        "challengers": [{"name": one.name, "recipe": one.recipe.model_dump(mode="json")} for one in given.challengers],
        "anchors": len(given.anchor),
        "data": [dict(span) for span in given.data],
        "trained_until_ms": given.trained_until_ms,
        "fresh": given.fresh,
        "since_jump": given.since_jump,
    }
    _replace(directory / "round.json", json.dumps(described, indent=1).encode())


def read_round(directory: Path) -> Round:
    """Return the round of a directory; raises OSError or ValueError when it is not whole."""
    described = json.loads((directory / "round.json").read_bytes())
    arrays = load_file(directory / "inputs.safetensors")
    challengers = tuple(
        Challenger(
            name=one["name"],
            recipe=Member.model_validate(one["recipe"]),
            weights=below(f"weights/{one['name']}", arrays) or None,
            moments=below(f"moments/{one['name']}", arrays),
        )
        for one in described["challengers"]
    )
    parts = {name: Examples(**below(name, arrays)) for name in ("window", "replay", "recent")}
    return Round(
        number=described["number"],
        seed=described["seed"],
        trigger=described["trigger"],
        parent=described["parent"],
        encoder=Encoder.from_json(described["encoder"]),
        settings=Train.model_validate(described["settings"]),
        challengers=challengers,
        anchor=tuple(below(f"anchor/{index}", arrays) for index in range(described.get("anchors", 0))),
        data=tuple(described["data"]),
        trained_until_ms=described["trained_until_ms"],
        fresh=described["fresh"],
        since_jump=described["since_jump"],
        **parts,
    )


def write_outcome(directory: Path, outcome: Outcome) -> None:
    """Write a round's answer beside its inputs; `outcome.json` comes last."""
    folder = directory / "candidate"
    folder.mkdir(exist_ok=True)
    arrays: Arrays = {}
    for one in outcome.trained:
        arrays |= under(f"weights/{one.name}", one.weights) | under(f"moments/{one.name}", one.moments)
    _replace(folder / "outcome.safetensors", save(arrays))
    described = {
        "number": outcome.number,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "trained": [
            {
                "name": one.name,
                "steps": one.steps,
                "training_loss": one.training_loss,
                "stopping_loss": one.stopping_loss,
            }
            for one in outcome.trained
        ],
    }
    _replace(folder / "outcome.json", json.dumps(described, indent=1).encode())


def read_outcome(directory: Path) -> Outcome:
    """Return a round's answer; raises OSError or ValueError when it is not whole."""
    folder = directory / "candidate"
    described = json.loads((folder / "outcome.json").read_bytes())
    arrays = load_file(folder / "outcome.safetensors")
    trained = tuple(
        Trained(weights=below(f"weights/{one['name']}", arrays), moments=below(f"moments/{one['name']}", arrays), **one)
        for one in described["trained"]
    )
    seconds = float(described["seconds"])
    return Outcome(described["number"], trained, seconds, float(described.get("cpu_seconds", seconds)))


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays with a prefix before their names, as parts of one file."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays that ``under`` put below a prefix, by their own names."""
    return {name.removeprefix(f"{prefix}/"): array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(content)
    os.replace(beside, path)  # noqa: PTH105 - the one that is documented as atomic
