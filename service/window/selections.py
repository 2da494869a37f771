"""The replay memory that `window.replay_selection` names."""

from service.settings import Window
from service.window.balanced import ClassBalancedReservoir
from service.window.hard import HardReservoir
from service.window.reservoirs import RecentBiasedReservoir, Reservoir, UniformReservoir

SELECTIONS: dict[str, type[Reservoir]] = {
    kind.selection: kind for kind in (UniformReservoir, RecentBiasedReservoir, ClassBalancedReservoir, HardReservoir)
}


def replay_memory(settings: Window, numbers: int, codes: int, seed: int) -> Reservoir:
    """Return an empty replay memory for examples of these widths."""
    return SELECTIONS[settings.replay_selection](settings.replay_events, numbers, codes, seed)
