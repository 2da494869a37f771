"""`freshet dlq`: the refused events with their reasons, and sending them once more."""

import base64
from collections import Counter, deque
from typing import Annotated, Any

import typer

from service.cli.options import AsJson, Config, Overrides, answer, load, show, show_table, tell
from service.errors import UsageError

SHOWN_CHARACTERS = 60

app = typer.Typer(name="dlq", help="List dead letters and send them again.", no_args_is_help=True)
Reason = Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only letters refused for this reason.")]


@app.command("list")
def list_(
    *,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="Show the newest N; all are counted.")] = 20,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by reason and show the newest."""
    _check(reason)
    settings = load(config, overrides)
    from service.ingest.dead_letter_replay import ListedLetter, read_dead_letters  # noqa: PLC0415 - slow to import
    from service.ingest.dead_letters import dead_letter_topic  # noqa: PLC0415

    counts: Counter[str] = Counter()
    newest: deque[ListedLetter] = deque(maxlen=limit)
    replayed = 0
    for listed in read_dead_letters(settings):
        if reason in (None, listed.letter.reason):
            counts[listed.letter.reason] += 1
            replayed += listed.replayed
            newest.append(listed)
    topic = dead_letter_topic(settings.source.topic)
    if settings.source.kind == "embedded" and not settings.source.embedded.path.exists():
        tell(f"freshet: there is no log at {settings.source.embedded.path} yet; the first event makes it")
    if as_json:
        letters = [
            {
                "topic": letter.source.topic,
                "partition": letter.source.partition,
                "offset": letter.offset,
                "reason": letter.reason,
                "bytes": _bytes(letter.value, letter.truncated_bytes),
                "sha256": letter.sha256,
                "replayed": listed.replayed,
                **_value(letter.value),
            }
            for listed in newest
            for letter in (listed.letter,)
        ]
        total = {"total": counts.total(), "replayed": replayed}
        answer({"topic": topic, **total, "reasons": dict(counts), "letters": letters})
        return
    if newest:
        rows = [
            (
                f"{letter.source.topic}/{letter.source.partition}/{letter.offset}",
                letter.reason,
                _bytes(letter.value, letter.truncated_bytes),
                "yes" if listed.replayed else "no",
                _beginning(letter.value),
            )
            for listed in newest
            for letter in (listed.letter,)
        ]
        show_table(("record", "reason", "bytes", "replayed", "value"), rows)
    by_reason = ", ".join(f"{count:,} {why}" for why, count in counts.most_common()) or "none"
    already = f"; {replayed:,} of them replayed already" if counts else ""
    show(f"{counts.total():,} dead letters in {topic}: {by_reason}{already}")


@app.command("replay")
def replay(
    *, reason: Reason = None, config: Config = None, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Send the dead letters that were not sent again yet to their topic, as they were."""
    _check(reason)
    settings = load(config, overrides)
    from service.ingest.dead_letter_replay import replay_dead_letters  # noqa: PLC0415 - slow to import

    done = replay_dead_letters(settings, reason)
    if as_json:
        skipped = {"truncated": done.truncated, "copies": done.copies}
        answer({"topic": settings.source.topic, "sent": done.sent, **skipped, "refused": done.refused})
    else:
        tell(f"freshet: sent {done.sent:,} dead letters to {settings.source.topic} again")
    if done.truncated:
        tell(f"freshet: {done.truncated:,} of which only the beginning was kept were passed over")
    if done.copies:
        tell(f"freshet: {done.copies:,} further copies of the same records were passed over")
    if done.refused:
        tell(f"freshet: the topic refused {done.refused:,}")
        raise typer.Exit(1)


def _check(reason: str | None) -> None:
    from service.records import REFUSAL_REASONS  # noqa: PLC0415 - slow to import

    if reason is not None and reason not in REFUSAL_REASONS:
        raise UsageError(f"--reason {reason}: no such reason; there are {', '.join(REFUSAL_REASONS)}")


def _bytes(value: bytes | None, truncated_bytes: int | None) -> int:
    return truncated_bytes if truncated_bytes is not None else len(value or b"")


def _value(value: bytes | None) -> dict[str, Any]:
    """Return a value for JSON: as text where it is text, else in base64."""
    if value is None:
        return {"value": None}
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode("ascii")}


def _beginning(value: bytes | None) -> str:
    """Return the first characters of a value, fit for a terminal."""
    if value is None:
        return "(no value)"
    text = value[: 4 * SHOWN_CHARACTERS].decode(errors="replace")
    plain = "".join(character if character.isprintable() else "·" for character in text)
    return plain if len(plain) <= SHOWN_CHARACTERS and len(text) == len(plain) else plain[: SHOWN_CHARACTERS - 1] + "…"
