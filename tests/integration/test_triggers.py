"""What calls for rounds, and what holds them, in a trainer at work."""

from typing import Any

from service.store.status import read_status
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.integration.test_trainer import Make, Running, make

__all__ = ["make"]


def told(running: Running) -> dict[str, Any]:
    """Return what the status says about the next round."""
    status = read_status(running.folder / "store") or {}
    return dict(status.get("trigger", {}))


def test_a_budget_holds_rounds_and_a_window_that_waits_holds_the_intake(make: Make) -> None:
    """One round spends more than a thousandth of a core; till it is paid off nothing is lost, and it is said."""
    running = make(
        window={"events": 300, "overflow": "wait"}, trigger={"budget_share": 0.001, "max_staleness_seconds": 2}
    )
    running.send(events(3_000))
    running.start()
    eventually(lambda: "of a core" in (told(running).get("held") or ""), "the status to say what holds the round")
    eventually(lambda: "cannot be kept" in (told(running).get("held") or ""), "the staleness bound to be given up")
    assert told(running)["budget_balance_seconds"] < 0
    running.stop()
    assert running.failure is None
    assert 300 < running.accepted() < 1_500
    status = read_status(running.folder / "store") or {}
    assert status["rounds"]["started"] == 1
    assert status["events"]["evicted_unlearnt"] == 0
    decisions = [entry for entry in running.journal.read_since()[0] if entry["event"] == "decision"]
    assert [entry["trigger"] for entry in decisions] == ["first_events"]
    assert "new events (trigger.every_events: 200)" in decisions[0]["trigger_detail"]


def test_an_event_on_a_quiet_topic_is_learnt_within_its_bound(make: Make) -> None:
    """Too few for any other reason: `staleness` begins the round, early enough."""
    running = make(trigger={"every_events": 200, "every_seconds": 1_000, "max_staleness_seconds": 1.5})
    running.start()
    running.send(events(250))
    eventually(lambda: running.serving() is not None, "a first checkpoint")
    running.send([row | {"id": f"late-{row['id']}"} for row in events(10)])

    def reasons() -> list[str]:
        return [entry["trigger"] for entry in running.journal.read_since()[0] if entry["event"] == "decision"]

    eventually(lambda: "staleness" in reasons(), "a round for the sake of a few events")
    running.stop()
    assert running.failure is None
