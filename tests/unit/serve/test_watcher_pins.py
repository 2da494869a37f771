"""What is pinned serves, whatever is published, damaged or restarted meanwhile."""

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.observer import Observer
from service.serve.predictor import Predictor
from service.serve.watcher import Watcher
from service.settings import Settings
from service.store.operations import Operations, Operator
from service.store.pin import PIN
from tests.unit.serve.builders import damage, publish, settings_in, store_of


class Counting(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.is_pinned: list[bool] = []

    def swapped(self, outcome: str) -> None:
        """Keep the outcome."""
        self.outcomes.append(outcome)

    def pinned(self, *, is_pinned: bool) -> None:
        """Keep each change."""
        if self.is_pinned[-1:] != [is_pinned]:
            self.is_pinned.append(is_pinned)


class Watched:
    """A watcher that has looked once; ``restarted`` is another one of the same store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.predictor = Predictor()
        self.observer = Counting()
        self.watcher = Watcher(settings, store_of(settings), self.predictor, self.observer)
        self.watcher.look()

    def restarted(self) -> "Watched":
        """Return what a new process would be."""
        return Watched(self.settings)

    @property
    def id(self) -> str | None:
        """What serves."""
        return self.predictor.current.checkpoint_id if self.predictor.current else None

    def pin(self, checkpoint_id: str) -> None:
        """Pin a checkpoint and look."""
        Operations(store_of(self.settings)).pin(checkpoint_id, Operator("test"))
        self.watcher.look()

    def unpin(self) -> None:
        """Remove the pin and look."""
        Operations(store_of(self.settings)).unpin(Operator("test"))
        self.watcher.look()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with an empty store."""
    return settings_in(tmp_path)


def test_a_pin_holds_until_it_is_removed(settings: Settings) -> None:
    """Publications come and go; a restart changes nothing; then the latest of them serves."""
    first, _ = publish(settings), publish(settings, seed=1)
    watched = Watched(settings)
    watched.pin(first)
    assert watched.id == first
    third = publish(settings, seed=2)
    watched.watcher.look()
    assert (watched.id, watched.restarted().id) == (first, first)
    assert watched.predictor.trouble is None
    watched.unpin()
    assert (watched.id, watched.restarted().id) == (third, third)
    assert watched.observer.is_pinned == [False, True, False]
    assert watched.observer.outcomes == ["swapped"] * 3


def test_to_pin_what_serves_swaps_nothing(settings: Settings) -> None:
    """Nor does to remove that pin: it is the same model all along."""
    first = publish(settings)
    watched = Watched(settings)
    before = watched.predictor.current
    watched.pin(first)
    watched.unpin()
    assert watched.predictor.current is before


def test_a_pin_in_place_of_another_is_followed(settings: Settings) -> None:
    """As it is when it was made while no server ran."""
    first, second, _ = publish(settings), publish(settings, seed=1), publish(settings, seed=2)
    watched = Watched(settings)
    watched.pin(first)
    watched.pin(second)
    assert watched.id == second
    assert watched.restarted().id == second


def test_what_is_pinned_serves_before_anything_is_pointed_to(settings: Settings) -> None:
    """A damaged pointer is of no account while there is a pin."""
    first, _ = publish(settings), publish(settings, seed=1)
    watched = Watched(settings)
    watched.pin(first)
    (settings.store.path / "latest").write_bytes(b"{}")
    again = watched.restarted()
    assert again.id == first
    assert again.predictor.trouble is None


def test_a_damaged_pin_leaves_what_serves(settings: Settings) -> None:
    """The file is named, and how to mend it; a new pin is followed at once."""
    first, _ = publish(settings), publish(settings, seed=1)
    watched = Watched(settings)
    watched.pin(first)
    (settings.store.path / PIN).write_bytes(b"{}")
    with capture_logs() as logs:
        watched.watcher.look()
        publish(settings, seed=2)
        watched.watcher.look()
    assert watched.id == first
    assert str(settings.store.path / PIN) in str(watched.predictor.trouble)
    assert "unpin" in str(watched.predictor.trouble)
    assert [(line["event"], line["checkpoint"]) for line in logs] == [("checkpoint passed over", "pin")]
    assert watched.observer.is_pinned == [False, True]
    watched.pin(first)
    assert watched.predictor.trouble is None


def test_with_a_damaged_pin_a_start_serves_the_newest_sound_one(settings: Settings) -> None:
    """Better than nothing, and said; once the pin is gone the trouble is too."""
    _, second = publish(settings), publish(settings, seed=1)
    (settings.store.path / PIN).write_bytes(b"{}")
    watched = Watched(settings)
    assert watched.id == second
    assert str(settings.store.path / PIN) in str(watched.predictor.trouble)
    watched.unpin()
    assert watched.predictor.trouble is None


def test_what_was_pinned_and_is_damaged_later_goes_on_from_memory(settings: Settings) -> None:
    """A restart cannot read it any more: then the newest sound one serves, and the log and status say so."""
    first, second = publish(settings), publish(settings, seed=1)
    watched = Watched(settings)
    watched.pin(first)
    damage(settings, first)
    watched.watcher.look()
    assert watched.id == first
    with capture_logs() as logs:
        again = watched.restarted()
        again.watcher.look()
    assert again.id == second
    assert f"{first} is pinned and cannot be served: " in str(again.predictor.trouble)
    assert "model.safetensors" in str(again.predictor.trouble)
    assert again.observer.outcomes == ["damaged", "swapped"]
    told = [line for line in logs if line["log_level"] == "warning"]
    assert [line["event"] for line in told] == ["checkpoint passed over", "store not followed"]
    assert told[1]["serving"] == second
    damage(settings, first)  # the same bit flipped back
    again.pin(first)
    assert again.id == first
    assert again.predictor.trouble is None


def test_what_is_pinned_and_cannot_be_built_is_passed_over(settings: Settings) -> None:
    """A server that runs keeps what it has: the operator wants anything but the latest."""
    first = publish(settings)
    spoilt = publish(settings, spoilt=True)
    store_of(settings).point(first, reason="step back", by="test")
    watched = Watched(settings)
    watched.pin(spoilt)
    publish(settings, seed=2)
    watched.watcher.look()
    assert watched.id == first
    assert f"{spoilt} is pinned and cannot be served: " in str(watched.predictor.trouble)
    assert watched.observer.outcomes == ["swapped", "failed"]


def test_what_is_pinned_and_gone_is_looked_for_again(settings: Settings, tmp_path: Path) -> None:
    """On a network file system the pin may be seen before the folder; meanwhile another one answers."""
    first, second = publish(settings), publish(settings, seed=1)
    Watched(settings).pin(first)
    folder = settings.store.path / "checkpoints" / first
    shutil.move(folder, tmp_path / "late")
    watched = Watched(settings)
    watched.watcher.look()
    assert watched.id == second
    assert f"{first} is pinned and not there" in str(watched.predictor.trouble)
    shutil.move(tmp_path / "late", folder)
    watched.watcher.look()
    assert watched.id == first
    assert watched.predictor.trouble is None


def test_a_store_that_is_away_releases_no_pin(settings: Settings, tmp_path: Path) -> None:
    """Serving goes on with what is pinned, and still does when the store is back with news."""
    first, _ = publish(settings), publish(settings, seed=1)
    watched = Watched(settings)
    watched.pin(first)
    path = settings.store.path
    path.rename(tmp_path / "elsewhere")
    path.write_text("no folder")
    watched.watcher.look()
    assert watched.id == first
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    publish(settings, seed=2)
    watched.watcher.look()
    assert watched.id == first
    assert watched.predictor.trouble is None
    assert watched.observer.is_pinned == [False, True]
