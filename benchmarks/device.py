"""What a round costs on the processor and on an accelerator (`train.device`), for three networks of a user's own.

The documentation's convolution, the same with a million parameters, and a transformer with 25 million. The processor
has one thread, as in a trainer's worker. Both do the same steps on the same events, one after the other: rounds until
six are done or ten seconds are over, and of several the median without the first, which is told apart. Prints a line
for each network, and JSON last; without a device it says so, and how long the processor takes.
"""

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import Tensor, nn

from service.learner.learner import Learner
from service.model.custom import ModelInputs, trust
from service.observer import Observer
from service.records import Examples
from service.settings import Settings
from service.train.fit import train_round
from service.train.round import Outcome, Round

EVENTS = 2_000
MOST_ROUNDS = 6
MOST_SECONDS = 10.0
NETWORKS = {
    "convolution": ("examples.vibration:Classifier", {"channels": 16}, 64, 30, 3e-3),
    "wide convolution": ("examples.vibration:Classifier", {"channels": 320}, 64, 30, 3e-3),
    "transformer": ("benchmarks.device:Transformer", {}, 128, 4, 1e-5),
}
"""Module, its arguments, how many numbers an event has, steps of a round (few where each takes seconds), step size."""


class Transformer(nn.Module):
    """Attention among pieces of 8 numbers, and a head over their mean."""

    def __init__(self, inputs: ModelInputs, width: int = 512, layers: int = 8) -> None:
        super().__init__()
        self.signal = inputs.vectors["signal"]
        self.embed = nn.Linear(8, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, inputs.outputs)

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        del missing, codes
        pieces = numbers[:, self.signal].unflatten(1, (-1, 8))
        return self.head(self.body(self.embed(pieces)).mean(dim=1))


def a_round(module: str, arguments: dict[str, int], width: int, steps: int, learning_rate: float) -> Round:
    """Return a first round on the processor, of events whose label is whether their first half is the larger."""
    trust(module)
    train = {
        "model": {"module": module, "arguments": arguments},
        "first_steps": steps,
        "stopping_share": 0.0,
        "learning_rate": learning_rate,
    }
    schema = {"vector": {"signal": width}, "labels": ["no", "yes"]}
    learner = Learner(Settings.model_validate({"schema": schema, "train": train}), Observer())
    random = np.random.default_rng(0)
    numbers = random.normal(size=(EVENTS, width))
    halves = numbers.reshape(EVENTS, 2, -1).sum(axis=2)
    learner.absorb(
        Examples(
            numbers=numbers,
            codes=np.zeros((EVENTS, 0), dtype=np.int64),
            targets=(halves[:, 0] > halves[:, 1]).astype(np.float64),
            timestamps_ms=np.arange(EVENTS, dtype=np.int64),
            keys=random.integers(0, 2**63, size=EVENTS, dtype=np.uint64),
        )
    )
    return learner.begin_round("first_events", 0.0)


def seconds(given: Round, device: str) -> tuple[Outcome, float]:
    """Return what became of a round on a device, the first time, and how long it takes the other times."""
    on_it = replace(given, settings=given.settings.model_copy(update={"device": device}))
    done: list[Outcome] = []
    while len(done) < MOST_ROUNDS and sum(one.seconds for one in done) < MOST_SECONDS:
        done.append(train_round(on_it))
    return done[0], statistics.median(one.seconds for one in done[1:] or done)


def compared(name: str, device: str | None) -> dict[str, object]:
    """Return the seconds of a network's round on the processor and, if there is one, on the device."""
    given = a_round(*NETWORKS[name])
    outcome, on_processor = seconds(given, "cpu")
    (trained,) = outcome.trained
    told: dict[str, object] = {
        "parameters": sum(array.size for array in trained.weights.values()),
        "steps": trained.steps,
        "cpu_seconds": round(on_processor, 3),
        "cpu_loss": round(outcome.training_loss, 4),
    }
    if device is not None:
        counted = torch.cuda if torch.device(device).type == "cuda" else None
        if counted is not None:
            counted.reset_peak_memory_stats(device)
        outcome, on_device = seconds(given, device)
        told |= {
            "device_seconds": round(on_device, 3),
            "device_first_seconds": round(outcome.seconds, 3),
            "device_loss": round(outcome.training_loss, 4),
            "device_to_cpu": round(on_device / on_processor, 4),
            "device_peak_mib": None if counted is None else round(counted.max_memory_allocated(device) / 2**20, 1),
        }
    return told


def usable(device: str) -> str | None:
    """Return why a device cannot be used, None if it can."""
    try:
        torch.ones(1, device=device).item()
    except Exception as error:  # noqa: BLE001 - each kind of device has errors of its own
        return f"{type(error).__name__}: {str(error).partition('. ')[0]}"
    return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="as train.device names it")
    parser.add_argument("--only", choices=NETWORKS, action="append", help="networks to measure, by default all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = usable(given.device)
    if problem is not None:
        print(f"there is no {given.device} here ({problem}); only the processor is measured")
    figures: dict[str, object] = {}
    for name in given.only or NETWORKS:
        figures[name] = compared(name, None if problem else given.device)
        print(f"{name}: {figures[name]}", flush=True)
    told = {"torch": torch.__version__, "device": None if problem else given.device, "problem": problem}
    if problem is None and torch.device(given.device).type == "cuda":
        told["name"] = torch.cuda.get_device_name(given.device)
    print(json.dumps(told | {"rounds": figures}))


if __name__ == "__main__":
    main()
