"""The learner's whole state as arrays and plain values, and back: what a snapshot holds.

Models of published checkpoints are named by id and read from the store again; everything else is in the snapshot.
"""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from service.learner.candidate import Candidate
from service.learner.drift import outputs_of
from service.learner.encoding import Scales
from service.learner.learner import Learner
from service.learner.portfolio import Portfolio
from service.learner.roles import Standing
from service.learner.spans import spans_behind
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.records import Partition
from service.train.round import Arrays, below, under
from service.validate.evidence import ForwardEvidence, Probation
from service.window.baseline import Baseline


def capture(learner: Learner, promoting: tuple[Candidate, str] | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Return the state, copied; with ``promoting`` as it will be once that candidate is the champion.

    A promotion is saved before its pointer moves, so the snapshot already names the checkpoint as champion.
    Fates that ``Learner.settle`` has handed out are not in it.
    """
    holdings, holdings_state = learner.holdings.snapshot()
    prequential, totals = learner.prequential.snapshot()
    fates, fates_state = learner.fates.snapshot()
    served = promoting[1] if promoting is not None and promoting[0].restores is None else None
    unserved, unserved_state = learner.fates.unserved.snapshot(served)
    arrays: Arrays = (
        under("holdings", holdings)
        | under("prequential", prequential)
        | under("statistics", learner.statistics.to_arrays())
        | under("scales", learner.scales.to_arrays())
        | under("fates", fates)
        | under("unserved", unserved)
    )
    roles = learner.roles.ids()
    spans = dict(learner.spans)
    champion = learner.roles.champion.model if learner.roles.champion else None
    evidence, probation = learner.evidence.to_json(), learner.probation
    speculation, speculation_state = learner.speculation.capture()
    lineages = learner.portfolio
    if promoting is not None:
        candidate, checkpoint_id = promoting
        roles = {
            "champion": checkpoint_id,
            "previous": roles["champion"],
            "frozen": roles["frozen"] or checkpoint_id,
        }
        spans |= learner.follows(candidate)
        champion, evidence, probation = candidate.model, {}, Probation(learner.settings.gate.previous_rounds)
        if candidate.restores is None:
            probation.begin()
        else:
            spans = spans_behind(learner.begins, learner.follows(candidate))
            lineages = Portfolio(learner.settings)
            lineages.restart(list(lineages.lineages), candidate.model)
    portfolio, portfolio_state = lineages.capture(champion)
    outputs = promoting[0].outputs if promoting is not None else None
    if promoting is not None and outputs is None:
        outputs = outputs_of(promoting[0].model, learner.holdings)
    drift, drift_state = learner.drift_monitor.snapshot(promoting=promoting is not None, outputs=outputs)
    arrays |= under("portfolio", portfolio) | under("speculation", speculation) | under("drift", drift)
    meta = {
        "roles": roles,
        "portfolio": portfolio_state,
        "evidence": evidence,
        "probation": probation.to_json(),
        "speculation": speculation_state,
        "drift": drift_state,
        "prequential": totals,
        "baseline": learner.baseline.to_json(),
        "triggers": learner.triggers.to_json(
            crowned=promoting is not None, served=promoting is not None and promoting[0].restores is None
        ),
        "holdings": holdings_state,
        "categories": learner.categories.to_json(),
        "labels": learner.labels.to_json(),
        "positions": _offsets(learner.positions),
        "spans": _offsets(spans),
        "begins": _offsets(learner.begins),
        "topics": dict(learner.topics),
        "fates": fates_state,
        "unserved": unserved_state,
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
    if "triggers" in meta:
        learner.triggers.restore(meta["triggers"])
    if "baseline" in meta:
        learner.baseline = Baseline.from_json(learner.settings.task, meta["baseline"])
    learner.statistics = Normaliser.from_arrays(below("statistics", arrays))
    learner.scales = Scales.from_arrays(below("scales", arrays))
    learner.categories = Categories.from_json(meta["categories"], learner.categories.capacity)
    learner.labels = Labels.from_json(meta["labels"])
    learner.evidence = ForwardEvidence.from_json(meta["evidence"], learner.settings.gate.forward_rounds)
    if "speculation" in meta:  # else saved before there was one
        learner.probation = Probation.from_json(meta["probation"], learner.settings.gate.previous_rounds)
        learner.speculation.restore(below("speculation", arrays), meta["speculation"])
    learner.positions = _partitions(meta["positions"])
    learner.spans = _partitions(meta["spans"])
    learner.begins = _partitions(meta.get("begins", meta["spans"]))
    learner.topics = dict(meta.get("topics", {}))
    if "fates" in meta:  # else saved before there was a ledger
        learner.fates.restore(below("fates", arrays), meta["fates"])
    if "unserved" in meta:  # else saved before checkpoints told of it
        learner.fates.unserved.restore(below("unserved", arrays), meta["unserved"])
    learner.counts |= meta["counts"]
    learner.outcomes |= meta["outcomes"]
    learner.new_events = meta["new_events"]
    learner.trained_until_ms = meta["trained_until_ms"]
    standing = {name: load(name) for name in {*meta["roles"].values()} - {None}}
    roles = learner.roles
    roles.champion, roles.previous, roles.frozen = (
        standing.get(meta["roles"][role]) for role in ("champion", "previous", "frozen")
    )
    reference = roles.champion.reference if roles.champion else None
    if "drift" in meta:
        learner.drift_monitor.restore(below("drift", arrays), meta["drift"], reference)
    elif reference is not None:  # saved before drift was watched
        learner.drift_monitor.follow(reference)
    if "portfolio" in meta:  # else saved when there was one challenger only: it begins anew, from the champion
        learner.portfolio.restore(
            below("portfolio", arrays), meta["portfolio"], roles.champion.model if roles.champion else None
        )
    elif roles.champion is not None:
        learner.portfolio.restart(list(learner.portfolio.lineages), roles.champion.model)


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
    learner.drift_monitor.follow(champion.reference)
    learner.portfolio.restart(list(learner.portfolio.lineages), champion.model)


def _offsets(positions: Mapping[Partition, int]) -> list[list[Any]]:
    return [[source.topic, source.partition, offset] for source, offset in sorted(positions.items())]


def _partitions(offsets: list[list[Any]]) -> dict[Partition, int]:
    return {Partition(topic, partition): offset for topic, partition, offset in offsets}
