"""The watcher follows the pointer, whatever it meets."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.observer import Observer
from service.serve.predictor import Predictor
from service.serve.watcher import NOTHING_YET, Watcher
from service.settings import Settings
from service.store.pointer import LATEST
from tests.unit.serve.builders import checkpoint_of, damage, publish, settings_in, store_of


class Counting(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.published_seen: list[bool] = []
        self.reached = 0
        self.served: list[str] = []

    def published(self, *, is_published: bool) -> None:
        """Keep what was seen."""
        self.published_seen.append(is_published)

    def store_reached(self) -> None:
        """Count."""
        self.reached += 1

    def swapped(self, outcome: str) -> None:
        """Keep the outcome."""
        self.outcomes.append(outcome)

    def serving(self, checkpoint_id: str, created_seconds: float, trained_until_seconds: float) -> None:
        """Keep the id; times must be plausible."""
        assert created_seconds > trained_until_seconds > 0
        self.served.append(checkpoint_id)


class Watched:
    """A watcher with what it reports to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.predictor = Predictor()
        self.observer = Counting()
        self.watcher = Watcher(settings, store_of(settings), self.predictor, self.observer)

    @property
    def id(self) -> str | None:
        """What serves."""
        return self.predictor.current.checkpoint_id if self.predictor.current else None


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Return a watcher of an empty store."""
    return Watched(settings_in(tmp_path))


def test_a_network_that_the_configuration_does_not_name_is_never_imported(watched: Watched) -> None:
    """Whoever can write into the store must not choose what code a server runs; what served goes on."""
    first = publish(watched.settings)
    watched.watcher.look()
    checkpoint = checkpoint_of(watched.settings, "000002-bbbbbbbb")
    network = checkpoint.encoder["network"] | {"module": "tests.broken_network:network"}
    store = store_of(watched.settings)
    store.write(replace(checkpoint, encoder=checkpoint.encoder | {"network": network}))
    store.point(checkpoint.manifest.id, reason="test", by="test")
    watched.watcher.look()
    assert watched.id == first
    assert "its network is another than that of train.model" in (watched.predictor.trouble or "")
    assert watched.observer.outcomes == ["swapped", "failed"]
    assert "tests.broken_network" not in sys.modules


def test_an_empty_store_is_waited_for(watched: Watched) -> None:
    """Before the first publication nothing serves, and it is said once."""
    with capture_logs() as logs:
        watched.watcher.look()
        watched.watcher.look()
    assert watched.predictor.ready() == NOTHING_YET
    assert [line["event"] for line in logs] == ["waiting for the first checkpoint"]
    assert watched.observer.outcomes == []


def test_each_new_checkpoint_is_taken_over_once(watched: Watched) -> None:
    """A look without news changes nothing; the reference is replaced as a whole."""
    first = publish(watched.settings)
    watched.watcher.look()
    before = watched.predictor.current
    watched.watcher.look()
    assert watched.predictor.current is before
    second = publish(watched.settings, seed=1)
    watched.watcher.look()
    assert watched.observer.served == [first, second]
    assert watched.observer.outcomes == ["swapped", "swapped"]
    assert watched.predictor.trouble is None


def test_a_pointer_moved_back_is_followed(watched: Watched) -> None:
    """An operator's promotion of an older checkpoint counts like any other."""
    first, _ = publish(watched.settings), publish(watched.settings, seed=1)
    watched.watcher.look()
    store_of(watched.settings).point(first, reason="operator", by="test")
    watched.watcher.look()
    assert watched.id == first


def test_a_damaged_checkpoint_is_skipped_counted_and_said_once(watched: Watched) -> None:
    """The one before goes on serving; the next sound one is taken over."""
    first = publish(watched.settings)
    watched.watcher.look()
    broken = publish(watched.settings, seed=1)
    damage(watched.settings, broken)
    with capture_logs() as logs:
        for _ in range(3):
            watched.watcher.look()
    assert watched.id == first
    assert watched.observer.outcomes == ["swapped", "damaged"]
    assert [line["checkpoint"] for line in logs] == [broken]
    assert "model.safetensors" in str(watched.predictor.trouble)
    assert watched.predictor.ready() is None
    third = publish(watched.settings, seed=2)
    watched.watcher.look()
    assert watched.id == third
    assert watched.predictor.trouble is None


def test_a_repaired_checkpoint_that_is_promoted_again_serves(watched: Watched) -> None:
    """Being passed over once is not held against a checkpoint."""
    publish(watched.settings)
    watched.watcher.look()
    broken = publish(watched.settings, seed=1)
    damage(watched.settings, broken)
    watched.watcher.look()
    damage(watched.settings, broken)  # the same bit flipped back
    store_of(watched.settings).point(broken, reason="repaired", by="test")
    watched.watcher.look()
    assert watched.id == broken


def test_with_a_damaged_latest_the_newest_sound_one_serves_at_the_start(watched: Watched) -> None:
    """A restart in the middle of an accident still answers, counts the damage once, and recovers."""
    publish(watched.settings)
    sound = publish(watched.settings, seed=1)
    broken = publish(watched.settings, seed=2)
    damage(watched.settings, broken)
    watched.watcher.look()
    watched.watcher.look()
    assert watched.id == sound
    assert watched.observer.outcomes == ["damaged", "swapped"]
    assert broken in str(watched.predictor.trouble)


