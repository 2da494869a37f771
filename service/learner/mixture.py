"""Who of a portfolio is heard how much, from how each predicted what arrived; and when the error has jumped."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.learner.jump import BLOCK_EVENTS, JumpTest
from service.records import BoolArray, FloatArray
from service.settings import Train

LARGEST_LOSS = 4.0
"""What one event adds to a member's record at most, in nats: an outlier must not decide who predicts."""

NEVER = 10**9
"""So many events ago was a jump that there never was."""

FIRST_HANDICAP = 40.0
LARGEST_HANDICAP = 60.0
"""Nats that members which do not forget at jumps begin with behind those that do, once there was one."""

USUAL_ERROR_COUNTS = 0.5
"""What an absolute error as large as is usual counts as, in nats."""

LARGEST_RISE = 10.0
"""So many times the usual error is the most that one event counts: a wild label must not hide what comes next."""

LEAST_PROBABILITY = 1e-3
LEAST_SHARE = 1e-12
"""What a probability and a share count as at least, where their logarithm is taken."""


class Mixture:
    """The shares of M members, in order.

    A share is ``exp(-mixture_rate * L)``, scaled to add up to one, where L is the member's loss on arriving events
    summed up, each before it was learnt, and faded by ``1 - 1 / mixture_events`` an event: the exponentially weighted
    forecaster, with forgetting so that a member that is right again is heard again (Herbster & Warmuth 1998).
    In a regression a loss is an absolute error, told by how large errors usually are: Laplace's log-loss, tempered.

    When the error jumps, all losses are forgotten, and members that forget at jumps (``quick`` [M]) are heard first:
    the others begin behind by a handicap. It is learnt, half of it from how much worse than the quick ones the others
    did on the block after the last jump. ``since_jump`` counts learnable events.
    """

    def __init__(self, settings: Train, quick: Sequence[bool], holdout_share: float, *, binary: bool) -> None:
        self._settings = settings
        self._quick: BoolArray = np.array(quick, dtype=np.bool_)
        self._learnable_share = 1 - holdout_share
        self._binary = binary
        self._test = JumpTest(settings.jump_deviations, binary=binary)
        self.losses: FloatArray = np.zeros(len(quick))
        self.since_jump = NEVER
        self.handicap = FIRST_HANDICAP
        self._usual_error = 0.0
        self._watched = 0
        self._lost = 0.0

    @property
    def shares(self) -> FloatArray:
        """Each member's share [M]."""
        weights = np.exp(-self._settings.mixture_rate * (self.losses - self.losses.min()))
        shares: FloatArray = weights / weights.sum()
        return shares

    def credit(self, errors: FloatArray, losses: FloatArray) -> None:
        """Take note of the mixture's errors [n] and of each member's losses [M, n] on arriving events.

        Losses are log-losses in nats, in a regression absolute errors in any unit.
        """
        events = losses.shape[1]
        fade = 1 - 1 / self._settings.mixture_events
        faded = fade ** np.arange(events - 1, -1, -1)
        if not self._binary:
            losses = self._to_nats(losses, fade**events)
            errors = np.fmin(errors, LARGEST_RISE * self._usual_error or np.inf)
        bounded = np.nan_to_num(np.minimum(losses, LARGEST_LOSS), nan=LARGEST_LOSS)
        self._watch(bounded)
        ago = self._test.add(errors)
        if ago is None:
            self.losses = self.losses * fade**events + bounded @ faded
            return
        # What is true now came with the block in which it showed; those of the batch are yet to be admitted.
        self.since_jump = round((ago + BLOCK_EVENTS - events) * self._learnable_share)
        self.losses = bounded[:, events - ago :] @ faded[events - ago :]
        if self._some:
            self.losses = self.losses + self.handicap * ~self._quick * fade**ago
            self._watched, self._lost = BLOCK_EVENTS, 0.0

    def jump(self) -> None:
        """Forget all losses: it is known that what was true is so no more, and that what is comes from here on."""
        self._test = JumpTest(self._settings.jump_deviations, binary=self._binary)
        self.since_jump = 0
        self.losses = np.where(self._quick, 0.0, self.handicap) if self._some else np.zeros(len(self._quick))
        self._watched, self._lost = BLOCK_EVENTS * self._some, 0.0

    def admitted(self, learnable: int) -> None:
        """Take note that so many events, newer than all before, may be learnt from."""
        self.since_jump = min(self.since_jump + learnable, NEVER)

    def follow(self, shares: FloatArray) -> None:
        """Take over the shares [M] of a model that serves."""
        rate = self._settings.mixture_rate
        self.losses = -np.log(np.maximum(shares, LEAST_SHARE)) / rate if rate else np.zeros(len(shares))

    @property
    def _some(self) -> bool:
        """Whether some members forget at jumps, and others do not."""
        return 0 < int(self._quick.sum()) < len(self._quick)

    def _to_nats(self, errors: FloatArray, kept: float) -> FloatArray:
        """Return absolute errors [M, n] by how large they usually are, of which ``kept`` is the share of before."""
        each = np.median(np.where(np.isnan(errors), np.inf, errors), axis=0)
        each = each[np.isfinite(each)]
        if len(each):
            most = LARGEST_RISE * (self._usual_error or float(np.median(each)))
            mean = float(np.minimum(each, most or np.inf).mean())
            self._usual_error = kept * self._usual_error + (1 - kept) * mean if self._usual_error else mean
        return USUAL_ERROR_COUNTS * errors / (self._usual_error or 1.0)

    def _watch(self, losses: FloatArray) -> None:
        """Learn the handicap from the block after a jump: what it was worth to forget."""
        if not self._watched:
            return
        right = np.exp(-losses[:, : self._watched])
        quick, slow = right[self._quick].mean(axis=0), right[~self._quick].mean(axis=0)
        ratio = np.maximum(quick, LEAST_PROBABILITY) / np.maximum(slow, LEAST_PROBABILITY)
        self._lost += float(np.log(ratio).sum())
        self._watched -= right.shape[1]
        if not self._watched:
            self.handicap = (self.handicap + min(max(self._lost, 0.0), LARGEST_HANDICAP)) / 2

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what ``restore`` needs, as plain values; losses are told by ``names``."""
        return {
            "losses": dict(zip(names, self.losses.tolist(), strict=True)),
            "test": self._test.to_json(),
            "since_jump": self.since_jump,
            "handicap": [self.handicap, self._watched, self._lost],
            "usual_error": self._usual_error,
        }

    def restore(self, value: Mapping[str, Any], names: Sequence[str]) -> None:
        """Go on from what ``to_json`` told; a member that was not there yet counts as the worst."""
        known: Mapping[str, float] = value["losses"]
        worst = max((known[name] for name in names if name in known), default=0.0)
        self.losses = np.array([known.get(name, worst) for name in names])
        self._test = JumpTest.from_json(value["test"], self._settings.jump_deviations, binary=self._binary)
        self.since_jump = int(value["since_jump"])
        self.handicap, self._watched, self._lost = value["handicap"]
        self._usual_error = float(value.get("usual_error", 0.0))  # a former version had none
