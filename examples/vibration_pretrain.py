"""Pre-trains the network as anybody would, without Freshet: `python -m examples.vibration_pretrain HISTORY WEIGHTS`."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from examples.vibration import Convolutions

LABELS = ("sound", "worn")
"""In the order of the outputs: schema.labels lists them likewise."""


def pretrain(history: Path, weights: Path, *, steps: int = 200, seed: int = 0) -> None:
    """Train on a file of signals, and write the weights as safetensors."""
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    signals = torch.tensor([row["signal"] for row in rows])
    states = torch.tensor([LABELS.index(row["state"]) for row in rows])
    torch.manual_seed(seed)
    network = Convolutions(len(LABELS))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        batch = torch.randint(len(rows), (64,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(signals[batch]), states[batch]).backward()
        optimiser.step()
    save_file(network.state_dict(), weights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("history", type=Path)
    parser.add_argument("weights", type=Path)
    given = parser.parse_args()
    pretrain(given.history, given.weights)
