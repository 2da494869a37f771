"""The verdict: what fine-tuning and the gate were worth, in a sentence each."""

from typing import Any

import pytest

from service.replay.verdict import headline, sentences
from tests.unit.replay.results import result_of


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"wrong": {"champion": 0.2, "frozen": 0.3}}, "Fine-tuning bought 10.0 points of accuracy"),
        ({"wrong": {"champion": 0.3, "frozen": 0.2}}, "Fine-tuning did harm: it cost 10.0 points"),
        ({"wrong": {"champion": 0.2, "frozen": 0.201}}, "changed next to nothing: +0.10 points"),
        ({"rounds": {"started": 3, "promoted": 0}}, "no later one was published"),
        ({"rounds": {"started": 3, "promoted": 0, "rejected": 0, "failed": 2}}, "every later round failed"),
        ({"rounds": {"started": 0, "promoted": 0}}, "No model was trained"),
        ({"events": 0}, "No event could be scored"),
        (
            {"task": "regression", "wrong": {"champion": 0.2, "frozen": 0.3}},
            "Fine-tuning bought 0.1 of mean absolute error",
        ),
    ],
)
def test_the_headline_says_what_fine_tuning_was_worth(figures: dict[str, Any], words: str) -> None:
    """In points of accuracy, or of the label's unit; and whether there was any."""
    assert words in headline(result_of(**figures))


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"wrong": {"champion": 0.22, "challenger": 0.2}}, "The gate cost 2.0 points"),
        ({"wrong": {"champion": 0.2, "challenger": 0.22}}, "The gate saved 2.0 points"),
        ({"wrong": {"champion": 0.2, "challenger": 0.2}}, "no notable difference"),
        ({"gate": {"enabled": False}}, "The gate was off"),
        (
            {"turns": {"entered": 3, "changed": 1, "noise": 2}, "suspicions": [(0, 100, "noise")]},
            "on trial 3 times, in 10.0% of the stream: once the stream had changed, 2 times it was noise",
        ),
    ],
)
def test_sentences_tell_gate_and_trials(figures: dict[str, Any], words: str) -> None:
    """Each with its number."""
    assert words in " ".join(sentences(result_of(**figures)))


def test_nothing_is_said_of_nothing() -> None:
    """Without a scored event there is no score to tell."""
    assert sentences(result_of(events=0)) == []
