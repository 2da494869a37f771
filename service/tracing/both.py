"""One observer for two: each hook is handed on to whichever of them listens to it."""

from collections.abc import Callable

from service.observer import Observer

HOOKS = tuple(name for name, value in vars(Observer).items() if callable(value) and not name.startswith("_"))


class Both(Observer):
    """Hands the hooks on, first to one observer, then to the other; what only one listens to costs no call more."""

    def __init__(self, first: Observer, second: Observer) -> None:
        for name in HOOKS:
            listening = [one for one in (first, second) if getattr(type(one), name) is not getattr(Observer, name)]
            hooks = [getattr(one, name) for one in listening]
            if hooks:
                setattr(self, name, hooks[0] if len(hooks) == 1 else _one_after_the_other(*hooks))


def _one_after_the_other(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def told(*given: object, **named: object) -> None:
        first(*given, **named)
        second(*given, **named)

    return told
