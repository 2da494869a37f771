"""Suspicion: noise and change look alike at first, and what follows tells them apart."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.observer import SUSPICION_TURNS
from service.records import FloatArray, Scores
from service.settings import Gate, Task
from service.validate.guessing import Newest, Usual, comparable
from service.validate.suspicion import TURNS, Suspicion, Told

GUESS = 0.5


def missed(share: float, events: int, seed: int = 0) -> FloatArray:
    """Return what a model misses on events of which it gets so many wrong, scattered evenly by chance."""
    return (np.random.default_rng(seed).random(events) < share).astype(float)


def told(serving: float, learners: float | None, events: int, seed: int = 0, signal: float = 0.0) -> Told:
    """Return events on which serving model and learners are wrong so often, and guessing half of the time.

    Features predict their labels by ``signal`` standard errors.
    """
    own = None if learners is None else missed(learners, events, seed + 1)
    return Told(missed(serving, events, seed), np.full(events, GUESS), own, lambda _events, _until: signal)


def whats(suspicion: Suspicion, *parts: Told) -> list[str]:
    """Return the turns that one part after the other brings."""
    return [turn.what for part in parts for turn in suspicion.look(part)]


def proven(**gate: Any) -> Suspicion:
    """Return a suspicion that has seen a serving model that is good."""
    made = Suspicion(Gate(**gate))
    assert whats(made, told(0.1, 0.1, 200)) == []
    return made


def test_noise_is_known_by_the_serving_model_that_is_right_again() -> None:
    """Nobody predicts the labels of a burst; behind it the old model does."""
    suspicion = proven()
    assert whats(suspicion, told(0.5, 0.5, 600, seed=3)) == ["entered"]
    assert suspicion.holds
    assert whats(suspicion, told(0.1, 0.4, 200, seed=4)) == ["noise"]
    assert not suspicion.holds


def test_a_change_is_known_by_the_learners_that_predict_it() -> None:
    """The old model stays wrong, and it is not frequencies alone that they have learnt."""
    for error, signal, last in ((0.1, 0.0, ["changed"]), (0.34, 2.5, ["changed"]), (0.42, 1.0, [])):
        suspicion = Suspicion(Gate())
        assert whats(suspicion, told(0.01, 0.01, 200)) == []
        parts = told(0.52, 0.52, 200, seed=3), told(0.52, error, 140, 4, signal)
        assert whats(suspicion, *parts) == ["entered", *last]
        assert suspicion.holds != bool(last)


def test_a_change_is_known_by_the_events_themselves() -> None:
    """Features predict the new labels: nothing is suspected, or no longer, whatever the learners can do."""
    assert whats(proven(), told(0.52, 0.52, 400, 3, signal=4.0)) == []
    assert whats(proven(), told(0.52, 0.52, 140, seed=3), told(0.52, 0.52, 100, 4, signal=4.0)) == [
        "entered",
        "changed",
    ]


def test_what_is_worse_than_guessing_follows_a_rule() -> None:
    """Noise is as good for a model as guessing: labels that contradict it, at once or behind a burst, are a change.

    In the midst of a burst there must be a hint of something to learn too: with many labels a model may miss them all.
    """
    assert whats(proven(), told(0.9, 0.9, 400, seed=3)) == []
    for signal, turns in ((2.1, ["entered", "changed"]), (1.9, ["entered"])):
        assert whats(proven(), told(0.5, 0.5, 400, seed=3), told(0.9, 0.9, 100, 4, signal)) == turns


def test_learners_that_know_a_bursts_frequencies_show_no_change() -> None:
    """In it one label is common that was rare before: they beat guessing by all labels, but not by the newest."""
    burst = told(0.5, 0.3, 300, seed=3)
    assert burst.learners is not None
    for lately, turns in ((np.full(300, 0.5), ["entered", "changed"]), (np.full(300, 0.32), ["entered"])):
        assert whats(proven(), told(0.5, 0.5, 60, seed=5), replace(burst, lately=lately)) == turns


def test_it_is_told_whether_learners_have_learnt_a_change() -> None:
    """What they have learnt of it is kept then; else they may have learnt noise that came before."""
    for learners, signal in ((0.1, 0.0), (0.5, 9.0)):
        suspicion = proven()
        whats(suspicion, told(0.52, 0.52, 140, seed=3))
        assert suspicion.holds
        (turn,) = suspicion.look(told(0.52, learners, 100, 4, signal))
        assert (turn.what, turn.learnt) == ("changed", learners < 0.5)


def test_a_model_that_suits_a_bursts_frequencies_is_not_right_again() -> None:
    """It beats guessing by all labels, as it would on any events of that sort, but not by the newest."""
    burst = told(0.3, 0.5, 200, seed=4)
    for lately, turns in ((np.full(200, 0.5), ["entered", "noise"]), (np.full(200, 0.32), ["entered"])):
        assert whats(proven(), told(0.5, 0.5, 140, seed=3), replace(burst, lately=lately)) == turns


def test_a_model_that_is_half_as_right_as_it_was_shows_a_change_behind_noise() -> None:
    """A new concept may agree with the old one in part: it is not what the model has learnt."""
    for every, turns in ((3, ["entered", "changed"]), (20, ["entered", "noise"])):
        suspicion = Suspicion(Gate())
        wrong = (np.arange(300) % every == 0).astype(float)
        behind = Told(wrong, np.full(300, GUESS), missed(0.5, 300), newest=lambda until: min(until, 100))
        assert whats(suspicion, told(0.01, 0.01, 200), told(0.5, 0.5, 600, seed=3), behind) == turns


def test_one_batch_can_hold_a_whole_burst() -> None:
    """However many events arrive at a time, looks are as dense."""
    parts = [told(0.5, 0.5, 400, seed=3), told(0.1, 0.4, 400, seed=4)]
    whole = Told(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("serving", "guessing", "learners"))
    )
    turns = proven().look(whole)
    assert [turn.what for turn in turns] == ["entered", "noise"]
    assert 0 < turns[0].after_events <= 400 < turns[1].after_events


def test_only_a_model_that_beat_guessing_falls_under_suspicion() -> None:
    """One that never did, or that has failed since a change, is no measure of what arrives."""
    assert whats(Suspicion(Gate()), told(0.5, 0.5, 2_000)) == []
    suspicion = proven()
    whats(suspicion, told(0.52, 0.52, 200, seed=3), told(0.52, 0.1, 100, seed=4))
    assert whats(suspicion, told(0.5, 0.1, 1_000, seed=5)) == []


def test_a_good_model_is_not_suspected() -> None:
    """Not in 100,000 events, though it is wrong in three of ten."""
    assert whats(Suspicion(Gate()), told(0.3, 0.3, 100_000, seed=5)) == []


def test_hard_stretches_are_usual_where_they_come_and_go() -> None:
    """A mean that wanders widens what is usual; getting better does not, nor does what has just begun."""

    def followed(means: FloatArray) -> Usual:
        usual = Usual(15)
        for place, mean in enumerate(means):
            usual.follow(Newest(100, mean + 0.4 * np.resize([-1.0, 1.0], 100)), first=place == 0)
        return usual

    steady, better = followed(np.full(400, -0.3)), followed(np.linspace(-0.1, -0.4, 400))
    waves = followed(-0.3 + 0.1 * np.sin(np.arange(400) / 10))
    assert steady.spread == pytest.approx(better.spread) == pytest.approx(0.16, rel=0.02)
    assert waves.spread > 2 * steady.spread
    begun = followed(np.array([-0.3] * 400 + [-0.2] * 14))
    assert begun.spread == pytest.approx(steady.spread)
    assert begun.wander[-1] > 2 * begun.spread
    begun.go_back()
    assert len(begun.wander) == 1
    assert begun.spread == pytest.approx(steady.spread)


def test_undecided_it_ends() -> None:
    """Nothing can be predicted any more: learning goes on all the same."""
    suspicion = proven(speculation_max_events=500)
    assert whats(suspicion, told(0.5, 0.5, 3_000, seed=3)) == ["entered", "expired"]


def test_without_learners_only_the_serving_model_can_end_it_early() -> None:
    """No round has ended yet: there is nothing that could have learnt a change."""
    assert whats(proven(), told(0.52, None, 300, seed=3), told(0.1, None, 200, seed=4)) == ["entered", "noise"]


def test_a_consistent_burst_is_told_from_a_change_by_its_length() -> None:
    """All labels flipped: the learners follow. Shorter than confirm_events it is noise, longer it is a change."""
    flipped, after = told(0.52, 0.1, 400, 4, signal=9.0), told(0.1, 0.9, 200, 5, signal=9.0)
    begun = told(0.52, 0.52, 120, 3, signal=9.0)
    assert whats(proven(confirm_events=600), begun, flipped, after) == ["entered", "confirming", "noise"]
    assert whats(proven(confirm_events=200), begun, flipped) == ["entered", "confirming", "changed"]


def test_learners_that_fail_again_are_doubted() -> None:
    """What confirms a change must go on; then the suspicion is an ordinary one again, and bounded."""
    suspicion = proven(confirm_events=600, speculation_max_events=1_000)
    parts = told(0.52, 0.52, 100, seed=3), told(0.52, 0.1, 200, 4, signal=4.0), told(0.52, 0.6, 900, 5)
    assert whats(suspicion, *parts) == ["entered", "confirming", "doubted", "expired"]


def test_another_serving_model_that_is_right_shows_no_noise() -> None:
    """It may have learnt the change."""
    suspicion = proven()
    assert whats(suspicion, told(0.52, 0.52, 150, seed=3)) == ["entered"]
    suspicion.serving_changed()
    assert whats(suspicion, told(0.1, 0.2, 100, 4, signal=4.0)) == ["changed"]


def test_a_score_that_is_no_number_counts_as_failure() -> None:
    """A broken model is suspected."""
    assert whats(proven(), Told(np.full(200, np.nan), np.full(200, GUESS))) == ["entered"]


def test_it_goes_on_from_json() -> None:
    """Wherever it is cut, it turns at the same events."""
    parts = [told(0.5, 0.5, 37, seed=seed) for seed in range(12)] + [told(0.1, 0.4, 37, seed=seed) for seed in range(6)]
    whole, cut = proven(confirm_events=100), proven(confirm_events=100)
    seen = []
    for part in parts:
        turns = cut.look(part)
        assert whole.look(part) == turns
        seen += turns
        cut = Suspicion.from_json(Gate(confirm_events=100), json.loads(json.dumps(cut.to_json())))
        assert cut.to_json() == whole.to_json()
    assert [turn.what for turn in seen] == ["entered", "noise"]


@pytest.mark.parametrize("rare", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("sure", [0.6, 0.95, 0.9999])
def test_labels_without_meaning_are_predicted_as_well_by_guessing(rare: float, sure: float) -> None:
    """However rare a class is and however sure of itself a model: nobody does better than the class frequencies."""
    random = np.random.default_rng(1)
    labels, predicted = (random.random((2, 200_000)) < rare).astype(int)
    model = np.where(labels == predicted, sure, 1 - sure)
    guess = np.where(labels == 1, rare, 1 - rare)
    scored = [comparable("binary", Scores(-np.log(one), np.zeros(200_000))) for one in (model, guess)]
    assert scored[0].mean() >= scored[1].mean() - 0.005


@pytest.mark.parametrize(("task", "wanted"), [("binary", [0.5, 1.0]), ("regression", [3.0, 7.0])])
def test_what_is_compared(task: Task, wanted: list[float]) -> None:
    """The probability missed, a NaN being all of it; of a regression the absolute error."""
    scores = Scores(np.array([np.log(2), np.nan]), np.array([3.0, 7.0]))
    assert comparable(task, scores) == pytest.approx(wanted)


def test_every_turn_is_told_in_words_and_in_metrics() -> None:
    """Nothing happens that nobody can read."""
    assert tuple(TURNS) == SUSPICION_TURNS


@pytest.mark.parametrize("begins", [7, 55, 90])
def test_the_onset_is_told_to_within_some_events(begins: int) -> None:
    """However late the failure was noticed: learners must go back to before it, and not far."""
    for seed in range(20):
        parts = [told(0.1, 0.1, 300 + begins, seed=seed), told(0.5, 0.5, 500, seed=seed + 100)]
        differences = (np.concatenate([getattr(part, name) for part in parts]) for name in ("serving", "guessing"))
        (turn,) = [one for one in Suspicion(Gate()).look(Told(*differences)) if one.what == "entered"]
        assert turn.after_events - (300 + begins) <= 200
        assert abs(turn.after_events - turn.onset_events - (300 + begins)) <= 20
