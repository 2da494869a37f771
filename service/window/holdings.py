"""All that the trainer keeps of the stream: window, replay memory and the two held-out slices."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from service.hashing import HOLDOUT_SALT, chosen
from service.records import BoolArray, Examples
from service.settings import Window
from service.window.reservoirs import Reservoir
from service.window.rings import Arrays, ExampleRing, arrays_of, examples_of


class Holdings:
    """Learnable events go through the window into the replay memory; held-out ones into *recent* and *memory*.

    ``numbers`` and ``codes`` are the widths of the examples; ``seed`` drives the reservoirs.
    """

    def __init__(self, settings: Window, numbers: int, codes: int, seed: int) -> None:
        self.settings = settings
        self._window = ExampleRing(settings.events, numbers, codes)
        self._replay = Reservoir(settings.replay_events, numbers, codes, seed)
        self._recent = ExampleRing(settings.recent_events, numbers, codes)
        self._memory = Reservoir(settings.memory_events, numbers, codes, seed + 1, biased=True)

    def heldout(self, arrived: Examples) -> BoolArray:
        """Tell for each event [n] whether it is kept apart from all training."""
        return chosen(arrived.keys, self.settings.holdout_share, HOLDOUT_SALT)

    def admit(self, arrived: Examples) -> Examples:
        """Take in events that were scored; return those of them that may be learnt."""
        heldout = self.heldout(arrived)
        learnable, kept_apart = arrived.take(~heldout), arrived.take(heldout)
        self._replay.append(self._window.append(learnable))
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
        return arrays, {"replay": self._replay.state(), "memory": self._memory.state()}

    def restore(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Go on from a snapshot; settings that shrank since then cut off the oldest."""

        def part(name: str) -> Examples:
            return examples_of(
                {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
            )

        overflow = self._window.append(part("window"))
        self._recent.append(part("recent"))
        self._replay.restore(part("replay"), state["replay"])
        self._replay.append(overflow)
        self._memory.restore(part("memory"), state["memory"])
