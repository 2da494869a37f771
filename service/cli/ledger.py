"""`freshet ledger`: what became of every offset, for those who want to check that nothing was lost or learnt twice."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from service.cli.options import AsJson, Config, Overrides, answer, load, show_table, tell

if TYPE_CHECKING:  # the type alone: what stands behind it is slow to import, and `--help` does without
    from service.records import Partition
    from service.store.fates import Fates


def ledger(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Tell the fate of every offset up to the newest snapshot, from the trainer's state, as runs of offsets.

    A fate is learnable, held_out, dead_lettered, rolled_back, evicted_unlearnt or no_record. An offset that was
    produced and has none was lost; one with two was taken in twice. Exit 1 if a part of the ledger is missing
    or damaged.
    """
    from service.store.fates import Fates, read_fates  # noqa: PLC0415 - slow to import

    settings = load(config, overrides)
    found = read_fates(settings.trainer.state_path, settings.trainer.ledger_bytes)
    if found is None:
        tell(f"freshet: no snapshot in {settings.trainer.state_path} yet; the trainer saves one once events arrive")
    fates = found or Fates({}, {})
    if as_json:
        answer(_as_json(fates))
    else:
        _show(fates)
    for problem in fates.problems:
        tell(f"freshet: {problem}; what became of those offsets is not known any more")
    if fates.problems:
        raise typer.Exit(1)


def _as_json(fates: "Fates") -> dict[str, Any]:
    return {
        "runs": [_span(source, *run) for source, runs in fates.runs.items() for run in runs],
        "positions": [{**source._asdict(), "offset": offset} for source, offset in sorted(fates.positions.items())],
        "events": fates.events(),
        "without_fate": [_span(*one) for one in fates.without_fate()],
        "twice": [_span(*one) for one in fates.twice()],
        "problems": fates.problems,
    }


def _span(source: "Partition", first: int, last: int, fate: str | None = None) -> dict[str, Any]:
    return {**source._asdict(), "first": first, "last": last} | ({"fate": fate} if fate is not None else {})


def _show(fates: "Fates") -> None:
    rows = list(_rows(fates))
    if rows:
        show_table(("topic", "partition", "fate", "offsets", "first", "last"), rows)
    for what, spans in (("no fate", fates.without_fate()), ("more than one fate", fates.twice())):
        for source, first, last in spans:
            tell(f"freshet: offsets {first} to {last} of {source.topic}/{source.partition} have {what}")


def _rows(fates: "Fates") -> Iterator[tuple[object, ...]]:
    """Sum up, by partition and fate."""
    for source, runs in fates.runs.items():
        for fate in sorted({run.fate for run in runs}):
            some = [run for run in runs if run.fate == fate]
            offsets = sum(run.last - run.first + 1 for run in some)
            yield source.topic, source.partition, fate, f"{offsets:,}", some[0].first, some[-1].last
