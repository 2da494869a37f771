"""`freshet checkpoints promote`, `pin`, `unpin` and `history`: what operators do to a store by hand."""

import os
import pwd
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.checkpoints import Id, pin_of, pointer_of, resolve, store_of
from service.cli.options import AsJson, Config, Overrides, answer, load, show_table, tell
from service.errors import UsageError
from service.settings import Settings

if TYPE_CHECKING:  # the types alone: what stands behind them is slow to import, and `--help` does without
    from service.store.checkpoints import CheckpointStore
    from service.store.operations import Operations, Operator

MAX_NAME_CHARS = 128

Reason = Annotated[
    str | None, typer.Option("--reason", help="Why, for the history; else `by hand`.", show_default=False)
]
Count = Annotated[int, typer.Option("--last", min=1, help="How many entries, the newest first.")]


def promote(
    checkpoint_id: Id,
    *,
    reason: Reason = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Let servers answer from this checkpoint, until the gate's next promotion."""
    store, operations = _opened(load(config, overrides))
    pointer = operations.promote(resolve(store, checkpoint_id), _operator(reason))
    pinned = pin_of(store)
    if as_json:
        serving = pinned.id if pinned else pointer.id
        answer({"serving": serving, **asdict(pointer), "pinned": asdict(pinned) if pinned else None})
    elif pinned is None or pinned.id == pointer.id:
        tell(f"freshet: {pointer.id} serves now; before it {pointer.previous or 'nothing'} did")
    else:
        tell(f"freshet: {pointer.id} is the latest now; {pinned.id} is pinned, and serves until `checkpoints unpin`")


def pin(
    checkpoint_id: Id,
    *,
    reason: Reason = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Let servers answer from this checkpoint until the pin is removed, whatever is published meanwhile."""
    store, operations = _opened(load(config, overrides))
    new, replaced = operations.pin(resolve(store, checkpoint_id), _operator(reason))
    pointer = pointer_of(store)
    latest = pointer.id if pointer else None
    if as_json:
        answer({"pinned": asdict(new), "replaced": replaced, "latest": latest})
    else:
        tell(f"freshet: {new.id} is pinned and serves; without the pin it would be {latest or 'nothing'}")


def unpin(
    *, reason: Reason = None, config: Config = None, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Let servers follow what is promoted again."""
    store, operations = _opened(load(config, overrides))
    removed, was = operations.unpin(_operator(reason))
    pointer = pointer_of(store)
    latest = pointer.id if pointer else None
    if as_json:
        answer({"removed": removed, "was": asdict(was) if was else None, "latest": latest})
    elif removed:
        tell(
            f"freshet: {was.id if was else 'what could not be read'} is no longer pinned; {latest or 'nothing'} serves"
        )
    else:
        tell(f"freshet: nothing was pinned; {latest or 'nothing'} serves")


def history(*, last: Count = 100, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List what was promoted, pinned and unpinned by hand, when, by whom and why, newest first."""
    store, operations = _opened(load(config, overrides))
    entries = operations.history(last)
    if as_json:
        answer({"operations": entries})
    elif entries:
        columns = ["at", "event", "checkpoint", "before", "by", "reason"]
        columns += [name for name in ("what", "problem") if any(name in entry for entry in entries)]
        show_table(columns, [[entry.get(name) for name in columns] for entry in entries])
    else:
        tell(f"freshet: nothing was promoted or pinned by hand in {store.path} yet")


def _opened(settings: Settings) -> "tuple[CheckpointStore, Operations]":
    from service.store.operations import Operations  # noqa: PLC0415 - slow to import

    store = store_of(settings)
    return store, Operations(store)


def _operator(reason: str | None) -> "Operator":
    """Return who runs this command, and why; raises UsageError for a reason that is too long."""
    from service.store.operations import Operator, one_line  # noqa: PLC0415 - slow to import

    try:
        return Operator(_whoever(), one_line(reason))
    except ValueError as error:
        raise UsageError(f"--reason is {error}; shorten it") from None


def _whoever() -> str:
    """Return user@machine, which no token's name can be: by the user's number where it has no name."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    name = f"{user}@{socket.gethostname()}"
    return "".join(one for one in name if one.isprintable())[:MAX_NAME_CHARS]
