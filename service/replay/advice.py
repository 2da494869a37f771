"""Which setting to try next, from a replay's figures. Rules over numbers, no more."""

import json
import math
from collections import Counter

import numpy as np

from service.replay.result import Result
from service.replay.verdict import amount, notable, on_trial_share
from service.settings import BINARY_CLASSES
from service.validate.gate import REASONS, REJECT

COSTLY = 0.005
MANY = 0.6
OFTEN_ON_TRIAL = 0.05
"""Share of the stream in which learning was on trial."""

ALWAYS_APART = 1.0
"""A median stability index of a feature, in nats, over which it is always outside of what was trained on."""

FEW_ROUNDS = 5
BUSY = 0.5

REMEDIES = {
    "forward_worse": "rounds bring little that is new: fewer of them cost less; raise `trigger.every_events`",
    "recent_worse": "candidates do worse on held-out events: lower {rates} or a longer "
    "`window.events` make rounds steadier",
    "class_floor": "candidates give up a class: raise `window.events` or {shares} so that rare classes "
    "stay in view, or lower `gate.class_floor`",
    "memory_worse": "candidates forget: raise {shares}, or `gate.max_memory_loss_increase`",
    "too_little_evidence": "there was too little to judge by: raise `trigger.every_events` or `window.holdout_share`",
    "not_finite": "candidates diverge: lower {rates}",
}
"""What to try when most candidates were rejected for a reason."""


def advice(result: Result) -> list[str]:
    """Return what to look at or to change, the most important first; empty when all is well."""
    return [line for rule in RULES for line in rule(result)]


def _of_refusals(result: Result) -> list[str]:
    refused = result.tally.refusals
    if not refused:
        return []
    reasons = ", ".join(f"{events:,} {reason}" for reason, events in refused.most_common())
    lines = [f"Dead-lettered, so never learnt: {refused.total():,} of {result.rows:,} events ({reasons})."]
    if refused["unknown_label"]:
        names = ", ".join(repr(name) for name in list(result.refused_labels)[:5])
        both = ", ".join(json.dumps(label) for label in [*result.labels, *result.refused_labels])
        several = len(result.labels) + len(result.refused_labels) > BINARY_CLASSES
        task = " --set task=multiclass" if several else ""
        lines.append(
            f"Labels that are not among the {len(result.labels)} known ones (such as {names}) came with "
            f"{refused['unknown_label']:,} events: name all labels, --set 'schema.labels=[{both}]'{task}."
        )
    if refused["missing_feature"]:
        lines.append("Features that may be missing must stand in `schema.nullable`.")
    if refused["wrong_type"]:
        lines.append("A column that holds numbers and texts can be learnt from as `schema.categorical`.")
    return lines


def _of_no_rounds(result: Result) -> list[str]:
    tally, trigger = result.tally, result.settings.trigger
    if tally.rounds["started"]:
        return []
    if not result.regression and len(result.labels) < BINARY_CLASSES:
        return [f"The recording has {len(result.labels)} label where two are needed: there is nothing to tell apart."]
    return [
        (
            f"The first round begins after {trigger.every_events:,} events, and the recording has "
            f"{tally.curves.events:,}: lower `trigger.every_events`, or record for longer."
        )
    ]


def _of_guessing(result: Result) -> list[str]:
    if not result.tally.rounds["started"] or (result.bought(over="baseline") or 0.0) > notable(result):
        return []
    return [
        (
            "The model is no better than guessing from the labels alone: the features may say nothing about the label, "
            "or the label column may be the wrong one."
        )
    ]


def _of_failures(result: Result) -> list[str]:
    failures = result.tally.failures
    if not failures:
        return []
    causes = ", ".join(f"{count:,} {cause}" for cause, count in failures.most_common())
    remedy = f": lower {_keys(result)['rates']}" if failures["not_finite"] else "; decisions.jsonl tells why"
    return [f"Rounds failed ({causes}){remedy}."]


