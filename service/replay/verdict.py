"""What a replay's figures mean: a headline and some sentences in plain words."""

from service.replay.result import Result

NOTABLE = 0.002
"""A difference in accuracy that is worth a word; for a regression, this share of the frozen model's error."""


def headline(result: Result) -> str:
    """Return the verdict in one sentence."""
    bought, rounds = result.bought(), result.tally.rounds
    if bought is None:
        return "No event could be scored."
    if not rounds["started"]:
        return "No model was trained: there was nothing to begin a round with."
    if not rounds["promoted"]:
        every = rounds["failed"] and not rounds["rejected"]
        later = "every later round failed" if every else "no later one was published"
        return f"One model was trained at the beginning, and {later}."
    if abs(bought) < notable(result):
        return f"Fine-tuning changed next to nothing: {amount(result, bought, signed=True)}."
    if bought < 0:
        return f"Fine-tuning did harm: it cost {amount(result, -bought)} against the first model, left as it was."
    return f"Fine-tuning bought {amount(result, bought)} over the first model, left as it was."


def sentences(result: Result) -> list[str]:
    """Return what happened, a sentence each: scores, gate, rounds, guessing."""
    tally, rounds = result.tally, result.tally.rounds
    errors = tally.mean_errors()
    if errors["champion"] is None:
        return []
    what = "Mean absolute error" if result.regression else "Right predictions"
    told = [
        (
            f"{what} over {tally.scored_events:,} events, each predicted before it was learnt: "
            f"{score(result, 'champion')} as served, {score(result, 'frozen')} by the first model left as it was, "
            f"{score(result, 'baseline')} by guessing from the labels alone."
        )
    ]
    judged = rounds["promoted"] + rounds["rejected"]
    if judged:
        first = "" if result.pretrained else ", of which the first made the first model"
        told.append(
            f"{rounds['started']:,} rounds were trained{first}; of {judged:,} candidates the gate let "
            f"{rounds['promoted']:,} out and rejected {rounds['rejected']:,}"
            + (f"; {rounds['failed']:,} rounds failed" if rounds["failed"] else "")
            + (f"; {rounds['rolled_back']:,} were rolled back" if rounds["rolled_back"] else "")
            + "."
        )
        told.append(_of_the_gate(result))
    if tally.turns["entered"]:
        told.append(_of_trials(result))
    return told


def on_trial_share(result: Result) -> float:
    """Return the share of the stream in which learning was on trial, of its newest part if there were very many."""
    events = sum(end - begin for begin, end, _ in result.suspicions)
    return events / max(result.tally.curves.events, 1)


def amount(result: Result, difference: float, *, signed: bool = False) -> str:
    """Return a difference of mean errors in the reader's unit."""
    sign = "+" if signed else ""
    if result.regression:
        return f"{difference:{sign}.4g} of mean absolute error"
    points = 100 * difference
    return f"{points:{sign}.{2 if abs(points) < 1 else 1}f} points of accuracy"


def score(result: Result, role: str) -> str:
    """Return a role's accuracy, or its mean absolute error."""
    error = result.tally.mean_errors()[role]
    if error is None:
        return "none"
    return f"{error:.4g}" if result.regression else f"{1 - error:.1%}"


def notable(result: Result) -> float:
    """Return the least difference of mean errors that is worth a word."""
    frozen = result.tally.mean_errors()["frozen"]
    return NOTABLE * (frozen or 0.0) if result.regression else NOTABLE


def _of_trials(result: Result) -> str:
    """Say how often what arrived was not trusted, and what it turned out to be."""
    turns = result.tally.turns
    endings = {
        "changed": "the stream had changed",
        "noise": "it was noise and rolled back",
        "expired": "it stayed open",
    }
    found = ", ".join(f"{_times(turns[what])} {words}" for what, words in endings.items() if turns[what])
    return f"Learning was on trial {_times(turns['entered'])}, in {on_trial_share(result):.1%} of the stream" + (
        f": {found}." if found else "."
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _of_the_gate(result: Result) -> str:
    saved = result.bought(over="ungated") or 0.0
    if not result.settings.gate.enabled:
        return "The gate was off: every round's candidate went out."
    if abs(saved) < notable(result):
        return "The gate made no notable difference to publishing every round's candidate."
    verb = "saved" if saved > 0 else "cost"
    return f"The gate {verb} {amount(result, abs(saved))} against publishing every round's candidate."
