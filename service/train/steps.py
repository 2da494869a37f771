"""Training by steps: members of one architecture, moved together by AdamW."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.members import Members, Weights, put_together, taken_apart
from service.settings import Strategy, Task, Train
from service.train.losses import clipped, distilled, losses, with_gradient
from service.train.material import Batches, Material
from service.train.optimiser import AdamW, Moments
from service.train.round import Arrays, Challenger, Trained
from service.train.strategy import frozen_parts, trained_parameters

LARGEST_GRADIENT = 5.0
"""Norm to which a member's gradients are clipped: one mislabelled outlier does not undo a lineage."""

CHUNK_ROWS = 4_096

Beat = Callable[[], None]


class Stepwise:
    """M challengers of one architecture: joined weights [M, P], their moments, and what pulls on them.

    ``start`` are the weights that each begins with, which ``members`` have already; ``anchors`` those that L2-SP pulls
    each towards, None for no pull; ``strategy`` says what of them is trained, in at most ``steps``.
    """

    def __init__(
        self,
        settings: Train,
        task: Task,
        members: Members,
        challengers: Sequence[Challenger],
        start: Sequence[Weights],
        anchors: Sequence[Weights] | None,
        strategy: Strategy,
        steps: int,
    ) -> None:
        self._settings, self._task, self._steps = settings, task, steps
        self._members, self._challengers, self._start = members, challengers, start
        trained = trained_parameters(members.names(), strategy)
        self._weights, self._layout = members.join(trained)
        self._frozen = [part for one in members.modules() for part in frozen_parts(one, trained)]
        self._average = self._averages() if settings.averaging else None
        rates = torch.tensor([one.recipe.learning_rate for one in challengers])
        self._optimiser = AdamW(self._weights, self._moments(), rates, settings.weight_decay, steps, members.mask)
        self._anchor = None if anchors is None else self._rows(anchors, self._weights)

    def run(self, batches: Batches, beat: Beat) -> list[Trained]:
        """Take the steps; one who does not stay finite is told by having no loss."""
        settings, steps = self._settings, self._steps
        rows = batches.rows_for([one.recipe for one in self._challengers], steps)
        material = batches.all.seen_by(self._members)
        former = self._answers(batches.all.rows) if settings.distillation else None
        best = _Best(self._weights, self._held_losses(batches), settings.stopping_patience)
        told: list[Tensor] = []
        for step in range(1, steps + 1):
            told.append(self._step(material, rows[step - 1], former))
            beat()
            checked = step % settings.stopping_every_steps == 0 or step == steps
            if checked and (best.enough(self._weights, self._held_losses(batches)) or not told[-1].isfinite().any()):
                break
        if self._average is None:
            self._weights.copy_(best.weights)
        recent = torch.stack(told[-settings.stopping_every_steps :]).mean(dim=0)
        alive = torch.isfinite(self._weights).all(dim=1) & torch.isfinite(recent)
        after = self._members.members()
        return [
            self._trained(index, after[index], len(told), float(recent[index]), best)
            if alive[index]
            else Trained(one.name, dict(self._start[index]), {}, len(told), None, None)
            for index, one in enumerate(self._challengers)
        ]

    def _step(self, material: Material, rows: Tensor, former: Tensor | None) -> Tensor:
        settings = self._settings
        self._members.learning(on=True)
        for part in self._frozen:
            part.eval()
        inputs, targets = material.take(rows)
        out = self._members.answer(*inputs)
        each, gradient = with_gradient(out, targets, self._task, settings.label_smoothing)
        if former is not None:
            own = former.gather(2, rows[:, None].expand(-1, former.shape[1], -1))
            gradient += settings.distillation * distilled(out, own, self._task)
        gradients = self._members.blame(gradient)
        if self._anchor is not None:
            pull = self._weights - self._anchor
            gradients.add_(pull if self._members.mask is None else pull * self._members.mask, alpha=settings.anchor)
        self._optimiser.step(clipped(gradients, LARGEST_GRADIENT))
        if self._average is not None:
            self._average.lerp_(self._weights, 1 - settings.averaging)
        return each

    def _held_losses(self, batches: Batches) -> Tensor | None:
        held = batches.held
        if not len(held):
            return None
        out = self._answers(held.rows)
        return losses(out, held.targets.expand(len(out), -1), self._task)

    def _answers(self, rows: tuple[Tensor, ...]) -> Tensor:
        """Return what each member answers now [M, outputs, rows], in pieces: a network of one's own may need memory."""
        with torch.inference_mode():
            self._members.learning(on=False)
            parts = [
                self._members(*(part[begin : begin + CHUNK_ROWS] for part in rows))
                for begin in range(0, len(rows[0]), CHUNK_ROWS)
            ]
        return torch.cat(parts, dim=2).clone()

    def _trained(self, index: int, after: Weights, steps: int, loss: float, best: "_Best") -> Trained:
        moments = self._optimiser.moments
        parts = {"mean": moments.mean[index], "square": moments.square[index]}
        if self._average is not None:
            # The average is what predicts; the weights that training goes on from travel with the moments.
            parts["raw"] = self._weights[index]
            after = after | taken_apart(self._average[index], self._layout)
        kept: Arrays = {
            f"{name}:{kind}": array
            for kind, part in parts.items()
            for name, array in taken_apart(part, self._layout).items()
        }
        kept["steps"] = moments.steps[index].numpy().copy()
        stopping = None if best.losses is None else float(best.losses[index])
        return Trained(self._challengers[index].name, after, kept, steps, loss, stopping)

    def _moments(self) -> Moments:
        given = [one.moments for one in self._challengers]
        zero = torch.zeros_like(self._weights)
        return Moments(
            mean=self._rows([_of_kind(one, "mean") for one in given], zero),
            square=self._rows([_of_kind(one, "square") for one in given], zero),
            steps=torch.tensor([float(one.get("steps", 0.0)) for one in given]),
        )

    def _averages(self) -> Tensor:
        """Return the weights that predict, an exponential average of those that are trained (Polyak & Juditsky 1992).

        The latter go on from where the last round left them.
        """
        average = self._weights.clone()
        self._weights.copy_(self._rows([_of_kind(one.moments, "raw") for one in self._challengers], average))
        return average

    def _rows(self, arrays: Sequence[Mapping[str, NDArray[Any]]], otherwise: Tensor) -> Tensor:
        """Return each member's arrays as a row [M, P]; where one is absent, ``otherwise`` [M, P] shows through."""
        return torch.stack([put_together(own, self._layout, otherwise[index]) for index, own in enumerate(arrays)])


class _Best:
    """Early stopping: each member's weights with the lowest loss on the stopping split, and when to give up."""

    def __init__(self, weights: Tensor, losses_: Tensor | None, patience: int) -> None:
        self.losses = losses_
        self.weights = weights.clone() if losses_ is not None else weights
        self._patience = patience
        self._worse = torch.zeros(len(weights))

    def enough(self, weights: Tensor, losses_: Tensor | None) -> bool:
        """Look at the present weights; return whether no member has improved for long."""
        if losses_ is None or self.losses is None:
            return False
        better = losses_ < self.losses
        self.losses = torch.where(better, losses_, self.losses)
        self.weights[better] = weights[better]
        self._worse = torch.where(better, 0.0, self._worse + 1)
        return bool((self._worse >= self._patience).all())


def _of_kind(moments: Mapping[str, NDArray[Any]], kind: str) -> Weights:
    return {name.removesuffix(f":{kind}"): array for name, array in moments.items() if name.endswith(f":{kind}")}
