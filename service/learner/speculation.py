"""Speculative learning: under suspicion rounds go on, nothing is published, and all of it can be rolled back.

A suspicion is noticed some events late, so states of before are kept at hand: the learners go back to one that had seen
none of the events that led to it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from service.learner.fates import Moment
from service.learner.kept import Kept
from service.observer import Observer
from service.records import Examples, Scores
from service.settings import Settings
from service.train.round import Arrays, below, under
from service.validate.guessing import comparable
from service.validate.learnable import MOST_EVENTS, signal
from service.validate.suspicion import REACH, Suspicion, Told, Turn
from service.window.rings import arrays_of, examples_of

if TYPE_CHECKING:
    from service.learner.learner import Learner


class Speculation:
    """Keeps states to go back to, and goes back to one when what came after it was noise.

    While a suspicion lasts, rounds that end wait for its end to be counted: as rejected, or as rolled back.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._suspicion = Suspicion(settings.gate)
        self._recent: Examples | None = None
        self._before: list[Kept] = []
        self._kept: Kept | None = None
        self._onset = 0
        self._began: dict[int, int] = {}
        self._rounds = 0
        self._turns: list[dict[str, Any]] = []

    @property
    def holds(self) -> bool:
        """Whether nothing may be published."""
        return self._suspicion.holds

    @property
    def phase(self) -> str:
        """Where a suspicion stands: clear, suspected or confirming."""
        return self._suspicion.phase

    def take_turns(self) -> list[dict[str, Any]]:
        """Return what has happened since the last call, as plain values, for the journal."""
        taken, self._turns = self._turns, []
        return taken

    def look(self, learner: "Learner", arrived: Examples, roles: Mapping[str, Scores]) -> bool:
        """Follow how arriving events were predicted; return whether they may be learnt."""
        gate, task = self._settings.gate, self._settings.task
        if not gate.enabled or "champion" not in roles:
            return True
        self._forget_old(learner.counts["accepted"])
        compared = {
            role: comparable(task, roles[role]) for role in ("champion", "baseline", "challenger") if role in roles
        }
        seen = arrived if self._recent is None else Examples.concatenate([self._recent, arrived])
        earlier, self._recent = len(seen) - len(arrived), seen.take(slice(-MOST_EVENTS, None))

        def learnable(events: int, until: int) -> float:
            return signal(task, seen.take(slice(max(earlier + until - min(events, MOST_EVENTS), 0), earlier + until)))

        told = Told(compared["champion"], compared["baseline"], compared.get("challenger"), learnable)
        turns = self._suspicion.look(told)
        admitted = True
        for turn in turns:
            rolled_back = 0
            if turn.what == "entered":
                noticed = learner.counts["accepted"] + turn.after_events
                self._onset = noticed - turn.onset_events
                self._kept = self._newest_before(learner, self._onset)
            elif turn.what == "noise":
                rolled_back = self._roll_back(learner, len(roles["champion"]) if admitted else 0)
                admitted = False
            elif turn.what in ("changed", "expired"):
                self._release(learner, "rejected")
            self._note(learner, turn, rolled_back)
        return admitted

    def round_began(self, number: int, accepted: int) -> None:
        """Note what the newest rounds have learnt from: nothing beyond so many accepted events."""
        self._began = {**dict(list(self._began.items())[-2:]), number: accepted}

    def round_judged(self) -> None:
        """Note that a round has ended under suspicion."""
        self._rounds += 1

    def remember(self, learner: "Learner") -> None:
        """Keep the present state at hand; to be called whenever what learns or serves has changed."""
        if not self._settings.gate.enabled or learner.roles.champion is None or self.holds:
            return
        newest = (
            self._before.pop() if self._before and self._before[-1].accepted == learner.counts["accepted"] else None
        )
        self._before.append(Kept.of(learner, newest.holdings if newest else None))
        self._forget_old(learner.counts["accepted"])

    def chosen_by_hand(self, learner: "Learner") -> None:
        """Note that a checkpoint of somebody else's choice serves: lineages go on from it, rolled back or not."""
        if self._kept is not None:
            self._kept = self._kept.restarted(learner)
        self._before.clear()
        self.remember(learner)

    def published(self, learner: "Learner", number: int) -> None:
        """Note that what a round brought serves; it was on its way when a suspicion began, if there is one."""
        if self._kept is not None and self._began.get(number, self._onset + 1) > self._onset:
            self._suspicion.serving_changed()
        self.remember(learner)

    def reversible_to(self, accepted: int) -> Moment | None:
        """Return the earliest moment that learning may go back to, None if what is learnt is learnt."""
        if self._kept is not None:
            return self._kept.moment
        self._forget_old(accepted)
        return self._before[0].moment if self._before else None

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all as arrays and plain values, for ``restore``."""
        arrays: Arrays = {}
        states = []
        for index, one in enumerate(self._before if self._kept is None else [self._kept]):
            columns, state = one.capture()
            arrays |= under(str(index), columns)
            states.append(state)
        arrays |= under("recent", arrays_of(self._recent)) if self._recent is not None else {}
        meta = {"suspicion": self._suspicion.to_json(), "rounds": self._rounds, "onset": self._onset, "states": states}
        return arrays, meta

    def restore(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Go on from what was captured, with a suspicion if there was one."""
        self._suspicion = Suspicion.from_json(self._settings.gate, meta["suspicion"])
        self._rounds, self._onset = int(meta["rounds"]), int(meta["onset"])
        recent = below("recent", arrays)
        self._recent = examples_of(recent) if recent else None
        states = [Kept.restored(below(str(index), arrays), state) for index, state in enumerate(meta["states"])]
        self._kept, self._before = (states[0], []) if self.holds else (None, states)
        self._observer.speculating(active=self.holds)

    def _newest_before(self, learner: "Learner", onset: int) -> Kept:
        """Return the newest state of before so many events were accepted, else the oldest there is."""
        if learner.counts["accepted"] <= onset or not self._before:
            return Kept.of(learner)
        return next((one for one in reversed(self._before) if one.accepted <= onset), self._before[0])

    def _roll_back(self, learner: "Learner", arriving: int) -> int:
        """Go back; return how many events that undoes, the arriving ones included."""
        if self._kept is None:
            raise RuntimeError("there is nothing to go back to")
        kept = self._kept
        kept.put_back(learner)
        self._release(learner, "rolled_back")
        return learner.counts["accepted"] - kept.accepted + arriving

    def _release(self, learner: "Learner", outcome: str) -> None:
        self._kept = None
        self._before.clear()
        learner.outcomes[outcome] += self._rounds
        for _ in range(self._rounds):
            self._observer.round_ended(outcome)
        self._rounds = 0
        self.remember(learner)

    def _note(self, learner: "Learner", turn: Turn, rolled_back: int) -> None:
        self._observer.suspected(turn.what)
        told = {"what": turn.what, "accepted": learner.counts["accepted"] + turn.after_events, "numbers": turn.numbers}
        self._turns.append(told | ({"events_rolled_back": rolled_back} if turn.what == "noise" else {}))

    def _forget_old(self, accepted: int) -> None:
        """Drop what no suspicion would go back to, and what is so old that too much would be kept open for it."""
        gate = self._settings.gate
        while len(self._before) > 1 and self._before[1].accepted <= accepted - REACH * gate.suspicion_events:
            self._before.pop(0)
        if self._before and self._before[0].accepted < accepted - gate.speculation_max_events:
            self._before.pop(0)
