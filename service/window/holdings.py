"""All that the trainer keeps of the stream: window, replay memory and the two held-out slices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.hashing import HOLDOUT_SALT, chosen
from service.records import BoolArray, Examples, FloatArray
from service.settings import Window
from service.window.reservoirs import RecentBiasedReservoir
from service.window.rings import Arrays, ExampleRing, arrays_of, examples_of
from service.window.selections import replay_memory


class Holdings:
    """Learnable events go through the window into the replay memory; held-out ones into *recent* and *memory*.

    ``numbers`` and ``codes`` are the widths of the examples; ``seed`` drives the reservoirs.
    """

    def __init__(self, settings: Window, numbers: int, codes: int, seed: int) -> None:
        self.settings = settings
        self._made_of = (numbers, codes, seed)
        self._window = ExampleRing(settings.events, numbers, codes)
        self._replay = replay_memory(settings, numbers, codes, seed)
        self._recent = ExampleRing(settings.recent_events, numbers, codes)
        self._memory = RecentBiasedReservoir(settings.memory_events, numbers, codes, seed + 1)

    def emptied(self) -> "Holdings":
        """Return such holdings as no event has entered yet."""
        return Holdings(self.settings, *self._made_of)

    def heldout(self, arrived: Examples) -> BoolArray:
        """Tell for each event [n] whether it is kept apart from all training."""
        return chosen(arrived.keys, self.settings.holdout_share, HOLDOUT_SALT)

    def admit(self, arrived: Examples, losses: FloatArray | None = None) -> Examples:
        """Take in events that were scored, with their ``losses`` [n] then; return those of them that may be learnt."""
        heldout = self.heldout(arrived)
        learnable, kept_apart = arrived.take(~heldout), arrived.take(heldout)
        losses = np.full(len(arrived), np.nan) if losses is None else losses
        self._replay.append(*self._window.push(learnable, losses[~heldout]))
        self._recent.append(kept_apart)
        self._memory.append(kept_apart)
        return learnable

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many events window, replay memory and held-out slices (*recent* and *memory* overlap) hold."""
        return len(self._window), len(self._replay), max(len(self._recent), len(self._memory))

    def window(self) -> Examples:
        """Return the window, oldest first."""
        return self._window.contents()

    def replay(self) -> Examples:
        """Return the replay memory."""
        return self._replay.contents()

    def recent(self) -> Examples:
        """Return the newest held-out events, oldest first."""
        return self._recent.contents()

    def memory(self) -> Examples:
        """Return the time-biased reservoir of held-out events."""
        return self._memory.contents()

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all as arrays and plain values, copied."""
        parts = {"window": self.window(), "replay": self.replay(), "recent": self.recent(), "memory": self.memory()}
        arrays = {f"{part}.{name}": column for part, held in parts.items() for name, column in arrays_of(held).items()}
        arrays |= {f"replay.{name}": column for name, column in self._replay.columns().items()}
        arrays["window.losses"] = self._window.losses()
        return arrays, {"replay": self._replay.state(), "memory": self._memory.state()}

    def restore(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Go on from a snapshot; settings that shrank since then cut off the oldest."""

        def columns(part: str) -> Arrays:
            return {key.removeprefix(f"{part}."): one for key, one in arrays.items() if key.startswith(f"{part}.")}

        window, replay, memory = columns("window"), columns("replay"), columns("memory")
        held = examples_of(window)
        overflow = self._window.push(held, np.array(window.get("losses", np.full(len(held), np.nan))))
        self._recent.append(examples_of(columns("recent")))
        self._replay.restore(examples_of(replay), state["replay"], replay)
        self._replay.append(*overflow)
        self._memory.restore(examples_of(memory), state["memory"], memory)
