"""The learner tells its watch what happens, so that every policy has its numbers."""

from dataclasses import replace

from service.learner.learner import Learner
from service.train.fit import train_round
from service.trigger.watch import Watch
from tests.examples import learner_of, separable


def with_model(**trigger: object) -> Learner:
    """Return a learner with a first checkpoint, of 500 events, and 400 more that it predicts well."""
    learner = learner_of(trigger={"every_events": 500, **trigger})
    learner.start_clock(0.0)
    learner.absorb(separable(500))
    assert learner.due(1.0) == "first_events"
    outcome = train_round(learner.begin_round("first_events", 1.0))
    _, candidate = learner.conclude(replace(outcome, cpu_seconds=2.0))
    assert candidate is not None
    learner.adopt(candidate, "000001-aaaaaaaa")
    learner.absorb(separable(400, seed=1))
    return learner


def test_a_change_of_the_rule_begins_a_round_early() -> None:
    """Without one the next round would wait for 500 events; the reason is whichever saw it first."""
    learner = with_model()
    assert learner.due(2.0) is None
    learner.absorb(separable(60, seed=2, flipped=True))
    assert learner.due(2.0) in ("drift_alarm", "score_fall")
    learner = with_model(on_drift=[], fall_alpha=None)
    learner.absorb(separable(60, seed=2, flipped=True))
    assert learner.due(2.0) is None


def test_a_round_is_charged_to_the_budget() -> None:
    """2 s of a processor at a hundredth of one: the next round 200 s later, whatever calls for it."""
    learner = with_model(budget_share=0.01)
    learner.absorb(separable(200, seed=2, flipped=True))
    assert learner.due(199.0) is None
    assert "1% of a core" in (learner.triggers.held or "")
    assert learner.due(203.0) is not None


def test_events_wait_until_a_checkpoint_serves_that_was_trained_on_them() -> None:
    """Held-out ones and those that are served already do not."""
    learner = with_model()
    learner.triggers.tick(10.0)
    assert learner.triggers.awaited[0] == 9.0  # 400 events that came when the round had ended
    outcome = train_round(learner.begin_round("elapsed", 10.0))
    _, candidate = learner.conclude(outcome)
    if candidate is not None:
        learner.adopt(candidate, "000002-aaaaaaaa")
    learner.triggers.tick(20.0)
    assert learner.triggers.awaited[0] == (0.0 if candidate is not None else 19.0)


def test_what_the_watch_keeps_is_in_the_state() -> None:
    """A restart is no way around the budget, and forgets no fall."""
    learner = with_model(budget_share=0.01)
    saved = learner.triggers.to_json()
    resumed = Watch(learner.settings.trigger, learner.settings.window.events)
    resumed.restore(saved)
    assert resumed.to_json() == saved
    assert saved["costs"]["balance"] < 0
    assert saved["decline"]["before"][0] + sum(block[0] for block in saved["decline"]["newest"]) == 400
