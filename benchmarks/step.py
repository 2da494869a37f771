"""What one optimiser step of four networks side by side costs: gradients by hand, by autograd, and by torch.func.

The networks, batch and optimiser are the default portfolio's, on eight numbers; one core, median of seven turns of 200
steps, the three taking turns. Prints microseconds a step, and ratios to the first.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from service.model.network import Perceptrons
from service.settings import Settings
from service.train.losses import clipped, with_gradient
from service.train.optimiser import AdamW, Moments

MEMBERS, FEATURES, LABELS = 4, 8, 2
TURNS, STEPS = 7, 200
TRAIN = Settings().train
HIDDEN, BATCH = TRAIN.model.hidden, TRAIN.batch_size
LARGEST_GRADIENT = 5.0

Step = Callable[[], None]


def data() -> tuple[Tensor, Tensor, Tensor]:
    """Return features [M, n, F], no codes, and targets [M, n]."""
    torch.manual_seed(0)
    features = torch.randn(MEMBERS, BATCH, FEATURES)
    return features, torch.zeros(MEMBERS, BATCH, 0, dtype=torch.int64), (features.sum(dim=2) > 0).long()


def adamw(weights: Tensor) -> AdamW:
    """Return the portfolio's optimiser for weights [M, P]."""
    moments = Moments(torch.zeros_like(weights), torch.zeros_like(weights), torch.zeros(MEMBERS))
    return AdamW(weights, moments, torch.full((MEMBERS,), 3e-3), TRAIN.weight_decay, TURNS * STEPS + STEPS)


def by_hand() -> Step:
    """What a round does."""
    members = Perceptrons(MEMBERS, {"numbers": FEATURES}, ((), 0), HIDDEN, LABELS)
    weights, _ = members.join(members.names())
    optimiser = adamw(weights)
    features, codes, targets = data()

    def step() -> None:
        with torch.inference_mode():
            out = members.answer(features, codes)
            _, gradient = with_gradient(out, targets, "binary", TRAIN.label_smoothing)
            optimiser.step(clipped(members.blame(gradient), LARGEST_GRADIENT))

    return step


def by_autograd() -> Step:
    """The same batched products on the same matrix of weights, differentiated by autograd."""
    widths = list(itertools.pairwise((FEATURES, *HIDDEN, LABELS)))
    weights = torch.randn(MEMBERS, sum((before + 1) * after for before, after in widths)) / 10
    optimiser = adamw(weights.detach())
    weights.requires_grad_()
    features, _, targets = data()

    def step() -> None:
        parts = weights.split([size for before, after in widths for size in (before * after, after)], dim=1)
        hidden = features
        for index, (before, after) in enumerate(widths):
            weight, bias = parts[2 * index].view(MEMBERS, before, after), parts[2 * index + 1].view(MEMBERS, 1, after)
            hidden = torch.baddbmm(bias, hidden if index == 0 else hidden.relu(), weight)
        out = hidden.transpose(1, 2)
        told = nn.functional.cross_entropy(out, targets, label_smoothing=TRAIN.label_smoothing) * MEMBERS
        (gradient,) = torch.autograd.grad(told, weights)
        optimiser.step(clipped(gradient, LARGEST_GRADIENT))

    return step


def by_torch_func() -> Step:
    """One network's loss, differentiated and mapped over the stacked weights of all."""
    features, _, targets = data()
    layers: list[nn.Module] = []
    for before, after in zip((FEATURES, *HIDDEN), (*HIDDEN, LABELS), strict=True):
        layers += [nn.Linear(before, after), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    stack, _ = torch.func.stack_module_state([network] * MEMBERS)
    state = {name: one.detach().clone() for name, one in stack.items()}
    optimisers = {name: adamw(one.view(MEMBERS, -1)) for name, one in state.items()}

    def loss(own: dict[str, Tensor], inputs: Tensor, wanted: Tensor) -> Tensor:
        out = torch.func.functional_call(network, own, (inputs,))
        return nn.functional.cross_entropy(out, wanted, label_smoothing=TRAIN.label_smoothing)

    slopes = torch.func.vmap(torch.func.grad(loss))

    def step() -> None:
        for name, gradient in slopes(state, features, targets).items():
            optimisers[name].step(clipped(gradient.reshape(MEMBERS, -1), LARGEST_GRADIENT))

    return step


def main() -> None:
    """Print what a step costs."""
    torch.set_num_threads(1)
    steps = {"by hand": by_hand(), "autograd": by_autograd(), "torch.func": by_torch_func()}
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(TURNS):
        for name, step in steps.items():
            step()
            began = time.process_time()
            for _ in range(STEPS - 1):
                step()
            took[name].append((time.process_time() - began) / (STEPS - 1) * 1e6)
    told = {name: round(statistics.median(times)) for name, times in took.items()}
    print(
        json.dumps({"microseconds": told, "ratio": {name: round(us / told["by hand"], 2) for name, us in told.items()}})
    )


if __name__ == "__main__":
    main()
