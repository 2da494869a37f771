"""What a swap may never do: answer from bytes that nobody has verified, keep old models, or let go of what serves."""

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import psutil
import pytest

import service
from service.observer import Observer
from service.records import FloatArray
from service.serve.predictor import Predictor
from service.serve.watcher import Watcher
from service.settings import Settings
from service.store.checkpoints import CHECKPOINTS
from service.store.pointer import move_pointer
from tests.unit.serve.builders import model_of, publish, settings_in, store_of

OURS = tuple(str(Path(service.__file__).parent / part) for part in ("store", "serve"))
TRIED = 25
"""Moments of each swap at which damage is done, evenly spread over all there are."""

ROWS = np.array([[41.0, 1_200.5, 1.0], [20.0, np.nan, 0.0], [70.0, 300.0, 1.0]])
CITIES = np.array([[2], [3], [0]])


def watched(settings: Settings) -> tuple[Watcher, Predictor]:
    """Return a watcher that has looked once, and what it serves by."""
    predictor = Predictor()
    watcher = Watcher(settings, store_of(settings), predictor, Observer())
    watcher.look()
    return watcher, predictor


def answers_of(predictor: Predictor) -> tuple[str, FloatArray]:
    """Return what serves, and what it says."""
    assert predictor.current is not None
    return predictor.current.checkpoint_id, predictor.current.model.predict(ROWS, CITIES)


class At:
    """Calls something at the n-th call of one of our functions, in this thread."""

    def __init__(self, moment: int, act: Callable[[], None]) -> None:
        self.calls = 0
        self._moment, self._act = moment, act

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Count, and act when it is time."""
        if event in ("call", "return") and frame.f_code.co_filename.startswith(OURS):
            self.calls += 1
            if self.calls == self._moment:
                self._act()


def look(watcher: Watcher, moment: int = 0, act: Callable[[], None] = lambda: None) -> int:
    """Look, and act in the middle of it; return how many moments there were."""
    at = At(moment, act)
    sys.setprofile(at)
    try:
        watcher.look()
    finally:
        sys.setprofile(None)
    return at.calls


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("model.safetensors", "overwritten"),
        ("model.safetensors", "replaced"),
        ("encoder.json", "cut off"),
        ("manifest.json", "overwritten"),
    ],
)
def test_a_checkpoint_damaged_at_whatever_moment_never_answers(tmp_path: Path, file: str, how: str) -> None:
    """Either the new one serves, exactly as it was published, or the one before goes on; the damage is told then."""
    settings = settings_in(tmp_path)
    ids = [publish(settings, seed=seed) for seed in (0, 1)]
    wanted = {one: model_of(settings, one).predict(ROWS, CITIES) for one in ids}
    old, new = ids
    path = settings.store.path / CHECKPOINTS / new / file
    sound = path.read_bytes()
    bad = bytearray(sound)
    for place in range(len(bad) // 3, len(bad), 7):  # numbers in the middle of it, too
        bad[place] ^= 1

    def spoil() -> None:
        if how == "replaced":
            other = path.with_name("other")
            other.write_bytes(bytes(bad))
            other.rename(path)
        else:
            with path.open("r+b") as handle:
                handle.write(bytes(bad))
                handle.truncate(len(bad) if how == "overwritten" else len(bad) // 2)

    def point(checkpoint_id: str) -> None:
        move_pointer(settings.store.path, checkpoint_id, reason="test", by="test")

    point(old)
    watcher, predictor = watched(settings)
    point(new)
    moments = look(watcher)
    assert answers_of(predictor)[0] == new
    outcomes = set()
    for moment in range(1, moments + 1, max(moments // TRIED, 1)):
        point(old)
        watcher.look()
        point(new)
        look(watcher, moment, spoil)
        serving, said = answers_of(predictor)
        assert np.array_equal(said, wanted[serving]), f"moment {moment} of {moments}"
        assert (predictor.trouble is None) == (serving == new)
        outcomes.add(serving)
        path.write_bytes(sound)
    assert outcomes == {old, new}  # early damage was seen, and late damage came too late to matter


def test_the_old_model_is_freed_at_once(tmp_path: Path) -> None:
    """Nothing keeps it but the requests that use it, and no collector has to find it."""
    settings = settings_in(tmp_path)
    publish(settings)
    watcher, predictor = watched(settings)
    assert predictor.current is not None
    old, network = weakref.ref(predictor.current.model), weakref.ref(predictor.current.model.network)
    in_use = predictor.current
    gc.collect()
    gc.disable()
    try:
        publish(settings, seed=1)
        watcher.look()
        assert in_use is not predictor.current
        assert old() is in_use.model
        del in_use
        assert old() is None
        assert network() is None
    finally:
        gc.enable()


def test_swaps_do_not_add_up_in_memory(tmp_path: Path) -> None:
    """Hundreds of them take no more than the first tens; MiBs are what one model too many each would cost."""
    settings = settings_in(tmp_path)
    tree = settings.model_dump(mode="json", by_alias=True)
    tree["train"]["model"]["hidden"] = [512, 256]  # about half a MiB
    large = Settings.model_validate(tree)
    ids = [publish(large, seed=seed) for seed in (0, 1)]
    watcher, _ = watched(large)

    def swap(times: int) -> int:
        for turn in range(times):
            move_pointer(large.store.path, ids[turn % 2], reason="test", by="test")
            watcher.look()
        return int(psutil.Process().memory_info().rss)

    before = swap(20)
    assert swap(60) - before < 15 * 2**20
