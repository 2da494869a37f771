"""Follows a learner between rounds, and tells when the next one is due. The one part with a state; still no I/O."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from service.records import FloatArray
from service.settings import Trigger
from service.trigger.backoff import Backoff
from service.trigger.costs import Costs
from service.trigger.decline import Decline
from service.trigger.freshness import Freshness
from service.trigger.policy import Call, held, spaced_events, spacing, wanted
from service.trigger.signals import Signals


class Watch:
    """Gathers the signals that policies look at; the learner tells it what happens, its driver what time it is.

    ``sentence`` says why the newest round was begun, ``held`` why none begins although one is called for, None while
    that is not so. All times are seconds of the driver's steady clock, as of the last ``tick``.
    """

    def __init__(self, settings: Trigger, window_events: int) -> None:
        self.settings = settings
        self.sentence = ""
        self.held: str | None = None
        self._window_events = window_events
        self._costs = Costs(settings.budget_share)
        self._backoff = Backoff(settings)
        self._decline = Decline(settings)
        self._freshness = Freshness(window_events)
        self._now = self._began = 0.0
        self._in_flight = self._first = self._fallen = self._changed = False
        self._call: Call | None = None

    def start(self, now: float) -> None:
        """Count from now on by this clock; time during which nobody drove the learner does not count."""
        self._freshness.shift(now - self._now)
        self._now = self._began = now

    def tick(self, now: float) -> None:
        """Take note of the time."""
        if now > self._now:
            self._costs.advance(now - self._now)
            self._now = now

    def took_in(self, learnable: int) -> None:
        """Note the arrival of events that may be learnt."""
        self._freshness.took_in(learnable, self._now)

    def rolled_back(self) -> None:
        """Note that what arrived of late is not learnt from after all."""
        self._freshness.gave_up()

    def concept_changed(self) -> None:
        """Note that what arrives is a new concept, and was under suspicion so far: the next round is urgent."""
        self._changed = True
        self._backoff.reset()

    def scored(self, losses: FloatArray) -> None:
        """Take in the champion's losses [n] on arriving events."""
        self._decline.add(losses)

    def compared(self, gains: FloatArray) -> None:
        """Take in how much less arriving events [n] cost the champion than its predecessor."""
        self._backoff.compared(gains)

    def due(
        self, now: float, *, new_events: int, alarms: Collection[str] = (), first: bool, window_full: bool = False
    ) -> str | None:
        """Return the reason to begin a round now, or None; the arguments are as in the signals."""
        self.tick(now)
        fall = self._decline.fall()
        if (fall.fallen and not self._fallen) or any(kind in self.settings.on_drift for kind in alarms):
            self._backoff.reset()
        self._fallen = fall.fallen
        known = self._signals(new_events)
        signals = replace(known, alarms=tuple(alarms), fall=fall, first=first, window_full=window_full)
        called = wanted(self.settings, signals)
        why = held(self.settings, signals) if called is not None else None
        self.held = f"a round is called for ({called.sentence}), but {why}" if called is not None and why else None
        self._call = called if why is None else None
        return self._call.reason if self._call is not None else None

    def _signals(self, new_events: int) -> Signals:
        return Signals(
            new_events=new_events,
            since_seconds=self._now - self._began,
            changed=self._changed,
            window_events=self._window_events,
            unserved_seconds=self._freshness.unserved_seconds(self._now),
            untried_seconds=self._freshness.untried_seconds(self._now),
            round_seconds=self._freshness.round_seconds,
            balance_seconds=self._costs.balance_seconds,
            rejected_rounds=self._backoff.rejected_rounds,
            idle_rounds=self._backoff.idle_rounds,
        )

    def began(self, reason: str, now: float, *, first: bool) -> None:
        """Note that a round begins with all that came so far; the first one takes unusually long."""
        self.tick(now)
        self._began = self._now
        self.sentence = self._call.sentence if self._call is not None and self._call.reason == reason else ""
        self._in_flight, self._first, self._call, self.held = True, first, None, None
        self._changed = False
        self._freshness.began()

    def ended(self, cpu_seconds: float) -> None:
        """Note that the round in flight has brought something, and what its training cost."""
        self._in_flight = False
        self._costs.charge(cpu_seconds, usual=not self._first)
        self._freshness.tried()

    def decided(self, *, promoted: bool, reason: str) -> None:
        """Note what the gate says to what the round brought."""
        self._backoff.decided(promoted=promoted, reason=reason)
        if not promoted:
            self._took()

    def failed(self) -> None:
        """Note that the round in flight brought nothing.

        Nobody tells what it cost; it is charged the time it took, which is the most that one thread can use.
        """
        self._in_flight = False
        self._costs.charge(self._now - self._began, usual=False)

    def served(self) -> None:
        """Note that what the round decided last brought serves from now on."""
        self._freshness.served()
        self._took()

    def _took(self) -> None:
        if not self._first:
            self._freshness.took(self._now - self._began)

    def crowned(self) -> None:
        """Note that another model is champion, whoever chose it."""
        self._decline.reset()
        self._fallen = False

    @property
    def awaited(self) -> tuple[float, float]:
        """How old the oldest event is that waits to be served, and how many times wider rounds are spaced."""
        signals = self._signals(0)
        return signals.unserved_seconds, spacing(self.settings, signals)

    def status(self, new_events: int) -> dict[str, Any]:
        """Return what there is to say about the next round, as plain values."""
        signals = self._signals(new_events)
        return {
            "last": self.sentence or None,
            "held": self.held,
            "spacing": spacing(self.settings, signals),
            "enough_events": int(spaced_events(self.settings, signals)),
            "rejected_in_a_row": signals.rejected_rounds,
            "unserved_seconds": round(signals.unserved_seconds, 3),
            "round_seconds": round(signals.round_seconds, 3),
            "round_cpu_seconds": None if (usual := self._costs.usual_seconds) is None else round(usual, 4),
            "budget_balance_seconds": None if self.settings.budget_share is None else round(signals.balance_seconds, 4),
        }

    def to_json(self, *, crowned: bool = False, served: bool = False) -> dict[str, Any]:
        """Return what ``restore`` needs, as plain values; as if ``crowned`` and ``served`` had been called already."""
        decline = Decline(self.settings) if crowned else self._decline
        return {
            "costs": self._costs.to_json(in_flight=self._in_flight),
            "backoff": self._backoff.to_json(),
            "decline": decline.to_json(),
            "fallen": self._fallen and not crowned,
            "changed": self._changed,
            "freshness": self._freshness.to_json(self._now, served=served),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go on from what ``to_json`` returned; ``start`` tells the time."""
        self._costs.restore(value["costs"])
        self._backoff.restore(value["backoff"])
        self._decline.restore(value["decline"])
        self._fallen = bool(value["fallen"])
        self._changed = bool(value.get("changed"))
        self._freshness.restore(value["freshness"])
