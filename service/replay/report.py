"""`report.html`: one page that needs nothing beside it, from which a person sees what happened and what to change."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import yaml

from service.configuration_secrets import drop_secrets
from service.errors import UsageError
from service.replay.advice import advice
from service.replay.figures import figures
from service.replay.result import Result
from service.replay.verdict import headline, sentences
from service.validate.gate import REASONS

REPORT = "report.html"
MISSING = "the report needs plotly: pip install plotly; decisions.jsonl is written without it"
SHOWN_SECTIONS = ("task", "schema", "window", "trigger", "train", "gate")


def plotly_script() -> str | None:
    """Return plotly's JavaScript, None where the extra is not installed."""
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        return None
    return str(get_plotlyjs())


def write_report(folder: Path, result: Result, plotly: str) -> Path:
    """Write the page into a folder and return its path; raises UsageError when it cannot be written."""
    path = folder / REPORT
    try:
        path.write_text(page(result, plotly), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
    return path


def page(result: Result, plotly: str) -> str:
    """Return the page."""
    data = json.dumps(figures(result), allow_nan=False).replace("<", "\\u003c")
    lines = advice(result)
    return Template(_part("page.html")).substitute(
        name=escape(result.name),
        style=_part("page.css"),
        script=_part("page.js"),
        headline=escape(headline(result)),
        sentences="\n".join(f"<p>{escape(line)}</p>" for line in sentences(result)),
        tiles="\n".join(_tile(*tile) for tile in _tiles(result)),
        advice=_list(lines) if lines else "<p>Nothing stands out: these settings suit this stream.</p>",
        charts="\n".join(_charts(result)),
        tables="\n".join(_tables(result)),
        guessing="the mean of the values so far" if result.regression else "the commonest label so far",
        data=data,
        plotly=plotly,
    )


def _part(name: str) -> str:
    return (resources.files("service.replay") / "page" / name).read_text(encoding="utf-8")


def _tiles(result: Result) -> Iterable[tuple[str, str]]:
    tally, rounds = result.tally, result.tally.rounds
    errors = tally.mean_errors()
    for role, name in (("champion", "champion"), ("frozen", "frozen"), ("ungated", "ungated")):
        error = errors[role]
        if error is not None:
            yield (f"{error:.4g}", f"MAE, {name}") if result.regression else (f"{1 - error:.1%}", f"right, {name}")
    judged = rounds["promoted"] + rounds["rejected"]
    yield f"{rounds['promoted']:,} / {judged:,}", "candidates promoted"
    yield f"{tally.alarms.total():,}", "drift alarms"
    per_round = 1_000 * result.training_seconds / max(rounds["started"], 1)
    yield f"{result.training_seconds:,.1f} s", f"of training, {per_round:,.0f} ms a round"
    yield f"{result.rows / result.seconds:,.0f}", f"events a second; {result.rows:,} in {result.seconds:,.1f} s"


def _tile(figure: str, meaning: str) -> str:
    return f'<div class="tile"><b>{escape(figure)}</b><span>{escape(meaning)}</span></div>'


def _charts(result: Result) -> Iterable[str]:
    tally = result.tally
    if tally.scored_events:
        what = "Mean absolute error" if result.regression else "Share of right predictions"
        span = figures_span(result)
        shaded = "; shaded: learning was on trial" if result.suspicions else ""
        yield _chart("scores", f"{what} over time", f"Mean over the last {span:,} events{shaded}.")
    if tally.rounds["started"] > 1:
        yield _chart("rounds", "Rounds", "How the rounds of each stretch of the stream ended.", "low")
    if tally.drift.values:
        note = "Stability index in nats, against the champion's training data. Dotted: worth an alarm. Log scale."
        yield _chart("drift", "Drift of inputs and predictions", note, "mid")
        note = "Rise of the champion's error over the level before, in standard deviations of one error."
        yield _chart("concept", "Concept drift", note, "low")
    if len(tally.shares.values) > 1:
        yield _chart("shares", "Portfolio", "Share of each learner in what they predict together.", "mid")


def figures_span(result: Result) -> int:
    """Return over how many events the curves are averaged."""
    return int(figures(result)["scores"]["span"])


def _chart(key: str, title: str, note: str, size: str = "") -> str:
    return (
        f"<section><h2>{escape(title)}</h2><p class='note'>{escape(note)}</p>"
        f'<div id="{key}" class="chart {size}"></div></section>'
    )


def _tables(result: Result) -> Iterable[str]:
    tally = result.tally
    decisions = [
        (decision, reason, REASONS[reason], f"{count:,}") for (decision, reason), count in tally.decisions.most_common()
    ]
    if decisions:
        yield _table("Decisions", ("decision", "reason", "which means", "rounds"), decisions)
    if tally.refusals:
        refused = [(reason, f"{count:,}") for reason, count in tally.refusals.most_common()]
        yield _table("Dead letters", ("reason", "events"), refused)
    if tally.triggers:
        began = [(reason, f"{count:,}") for reason, count in tally.triggers.most_common()]
        yield _table("What called for rounds", ("trigger", "rounds"), began)
    shown = result.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    given = drop_secrets({key: value for key, value in shown.items() if key in SHOWN_SECTIONS})
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    title = "Settings that are not the defaults"
    yield f"<section><h2>{title}</h2><div class='scroll'><pre>{escape(text)}</pre></div></section>"


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose last column holds numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = ["", *[""] * (len(values) - 2), ' class="number"']
        return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<tr>{cells('th', names)}</tr>"
    return f"<section><h2>{escape(title)}</h2><div class='scroll'><table>{head}{body}</table></div></section>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul class='advice'>{''.join(f'<li>{_coded(line)}</li>' for line in lines)}</ul>"


def _coded(text: str) -> str:
    """Return text as HTML, what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
