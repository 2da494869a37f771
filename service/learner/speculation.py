"""Speculative learning: under suspicion rounds go on, nothing is published, and all of it can be rolled back.

A suspicion is noticed some events late, so states of before are kept at hand: the learners go back to one that had seen
none of the events that led to it.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from service.learner.fates import Moment
from service.learner.kept import Kept
from service.learner.parts import Parts
from service.observer import Observer
from service.records import Examples, Scores
from service.settings import Settings
from service.train.round import Arrays, below, under
from service.validate.gate import judged
from service.validate.guessing import comparable
from service.validate.learnable import MOST_EVENTS, learnable_since, signal
from service.validate.suspicion import REACH, Suspicion, Told, Turn
from service.window.baseline import Baseline
from service.window.rings import arrays_of, examples_of

LATELY_EVENTS = 200
"""Guessing by what came lately remembers about so many events: half a burst, so that it knows its frequencies soon."""


class Speculation:
    """Keeps states to go back to, and goes back to one when what came after it was noise.

    While a suspicion lasts, rounds that end wait for its end to be counted: as rejected, or as rolled back.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._suspicion = Suspicion(settings.gate, settings.task)
        self._recent: Examples | None = None
        self._before: list[Kept] = []
        self._kept: Kept | None = None
        self._onset = 0
        self._lately = Baseline(settings.task, LATELY_EVENTS)
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

    def look(self, learner: Parts, arrived: Examples, roles: Mapping[str, Scores]) -> int:
        """Follow how arriving events were predicted; return how many, the first ones, are not to be learnt."""
        gate, task = self._settings.gate, self._settings.task
        if not gate.enabled or "champion" not in roles:
            return 0
        self._forget_old(learner.counts["accepted"])
        compared = {
            role: comparable(task, roles[role]) for role in ("champion", "baseline", "challenger") if role in roles
        }
        seen = arrived if self._recent is None else Examples.concatenate([self._recent, arrived])
        earlier, self._recent = len(seen) - len(arrived), seen.take(slice(-MOST_EVENTS, None))

        def learnable(events: int, until: int) -> float:
            return signal(task, seen.take(slice(max(earlier + until - min(events, MOST_EVENTS), 0), earlier + until)))

        def newest(until: int) -> int | None:
            return self._newest(learner, seen, earlier, until)

        lately = comparable(task, self._lately.score(arrived.targets, 0))
        told = Told(compared["champion"], compared["baseline"], compared.get("challenger"), learnable, lately, newest)
        turns = self._suspicion.look(told)
        undone = 0
        for turn in turns:
            rolled_back = 0
            if turn.what == "entered":
                noticed = learner.counts["accepted"] + turn.after_events
                self._onset = noticed - turn.onset_events
                self._kept = self._newest_before(learner, self._onset)
            elif turn.what == "noise":
                rolled_back = self._roll_back(learner) + len(arrived) - undone
                undone = len(arrived)
            elif turn.what == "changed":
                learner.triggers.concept_changed()
                begins = None if turn.learnt else self._begins(learner, seen, earlier, turn.after_events)
                if begins is None:
                    self._release(learner, "rejected")
                else:
                    rolled_back = self._roll_back(learner, seen.take(slice(begins, earlier)))
                    rolled_back += max(begins - earlier - undone, 0)
                    undone = max(begins - earlier, undone)
            elif turn.what == "expired":
                self._release(learner, "rejected")
            self._note(learner, turn, rolled_back)
        return undone

    def round_began(self, number: int, accepted: int) -> None:
        """Note what the newest rounds have learnt from: nothing beyond so many accepted events."""
        self._began = {**dict(list(self._began.items())[-2:]), number: accepted}

    def round_judged(self) -> None:
        """Note that a round has ended under suspicion."""
        self._rounds += 1

    def remember(self, learner: Parts) -> None:
        """Keep the present state at hand; to be called whenever what learns or serves has changed."""
        if not self._settings.gate.enabled or learner.roles.champion is None or self.holds:
            return
        newest = (
            self._before.pop() if self._before and self._before[-1].accepted == learner.counts["accepted"] else None
        )
        self._before.append(Kept.of(learner, newest.holdings if newest else None))
        self._forget_old(learner.counts["accepted"])

    def chosen_by_hand(self, learner: Parts) -> None:
        """Note that a checkpoint of somebody else's choice serves: lineages go on from it, rolled back or not."""
        if self._kept is not None:
            self._kept = self._kept.restarted(learner)
        self._before.clear()
        self.remember(learner)

    def published(self, learner: Parts, number: int) -> None:
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
        return arrays, {
            "suspicion": self._suspicion.to_json(),
            "rounds": self._rounds,
            "onset": self._onset,
            "lately": self._lately.to_json(),
            "states": states,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Go on from what was captured, with a suspicion if there was one."""
        self._suspicion = Suspicion.from_json(self._settings.gate, meta["suspicion"], self._settings.task)
        self._rounds, self._onset = int(meta["rounds"]), int(meta["onset"])
        if "lately" in meta:  # else saved before learners were compared with it
            self._lately = Baseline.from_json(self._settings.task, meta["lately"], LATELY_EVENTS)
        recent = below("recent", arrays)
        self._recent = examples_of(recent) if recent else None
        states = [Kept.restored(below(str(index), arrays), state) for index, state in enumerate(meta["states"])]
        self._kept, self._before = (states[0], []) if self.holds else (None, states)
        self._observer.speculating(active=self.holds)

    def _newest_before(self, learner: Parts, onset: int) -> Kept:
        """Return the newest state of before so many events were accepted, else the oldest there is."""
        if learner.counts["accepted"] <= onset or not self._before:
            return Kept.of(learner)
        return next((one for one in reversed(self._before) if one.accepted <= onset), self._before[0])

    def _begins(self, learner: Parts, seen: Examples, earlier: int, after: int) -> int | None:
        """Return where in ``seen`` a new concept begins, None if there was no noise before it.

        Of ``seen`` so many came ``earlier`` than the batch, and the change was noticed ``after`` so many of the batch.
        """
        if self._kept is None:
            return None
        newest = self._newest(learner, seen, earlier, after)
        undone = learner.counts["accepted"] - self._kept.accepted
        return None if newest is None else max(earlier + after - newest, earlier - undone)

    def _newest(self, learner: Parts, seen: Examples, earlier: int, after: int) -> int | None:
        """Return how many of the newest events can be learnt where those since the onset cannot, None if not so."""
        until = earlier + after
        since = min(learner.counts["accepted"] + after - self._onset, until)
        return learnable_since(self._settings.task, seen.take(slice(until - since, until)))

    def _roll_back(self, learner: Parts, again: Examples | None = None) -> int:
        """Go back, and admit the newest events anew, the first ones of a new concept; return how many are undone."""
        champion, kept = learner.roles.champion, self._kept
        if kept is None or champion is None:
            raise RuntimeError("there is nothing to go back to")
        kept.put_back(learner, len(again) if again is not None else 0)
        if again is not None:
            # What was true is so no more: who was right before says nothing.
            learner.evidence.forget()
            learner.portfolio.forget()
            learner.probation.end()
            learner.portfolio.mixture.jump()
            learner.admit(again, judged(self._settings.task, champion.model.score(again)))
        self._release(learner, "rolled_back")
        return learner.counts["accepted"] - kept.accepted - (len(again) if again is not None else 0)

    def _release(self, learner: Parts, outcome: str) -> None:
        self._kept = None
        self._before.clear()
        learner.outcomes[outcome] += self._rounds
        for _ in range(self._rounds):
            self._observer.round_ended(outcome)
        self._rounds = 0
        self.remember(learner)

    def _note(self, learner: Parts, turn: Turn, rolled_back: int) -> None:
        self._observer.suspected(turn.what)
        told = {"what": turn.what, "accepted": learner.counts["accepted"] + turn.after_events, "numbers": turn.numbers}
        self._turns.append(told | ({"events_rolled_back": rolled_back} if turn.what in ("noise", "changed") else {}))

    def _forget_old(self, accepted: int) -> None:
        """Drop what no suspicion would go back to, and what is so old that too much would be kept open for it."""
        gate = self._settings.gate
        while len(self._before) > 1 and self._before[1].accepted <= accepted - REACH * gate.suspicion_events:
            self._before.pop(0)
        if self._before and self._before[0].accepted < accepted - gate.speculation_max_events:
            self._before.pop(0)
