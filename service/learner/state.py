"""The learner's whole state as arrays and plain values, and back: what a snapshot holds.

Models of published checkpoints are named by id and read from the store again; everything else is in the snapshot.
"""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.learner.roles import Lineage, Standing, model_of
from service.model.encoder import Encoder
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.records import Partition
from service.train.round import Arrays, below, under
from service.validate.evidence import ForwardEvidence


def capture(learner: Learner, promoting: tuple[Candidate, str] | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Return the state, copied; with ``promoting`` as it will be once that candidate is the champion.

    A promotion is saved before its pointer moves, so the snapshot already names the checkpoint as champion.
    Fates that ``Learner.settle`` has handed out are not in it.
    """
    holdings, holdings_state = learner.holdings.snapshot()
    prequential, totals = learner.prequential.snapshot()
    fates, fates_state = learner.fates.snapshot()
    arrays: Arrays = (
        under("holdings", holdings)
        | under("prequential", prequential)
        | under("statistics", learner.statistics.to_arrays())
        | under("fates", fates)
    )
    roles = learner.roles.ids()
    spans = dict(learner.spans)
    champion = learner.roles.champion.model if learner.roles.champion else None
    evidence = learner.evidence.to_json()
    if promoting is not None:
        candidate, checkpoint_id = promoting
        roles = {
            "champion": checkpoint_id,
            "previous": roles["champion"],
            "frozen": roles["frozen"] or checkpoint_id,
        }
        spans |= learner.follows(candidate)
        champion, evidence = candidate.model, {}
    lineages: dict[str, Any] = {}
    for name, lineage in learner.roles.lineages.items():
        encoder = lineage.model.encoder.to_json() if lineage.model else None
        lineages[name] = {"encoder": encoder, "is_champion": lineage.model is champion and champion is not None}
        arrays |= under(f"weights/{name}", lineage.weights or {}) | under(f"moments/{name}", lineage.moments)
    meta = {
        "roles": roles,
        "lineages": lineages,
        "evidence": evidence,
        "prequential": totals,
        "holdings": holdings_state,
        "categories": learner.categories.to_json(),
        "labels": learner.labels.to_json(),
        "positions": _offsets(learner.positions),
        "spans": _offsets(spans),
        "begins": _offsets(learner.begins),
        "topics": dict(learner.topics),
        "fates": fates_state,
        "counts": dict(learner.counts),
        "outcomes": dict(learner.outcomes),
        # A round in flight is lost with the process: its events will be new again.
        "new_events": learner.new_events + learner.in_flight_events,
        "trained_until_ms": learner.trained_until_ms,
    }
    return arrays, meta


def restore(
    learner: Learner,
    arrays: Mapping[str, NDArray[Any]],
    meta: Mapping[str, Any],
    load: Callable[[str], Standing | None],
) -> None:
    """Put a captured state into a new learner.

    ``load`` reads a published checkpoint, and may return None for one that is only a former champion.

    Raises whatever ``load`` raises, and ValueError or KeyError when the state does not fit the learner.
    """
    learner.holdings.restore(below("holdings", arrays), meta["holdings"])
    learner.prequential.restore(below("prequential", arrays), meta["prequential"])
    learner.statistics = Normaliser.from_arrays(below("statistics", arrays))
    learner.categories = Categories.from_json(meta["categories"], learner.categories.capacity)
    learner.labels = Labels.from_json(meta["labels"])
    learner.evidence = ForwardEvidence.from_json(meta["evidence"], learner.settings.gate.forward_rounds)
    learner.positions = _partitions(meta["positions"])
    learner.spans = _partitions(meta["spans"])
    learner.begins = _partitions(meta.get("begins", meta["spans"]))
    learner.topics = dict(meta.get("topics", {}))
    if "fates" in meta:  # else saved before there was a ledger
        learner.fates.restore(below("fates", arrays), meta["fates"])
    learner.counts |= meta["counts"]
    learner.outcomes |= meta["outcomes"]
    learner.new_events = meta["new_events"]
    learner.trained_until_ms = meta["trained_until_ms"]
    standing = {name: load(name) for name in {*meta["roles"].values()} - {None}}
    roles = learner.roles
    roles.champion, roles.previous, roles.frozen = (
        standing.get(meta["roles"][role]) for role in ("champion", "previous", "frozen")
    )
    for name, saved in meta["lineages"].items():
        if name not in roles.lineages or saved["encoder"] is None:
            continue
        weights, moments = below(f"weights/{name}", arrays), below(f"moments/{name}", arrays)
        model = roles.champion.model if saved["is_champion"] and roles.champion else None
        roles.lineages[name] = Lineage(
            roles.lineages[name].recipe,
            model or model_of(Encoder.from_json(saved["encoder"]), weights),
            weights,
            moments,
        )


def resume_from(learner: Learner, champion: Standing, frozen: Standing, extra: Mapping[str, Any]) -> None:
    """Let a new learner go on from a checkpoint where there is no snapshot, as after `pretrain`.

    ``extra`` is the champion's encoder with the running statistics in it.
    """
    encoder = champion.model.encoder
    learner.categories = Categories.from_json(encoder.categories, learner.categories.capacity)
    if encoder.labels:
        learner.labels = Labels(encoder.labels, learner.labels.capacity, fixed=True)
    learner.statistics = Normaliser.from_arrays(extra["statistics"])
    learner.roles.champion, learner.roles.frozen = champion, frozen
    learner.roles.lineages = {
        name: lineage.restarted(champion.model) for name, lineage in learner.roles.lineages.items()
    }


def _offsets(positions: Mapping[Partition, int]) -> list[list[Any]]:
    return [[source.topic, source.partition, offset] for source, offset in sorted(positions.items())]


def _partitions(offsets: list[list[Any]]) -> dict[Partition, int]:
    return {Partition(topic, partition): offset for topic, partition, offset in offsets}
