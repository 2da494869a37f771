"""Our AdamW moves each member as torch's AdamW would, and can be taken apart and put together between any two steps."""

import subprocess
import sys

import torch
from torch import Tensor

from service.train.optimiser import AdamW, Moments

RATES = torch.tensor([0.01, 0.1])


def gradients(weights: Tensor, seed: int) -> Tensor:
    """Return gradients [2, 5] of some loss."""
    return weights + torch.randn(2, 5, generator=torch.Generator().manual_seed(seed))


def test_it_moves_members_as_torch_does_across_a_restart() -> None:
    """Five steps of two members with their own step sizes, taken apart after the second, equal torch.optim.AdamW's."""
    weights = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    theirs = [row.clone().requires_grad_() for row in weights]
    rates = RATES.tolist()
    references = [torch.optim.AdamW([row], lr=one, weight_decay=0.1) for row, one in zip(theirs, rates, strict=True)]
    moments = Moments(torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(2))
    optimiser = AdamW(weights, moments, RATES, weight_decay=0.1, steps=5)
    for seed in range(5):
        for row, grad in zip(theirs, gradients(torch.stack([one.detach() for one in theirs]), seed), strict=True):
            row.grad = grad
        optimiser.step(gradients(weights, seed))
        for reference in references:
            reference.step()
        if seed == 1:
            kept = optimiser.moments
            again = Moments(kept.mean.clone(), kept.square.clone(), kept.steps.clone())
            optimiser = AdamW(weights, again, RATES, weight_decay=0.1, steps=5)
    torch.testing.assert_close(weights, torch.stack([one.detach() for one in theirs]))


def test_members_may_have_seen_different_numbers_of_steps() -> None:
    """One that begins anew moves as a new one does, beside one that goes on."""
    weights, alone = torch.ones(2, 3), torch.ones(1, 3)
    moments = Moments(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([0.0, 50.0]))
    AdamW(weights, moments, RATES, 0.0, 1).step(torch.ones(2, 3))
    AdamW(alone, Moments(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1)), RATES[:1], 0.0, 1).step(
        torch.ones(1, 3)
    )
    torch.testing.assert_close(weights[:1], alone)


def test_a_round_does_not_load_the_compiler() -> None:
    """torch.optim's classes would cost every worker seconds at its first step."""
    script = (
        "import sys\n"
        "from service.train.fit import train_round\n"
        "from tests.examples import learner_of, separable\n"
        "learner = learner_of()\n"
        "learner.absorb(separable(100))\n"
        "train_round(learner.begin_round('first_events', 0.0))\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