def test_a_damaged_pointer_is_no_reason_to_stop(watched: Watched) -> None:
    """At the start the newest sound checkpoint serves; later whatever serves goes on."""
    newest = publish(watched.settings)
    pointer = watched.settings.store.path / "latest"
    sound = pointer.read_bytes()
    pointer.write_bytes(b"{}")
    watched.watcher.look()
    watched.watcher.look()
    assert watched.id == newest
    assert watched.observer.outcomes == ["damaged", "swapped"]
    pointer.write_bytes(sound)
    watched.watcher.look()
    assert watched.predictor.trouble is None


def test_weights_that_give_nan_never_serve(watched: Watched) -> None:
    """Sound by its digest, yet useless: counted as failed, the one before goes on."""
    first = publish(watched.settings)
    watched.watcher.look()
    publish(watched.settings, spoilt=True)
    watched.watcher.look()
    assert watched.id == first
    assert watched.observer.outcomes == ["swapped", "failed"]
    assert "NaN" in str(watched.predictor.trouble)


def test_weights_that_do_not_fit_their_encoder_never_serve(watched: Watched) -> None:
    """A checkpoint that cannot be built is passed over with the reason."""
    store = store_of(watched.settings)
    odd = checkpoint_of(watched.settings, "000007-00000000")
    odd.tensors.pop(next(iter(odd.tensors)))
    store.write(odd)
    store.point("000007-00000000", reason="test", by="test")
    watched.watcher.look()
    assert watched.id is None
    assert "cannot be built" in str(watched.predictor.ready())


def test_at_the_start_the_newest_that_can_be_built_serves(watched: Watched) -> None:
    """Sound by its digest is not enough: older ones are tried until one answers; each failure counts once."""
    sound = publish(watched.settings)
    store = store_of(watched.settings)
    odd = checkpoint_of(watched.settings, "000007-00000000")
    odd.tensors.pop(next(iter(odd.tensors)))
    store.write(odd)
    publish(watched.settings, spoilt=True)
    broken = publish(watched.settings)
    damage(watched.settings, broken)
    for _ in range(3):
        watched.watcher.look()
    assert watched.id == sound
    assert watched.predictor.ready() is None
    assert watched.observer.outcomes == ["damaged", "failed", "failed", "swapped"]
    assert broken in str(watched.predictor.trouble)


def test_a_store_that_is_away_is_said_once_and_followed_again(watched: Watched, tmp_path: Path) -> None:
    """Serving goes on without the store, and news are taken over when it is back."""
    first = publish(watched.settings)
    watched.watcher.look()
    path = watched.settings.store.path
    path.rename(tmp_path / "elsewhere")
    path.write_text("no folder")
    with capture_logs() as logs:
        watched.watcher.look()
        watched.watcher.look()
    assert watched.id == first
    assert [line["event"] for line in logs] == ["store not followed"]
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    second = publish(watched.settings, seed=1)
    watched.watcher.look()
    assert watched.id == second
    assert watched.predictor.trouble is None


def test_a_checkpoint_that_is_not_there_yet_is_looked_for_again(watched: Watched, tmp_path: Path) -> None:
    """On a network file system the pointer may be seen before the folder."""
    first = publish(watched.settings)
    watched.watcher.look()
    late = publish(watched.settings, seed=1)
    folder = watched.settings.store.path / "checkpoints" / late
    shutil.move(folder, tmp_path / "late")
    watched.watcher.look()
    assert watched.id == first
    shutil.move(tmp_path / "late", folder)
    watched.watcher.look()
    assert watched.id == late


def test_another_schema_than_the_configured_one_is_said(watched: Watched) -> None:
    """The checkpoint's features count, and a warning says that they differ."""
    publish(watched.settings)
    values = watched.settings.model_dump(mode="json", by_alias=True)
    values["schema"] |= {"numeric": ["age"], "nullable": ["city"]}
    other = Watched(Settings.model_validate(values))
    with capture_logs() as logs:
        other.watcher.look()
    assert other.id is not None
    assert any("other features than the configuration" in line["event"] for line in logs)


def test_the_thread_looks_by_itself_until_stopped(watched: Watched) -> None:
    """Once started it needs no help; its health is known; it can be stopped twice."""
    assert watched.watcher.alive() is not None
    watched.watcher.start()
    assert watched.watcher.alive() is None
    published = publish(watched.settings)
    while watched.id != published:
        assert watched.watcher.alive() is None
    watched.watcher.stop()
    watched.watcher.stop()
    assert watched.watcher.alive() is not None


def test_an_empty_store_is_reached_and_names_nothing(watched: Watched) -> None:
    """A server that has nothing to serve yet is told apart from one that cannot read what there is."""
    watched.watcher.look()
    assert (watched.observer.reached, watched.observer.published_seen) == (1, [False])
    publish(watched.settings)
    watched.watcher.look()
    assert (watched.observer.reached, watched.observer.published_seen) == (2, [False, True])


def test_a_store_that_cannot_be_read_is_not_reached(watched: Watched) -> None:
    """Nor is one that names nothing any more while a checkpoint serves: a volume that is not mounted looks like it."""
    publish(watched.settings)
    watched.watcher.look()
    pointer = watched.settings.store.path / LATEST
    pointer.rename(pointer.with_name("aside"))
    watched.watcher.look()
    pointer.mkdir()
    watched.watcher.look()
    assert watched.observer.reached == 1
    pointer.rmdir()
    pointer.with_name("aside").rename(pointer)
    watched.watcher.look()
    assert watched.observer.reached == 2
