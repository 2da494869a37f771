"""What the trainer writes down of a drift."""

from service.drift.alarm import KINDS, MEANINGS, Alarm
from service.trainer.report import alarm_entry


def test_an_alarm_is_an_entry_with_all_it_says() -> None:
    """The journal's ``event`` is what happened; how many events had been accepted by then has a name of its own."""
    entry = alarm_entry(Alarm("data", "amount", 0.31, 0.1, 4_200))
    assert entry.pop("at")
    assert entry == {
        "event": "drift",
        "kind": "data",
        "meaning": MEANINGS["data"],
        "feature": "amount",
        "score": 0.31,
        "threshold": 0.1,
        "accepted": 4_200,
    }


def test_each_kind_of_drift_has_words() -> None:
    """A log line says what an alarm means."""
    assert set(MEANINGS) == set(KINDS)
