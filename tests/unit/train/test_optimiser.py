"""Our AdamW is torch's AdamW, and can be taken apart and put together between any two steps."""

import subprocess
import sys

import torch
from torch import nn

from service.train.optimiser import AdamW


def step(network: nn.Module, seed: int) -> None:
    """Put a gradient on every parameter."""
    torch.manual_seed(seed)
    network.zero_grad()
    network(torch.randn(8, 4)).square().mean().backward()


def test_it_moves_parameters_as_torch_does_across_a_restart() -> None:
    """Five steps, with the moments saved and restored after the second, equal five of torch.optim.AdamW."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    theirs = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    theirs.load_state_dict(ours.state_dict())
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1)
    optimiser = AdamW(ours, {}, learning_rate=0.01, weight_decay=0.1)
    for seed in range(5):
        step(ours, seed)
        step(theirs, seed)
        optimiser.step()
        reference.step()
        if seed == 1:
            optimiser = AdamW(ours, optimiser.moments(), learning_rate=0.01, weight_decay=0.1)
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


def test_a_step_does_not_load_the_compiler() -> None:
    """The reason for this module: torch.optim's classes cost every worker seconds at its first step."""
    script = (
        "import sys, torch\n"
        "from service.train.optimiser import AdamW\n"
        "network = torch.nn.Linear(2, 1)\n"
        "network(torch.ones(1, 2)).sum().backward()\n"
        "AdamW(network, {}, 0.1, 0.0).step()\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
