"""A round as a value: all that training needs goes in, candidates come out.

The live worker gets it as a directory, so that any round can be re-run by hand:

    000042/round.json                     settings, encoder, recipe of each challenger, parent, trigger, data
    000042/inputs.safetensors             window, replay sample, held-out *recent*, weights, moments, anchor
    000042/candidate/outcome.json         losses, steps and seconds of each challenger
    000042/candidate/outcome.safetensors  new weights and moments
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from service.model.encoder import Encoder
from service.model.learned import Weights
from service.records import Examples
from service.settings import Train

Arrays = dict[str, NDArray[Any]]

EXAMPLE_COLUMNS = ("numbers", "codes", "targets", "timestamps_ms", "keys")


@dataclass(frozen=True)
class Recipe:
    """In what challengers differ: step size, share of replayed events in a batch, newest events of the window."""

    learning_rate: float
    replay_share: float
    window_events: int


@dataclass(frozen=True)
class Challenger:
    """One lineage of weights, continued from round to round; without weights it begins from chance.

    ``moments`` are AdamW's running averages, by parameter and kind; empty at the start of a lineage.
    """

    name: str
    recipe: Recipe
    weights: Weights | None = None
    moments: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """The inputs of one round. Training is a pure function of them.

    ``parent`` is the id of the checkpoint that served when it began, None for the first round; ``anchor`` the weights
    of the frozen model, None while there is none; ``data`` says which offsets the window spans.
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
    anchor: Weights | None
    data: tuple[Mapping[str, Any], ...]
    trained_until_ms: int


@dataclass(frozen=True)
class Trained:
    """What became of one challenger. Losses are means; ``stopping_loss`` is None without early stopping."""

    name: str
    weights: Weights
    moments: Arrays
    steps: int
    training_loss: float
    stopping_loss: float | None


@dataclass(frozen=True)
class Outcome:
    """What a round brought, one entry a challenger; ``seconds`` of training."""

    number: int
    trained: tuple[Trained, ...]
    seconds: float


def write_round(directory: Path, given: Round) -> None:
    """Write a round's inputs; `round.json` comes last, so that a directory with it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays: Arrays = {}
    for name in ("window", "replay", "recent"):
        examples = getattr(given, name)
        arrays |= {f"{name}/{column}": getattr(examples, column) for column in EXAMPLE_COLUMNS}
    for one in given.challengers:
        arrays |= under(f"weights/{one.name}", one.weights or {}) | under(f"moments/{one.name}", one.moments)
    arrays |= under("anchor", given.anchor or {})
    _replace(directory / "inputs.safetensors", save(arrays))
    described = {
        "number": given.number,
        "seed": given.seed,
        "trigger": given.trigger,
        "parent": given.parent,
        "encoder": given.encoder.to_json(),
        "settings": given.settings.model_dump(mode="json"),
        "challengers": [{"name": one.name, "recipe": asdict(one.recipe)} for one in given.challengers],
        "data": [dict(span) for span in given.data],
        "trained_until_ms": given.trained_until_ms,
    }
    _replace(directory / "round.json", json.dumps(described, indent=1).encode())


def read_round(directory: Path) -> Round:
    """Return the round of a directory; raises OSError or ValueError when it is not whole."""
    described = json.loads((directory / "round.json").read_bytes())
    arrays = load_file(directory / "inputs.safetensors")
    challengers = tuple(
        Challenger(
            name=one["name"],
            recipe=Recipe(**one["recipe"]),
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
        anchor=below("anchor", arrays) or None,
        data=tuple(described["data"]),
        trained_until_ms=described["trained_until_ms"],
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
    return Outcome(number=described["number"], trained=trained, seconds=described["seconds"])


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
