"""Training by steps: members of one architecture, moved together by AdamW."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.members import Layout, Members, Weights, layout_of, put_together, taken_apart
from service.settings import Strategy, Task, Train
from service.train.device import Beat
from service.train.losses import clipped, distilled, losses, with_gradient
from service.train.material import Batches
from service.train.optimiser import AdamW, Moments
from service.train.round import Challenger, Trained
from service.train.strategy import frozen_parts, trained_parameters

LARGEST_GRADIENT = 5.0
"""Norm to which a member's gradients are clipped: one mislabelled outlier does not undo a lineage."""

CHUNK_ROWS = 4_096


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
        moments, self._average = self._remembered()
        rates = torch.tensor([one.recipe.learning_rate for one in challengers], device=self._weights.device)
        self._optimiser = AdamW(self._weights, moments, rates, settings.weight_decay, steps, members.mask)
        self._anchor = None if anchors is None else _rows(anchors, self._layout, self._weights)

    def run(self, batches: Batches, beat: Beat) -> list[Trained]:
        """Take the steps; one who does not stay finite is told by having no loss."""
        settings, steps = self._settings, self._steps
        drawn = batches.rows_for([one.recipe for one in self._challengers], steps)
        material = batches.all.seen_by(self._members)
        former = self._answers(batches.all.rows) if settings.distillation else None
        best = _Best(self._weights, self._held_losses(batches), settings.stopping_patience)
        told: list[Tensor] = []
        for step, (rows, targets) in enumerate(zip(drawn, material.targets[drawn], strict=True), 1):
            own = None if former is None else former.gather(2, rows[:, None].expand(-1, former.shape[1], -1))
            told.append(self._step(material.take(rows), targets, own))
            beat()
            checked = step % settings.stopping_every_steps == 0 or step == steps
            if checked and (
                best.enough(self._weights, self._held_losses(batches)) or not told[-1].mean(dim=1).isfinite().any()
            ):
                break
        if self._average is None:
            self._weights.copy_(best.weights)
        recent = torch.stack(told[-settings.stopping_every_steps :]).mean(dim=(0, 2))
        alive = torch.isfinite(self._weights).all(dim=1) & torch.isfinite(recent)
        after, kept = self._members.members(), self._to_remember()
        if self._average is not None:
            # The average is what predicts; the weights that training goes on from travel with the moments.
            averages = [taken_apart(row, self._layout) for row in self._average.cpu()]
            after = [own | average for own, average in zip(after, averages, strict=True)]
        stopping = [None] * len(after) if best.losses is None else best.losses.tolist()
        return [
            Trained(one.name, after[index], kept[index], len(told), float(recent[index]), stopping[index])
            if alive[index]
            else Trained(one.name, dict(self._start[index]), {}, len(told), None, None)
            for index, one in enumerate(self._challengers)
        ]

    def _step(self, inputs: tuple[Tensor, ...], targets: Tensor, former: Tensor | None) -> Tensor:
        """Take one step; return each member's loss of each event [M, batch]."""
        settings = self._settings
        self._members.learning(on=True)
        for part in self._frozen:
            part.eval()
        out = self._members.answer(*inputs)
        each, gradient = with_gradient(out, targets, self._task, settings.label_smoothing)
        if former is not None:
            gradient += settings.distillation * distilled(out, former, self._task)
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
        return losses(out, held.targets.expand(len(out), -1), self._task).mean(dim=1)

    def _answers(self, rows: tuple[Tensor, ...]) -> Tensor:
        """Return what each member answers now [M, outputs, rows], in pieces: a network of one's own may need memory."""
        with torch.inference_mode():
            self._members.learning(on=False)
            parts = [
                self._members(*(part[begin : begin + CHUNK_ROWS] for part in rows))
                for begin in range(0, len(rows[0]), CHUNK_ROWS)
            ]
        return torch.cat(parts, dim=2).clone()

    def _remembered(self) -> tuple[Moments, Tensor | None]:
        """Return what the challengers remember of former rounds, and with ``averaging`` the weights that predict.

        These are an exponential average of those that are trained (Polyak & Juditsky 1992), which go on from where the
        last round left them.
        """
        zero = torch.zeros_like(self._weights)
        raw = [self._weights] if self._settings.averaging else []
        begin = torch.cat([zero, zero, *raw, zero[:, :1]], dim=1)
        self._memory = _memory_layout(self._layout, ("mean", "square", "raw")[: 2 + len(raw)])
        state = _rows([one.moments for one in self._challengers], self._memory, begin)
        mean, square, *trained = (part.contiguous() for part in torch.tensor_split(state[:, :-1], 2 + len(raw), dim=1))
        average = self._weights.clone() if raw else None
        for part in trained:
            self._weights.copy_(part)
        return Moments(mean, square, state[:, -1].contiguous()), average

    def _to_remember(self) -> list[Weights]:
        """Return what each challenger is to remember of this round, by parameter and kind."""
        moments = self._optimiser.moments
        raw = [] if self._average is None else [self._weights]
        state = torch.cat([moments.mean, moments.square, *raw, moments.steps[:, None]], dim=1)
        return [taken_apart(row, self._memory) for row in state.cpu()]


class _Best:
    """Early stopping: each member's weights with the lowest loss on the stopping split, and when to give up."""

    def __init__(self, weights: Tensor, losses_: Tensor | None, patience: int) -> None:
        self.losses = losses_
        self.weights = weights.clone() if losses_ is not None else weights
        self._patience = patience
        self._worse = torch.zeros(len(weights), device=weights.device)

    def enough(self, weights: Tensor, losses_: Tensor | None) -> bool:
        """Look at the present weights; return whether no member has improved for long."""
        if losses_ is None or self.losses is None:
            return False
        better = losses_ < self.losses
        self.losses = torch.where(better, losses_, self.losses)
        self.weights[better] = weights[better]
        self._worse = torch.where(better, 0.0, self._worse + 1)
        return bool((self._worse >= self._patience).all())


def _memory_layout(layout: Layout, kinds: Sequence[str]) -> Layout:
    """Return where in a row lies what is remembered of each parameter, kind by kind, and the steps behind it."""
    shapes = {f"{name}:{kind}": shape for kind in kinds for name, (_, _, shape) in layout.items()}
    return layout_of(shapes | {"steps": torch.Size()})


def _rows(arrays: Sequence[Mapping[str, NDArray[Any]]], layout: Layout, otherwise: Tensor) -> Tensor:
    """Return each member's arrays as a row [M, P]; where one is absent, ``otherwise`` [M, P] shows through.

    They are put together where arrays are, and lie where ``otherwise`` does.
    """
    here = otherwise.cpu()
    rows = torch.stack([put_together(own, layout, here[index]) for index, own in enumerate(arrays)])
    return rows.to(otherwise.device)