def _of_rejections(result: Result) -> list[str]:
    rounds = result.tally.rounds
    judged = rounds["promoted"] + rounds["rejected"]
    if judged < FEW_ROUNDS:
        return []
    reasons = Counter({reason: n for (kind, reason), n in result.tally.decisions.items() if kind == REJECT})
    del reasons["suspected"]  # a rule of its own
    if not reasons or not (_costly(result) or reasons.total() > MANY * judged):
        return []
    reason, times = reasons.most_common(1)[0]
    what = f"{times:,} of {judged:,} candidates were rejected for `{reason}` ({REASONS[reason]})"
    if _costly(result):
        return [
            f"{what}, and the gate cost {_cost(result)}: try fewer `gate.min_forward_events`, or a higher `gate.alpha`."
        ]
    return [f"{what}: {REMEDIES.get(reason, 'see decisions.jsonl').format(**_keys(result))}."]


def _of_trials(result: Result) -> list[str]:
    share, turns = on_trial_share(result), result.tally.turns
    if share < OFTEN_ON_TRIAL or not _costly(result):
        return []
    return [
        (
            f"Nothing was published in {share:.0%} of the stream, where the model did no better than guessing "
            f"({turns['entered']:,} times), and the gate cost {_cost(result)}: where the stream is just hard to "
            "predict, a higher `gate.suspicion_events` waits for stronger evidence."
        )
    ]


def _of_strangers(result: Result) -> list[str]:
    readings = result.tally.drift.values
    medians = {
        name: float(np.median([value for value in values if math.isfinite(value)] or [0.0]))
        for name, values in readings.items()
        if name.startswith("psi/")
    }
    apart = [name.removeprefix("psi/") for name, median in medians.items() if median > ALWAYS_APART]
    if not apart:
        return []
    names = ", ".join(f"`{name}`" for name in apart[:5])
    return [
        (
            f"Always far outside of what the champion was trained on: {names}. Where such a column only grows with "
            "time, it tells later models nothing; try without it."
        )
    ]


def _keys(result: Result) -> dict[str, str]:
    """Return what to turn to change learning rates and replay shares."""
    alone = result.settings.train.portfolio == ()
    if alone:
        return {"rates": "`train.learning_rate`", "shares": "`train.replay_share`"}
    return {"rates": "learning rates in `train.portfolio`", "shares": "replay shares in `train.portfolio`"}


def _costly(result: Result) -> bool:
    least = 10 * notable(result) if result.regression else COSTLY
    return (result.bought(over="ungated") or 0.0) < -least


def _cost(result: Result) -> str:
    return amount(result, -(result.bought(over="ungated") or 0.0))


def _of_little_gain(result: Result) -> list[str]:
    bought, rounds = result.bought(), result.tally.rounds
    if bought is None or rounds["started"] < FEW_ROUNDS or bought > notable(result):
        return []
    return [
        (
            "The stream hardly changes, or rounds learn too little of it: with a higher `trigger.every_events` it "
            f"costs less; higher {_keys(result)['rates']} or a shorter `window.events` follow changes faster."
        )
    ]


def _of_cost(result: Result) -> list[str]:
    if result.virtual_seconds <= 0 or not result.training_seconds:
        return []
    busy = result.training_seconds / result.virtual_seconds
    if busy < BUSY:
        return []
    pace = (
        "the recording's pace"
        if result.timed
        else f"{result.rows / result.virtual_seconds:,.0f} events a second (--rate)"
    )
    return [
        (
            f"At {pace} training would take {busy:.0%} of one core: rounds would come late and several triggers "
            "fall into one. Raise `trigger.every_events`, or lower `train.steps`."
        )
    ]


RULES = (
    _of_refusals,
    _of_no_rounds,
    _of_guessing,
    _of_failures,
    _of_trials,
    _of_rejections,
    _of_strangers,
    _of_little_gain,
    _of_cost,
)
"""The most important first."""
