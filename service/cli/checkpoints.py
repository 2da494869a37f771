"""`freshet checkpoints`: what the store holds, whether it is whole, and which one serves."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import AsJson, Config, Overrides, answer, load, show, show_table, tell
from service.configuration_text import to_yaml
from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError, StoreUnavailableError
from service.settings import Settings

if TYPE_CHECKING:  # the types alone: what stands behind them is slow to import, and `--help` does without
    from service.store.checkpoints import CheckpointStore
    from service.store.pin import Pin
    from service.store.pointer import Pointer

LATEST = "latest"

app = typer.Typer(name="checkpoints", help="List, inspect, verify, promote and pin checkpoints.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="A checkpoint's id, or `latest` for the newest promoted.")]


@app.command("list")
def list_(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List all checkpoints, newest first."""
    store = store_of(load(config, overrides))
    pointer, pin = pointer_of(store), pin_of(store)
    rows = []
    for entry in store.entries():
        manifest = entry.manifest
        rows.append(
            {
                "id": entry.id,
                "role": _role(entry.id, pointer, pin),
                "round": manifest.round if manifest else None,
                "created_at": manifest.created_at if manifest else None,
                "trained_until": manifest.trained_until if manifest else None,
                "trigger": manifest.trigger if manifest else None,
                "problem": entry.problem,
            }
        )
    if as_json:
        latest, pinned = pointer.id if pointer else None, pin.id if pin else None
        answer({"serving": pinned or latest, "latest": latest, "pinned": pinned, "checkpoints": rows})
    elif rows:
        columns = [name for name in rows[0] if name != "problem" or any(row["problem"] for row in rows)]
        show_table(columns, [[row[name] for name in columns] for row in rows])
    else:
        tell(f"freshet: no checkpoints in {store.path} yet")


@app.command("show")
def show_(checkpoint_id: Id, *, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show one checkpoint's manifest: where it comes from, and what the gate saw."""
    store = store_of(load(config, overrides))
    values = store.manifest(resolve(store, checkpoint_id)).readable()
    if as_json:
        answer(values)
    else:
        show(to_yaml(values))


@app.command("verify")
def verify(
    checkpoint_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One checkpoint; else all.")] = None,
    *,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte of one or all checkpoints; exit 1 if any is damaged."""
    store = store_of(load(config, overrides))
    chosen = [resolve(store, checkpoint_id)] if checkpoint_id else [entry.id for entry in store.entries()]
    found: list[dict[str, Any]] = []
    for one in chosen:
        problem = None
        try:
            store.verify(one)
        except (CheckpointMissingError, StoreUnavailableError):
            raise
        except StoreError as error:
            problem = str(error)
        found.append({"id": one, "whole": problem is None, "problem": problem})
    damaged = sum(not one["whole"] for one in found)
    if as_json:
        answer({"checkpoints": found, "damaged": damaged})
    else:
        show_table(("id", "state"), [(one["id"], one["problem"] or "whole") for one in found])
    if damaged:
        raise typer.Exit(1)


def store_of(settings: Settings) -> "CheckpointStore":
    """Return the store that the settings name."""
    from service.store.checkpoints import CheckpointStore  # noqa: PLC0415 - slow to import

    return CheckpointStore(settings.store.path, settings.store.keep)


def pointer_of(store: "CheckpointStore") -> "Pointer | None":
    """Return the pointer; a damaged one is said, and does not hide the checkpoints."""
    try:
        return store.latest()
    except CheckpointDamagedError as error:
        tell(f"freshet: {error}")
        return None


def pin_of(store: "CheckpointStore") -> "Pin | None":
    """Return the pin; a damaged one is said, and does not hide the checkpoints."""
    from service.store.pin import find_pin  # noqa: PLC0415 - slow to import

    pin, damage = find_pin(store.path)
    if damage is not None:
        tell(f"freshet: {damage}")
    return pin


def resolve(store: "CheckpointStore", checkpoint_id: str) -> str:
    """Return the id that is meant; raises CheckpointMissingError for `latest` where nothing is published."""
    if checkpoint_id != LATEST:
        return checkpoint_id
    pointer = store.latest()
    if pointer is None:
        raise CheckpointMissingError(f"nothing serves from {store.path} yet; the first round makes a checkpoint")
    return pointer.id


def _role(checkpoint_id: str, pointer: "Pointer | None", pin: "Pin | None") -> str | None:
    roles = {pointer.previous: "previous", pointer.id: "latest" if pin else "serving"} if pointer else {}
    if pin is not None:
        roles[pin.id] = "pinned"
    return roles.get(checkpoint_id)
