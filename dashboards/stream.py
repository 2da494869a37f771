"""Stream: what comes in, what waits, what is refused and why, what is kept, and whether it is saved."""

from grafana_foundation_sdk.models import dashboard

from dashboards.frame import Row, assemble, instances
from dashboards.panels import (
    BYTES,
    EVENTS,
    EVENTS_PER_SECOND,
    PER_MINUTE,
    RED,
    SECONDS,
    SHARE,
    YELLOW,
    Reading,
    timeseries,
)
from dashboards.queries import Query, at, ever, largest, of, quantile, rate, summed
from dashboards.runbook import Section

TRAINERS = "freshet_window_events"
PARTITION = "topic, partition"
PARTITION_NAME = "{{topic}}/{{partition}}"
CONSUMED, REFUSED = "freshet_events_consumed_total", "freshet_events_rejected_total"
SNAPSHOTS = "freshet_snapshot_duration_seconds"


def stream() -> dashboard.Dashboard:
    """Return the dashboard of what comes in."""
    return assemble(
        "Stream",
        "What comes in, what waits, what is refused and why, what is kept of it, and whether it is saved.",
        [_intake(), _refused(), _kept(), _saved()],
        [instances("freshet_ready")],
        (),
    )


def _intake() -> Row:
    read = timeseries(
        "Events read",
        Reading(
            "Records read a second, accepted and refused, by partition.",
            "what your producers send.",
            "0 while they send: the broker is away, or the partition is stuck; the trainer's `/readyz` says which.",
            runbook=Section.PARTITION,
        ),
        Query(rate(CONSUMED, by=PARTITION), PARTITION_NAME),
        unit=EVENTS_PER_SECOND,
    )
    lag = timeseries(
        "Events waiting",
        Reading(
            "Records that wait to be read, by partition.",
            "near 0, and falling after a burst.",
            "growing: more comes than one trainer takes in. See what holds intake back; raise `source.poll_events` or "
            "give it a core of its own.",
            runbook=Section.LAG,
        ),
        Query(summed("freshet_consumer_lag_events", by=PARTITION), PARTITION_NAME),
        unit=EVENTS,
    )
    progress = timeseries(
        "Time since progress",
        Reading(
            "Time since a partition was last read, or seen to have nothing to read.",
            "below a few seconds.",
            "rising on all: the broker cannot be reached. Rising on one: its leader is away.",
            runbook=Section.SOURCE,
        ),
        Query(f"time() - {largest('freshet_partition_last_progress_timestamp_seconds', by=PARTITION)}", PARTITION_NAME),
        unit=SECONDS,
        steps=((30, YELLOW), (120, RED)),
    )
    held = timeseries(
        "Intake held back",
        Reading(
            "Share of the time in which nothing was polled because what comes behind could not keep up, by reason.",
            "0%.",
            "`training`: rounds are slower than events, see `window.overflow`. `dead_letters`: they cannot be written. "
            "`state`: the state cannot be saved.",
            runbook=Section.LAG,
        ),
        Query(rate("freshet_intake_held_back_seconds_total", by="reason"), "{{reason}}"),
        unit=SHARE,
        steps=((0.5, YELLOW),),
    )
    gaps = timeseries(
        "Time between polls",
        Reading(
            "Time from the end of a poll to the next one's beginning.",
            "milliseconds, also while a round is trained.",
            "seconds: the process does not get its core, or waits for a disk.",
            runbook=Section.LAG,
        ),
        Query(quantile(0.5, "freshet_poll_gap_seconds"), "median"),
        Query(quantile(0.99, "freshet_poll_gap_seconds"), "99%"),
        unit=SECONDS,
        steps=((1, YELLOW), (5, RED)),
    )
    gone = timeseries(
        "Events lost to the log's retention",
        Reading(
            "Records a minute that the log had deleted before they were read.",
            "0.",
            "the trainer was away for longer than the topic keeps its records: lengthen its retention.",
            runbook=Section.GONE,
        ),
        Query(f"60 * {rate('freshet_positions_gone_events_total')} or vector(0)", "lost"),
        unit=PER_MINUTE,
        steps=((1, RED),),
    )
    return "Intake", [[read, lag, progress], [held, gaps, gone]]


def _refused() -> Row:
    reasons = timeseries(
        "Refused events by reason",
        Reading(
            "Events a second that did not fit, in the topic or at `POST /v1/events`; all are among the dead letters, "
            "with their reason. Reasons that never occurred are not shown.",
            "0.",
            "`freshet dlq list` shows them; mend the producer or the schema, then `freshet dlq replay`.",
            runbook=Section.REFUSED,
            empty="none refused",
        ),
        Query(ever(REFUSED, label="reason", none="none refused"), "{{reason}}"),
        unit=EVENTS_PER_SECOND,
        as_bars=True,
    )
    share = timeseries(
        "Share of events refused",
        Reading(
            "Records that did not fit of all that were read. No line: nothing was read.",
            "0%.",
            "a step to 100% is a producer that changed its format; the reasons beside tell how.",
            runbook=Section.REFUSED,
        ),
        Query(f"sum ({of(TRAINERS, f'rate({at(REFUSED)}[$__rate_interval])')}) / {rate(CONSUMED)}", "refused"),
        unit=SHARE,
        steps=((0.001, YELLOW), (0.01, RED)),
    )
    letters = timeseries(
        "Dead letters",
        Reading(
            "Refused records set aside a second, and tries to that came to nothing.",
            "`sent` follows what is refused, `failed` stays 0.",
            "`failed`: their topic cannot be written; the trainer tries again, and pauses when memory fills.",
            runbook=Section.DEAD_LETTERS,
        ),
        Query(rate("freshet_dead_letters_total", by="outcome"), "{{outcome}}"),
        unit=EVENTS_PER_SECOND,
        colours={"sent": YELLOW, "failed": RED},
    )
    return "Refused", [[reasons, share, letters]]


def _kept() -> Row:
    kept = timeseries(
        "Events kept",
        Reading(
            "Events in the training window, in the replay memory, and held out to judge by.",
            "each at its bound after a while: `window.events`, `window.replay_events`.",
            "held-out ones few: the gate cannot judge; raise `window.holdout_share`.",
        ),
        *(Query(largest(f"freshet_{name}_events"), name) for name in ("window", "replay", "heldout")),
        unit=EVENTS,
    )
    unlearnt = timeseries(
        "Left the window unlearnt",
        Reading(
            "Events a second that left the window before any round trained on them; most go to the replay memory.",
            "0.",
            "rounds are slower than events: a longer window, cheaper rounds, or `window.overflow: wait`.",
            runbook=Section.UNLEARNT,
        ),
        Query(rate("freshet_events_evicted_unlearnt_total"), "unlearnt"),
        unit=EVENTS_PER_SECOND,
        steps=((1, YELLOW),),
    )
    memory = timeseries(
        "Memory of the trainer",
        Reading(
            "Resident memory of the process that takes events in, without the one that trains.",
            "flat, once window and replay memory are full.",
            "rising for hours: keep a log of it and report it.",
        ),
        Query(of(TRAINERS, largest("process_resident_memory_bytes", by="job, instance")), "{{instance}}"),
        unit=BYTES,
    )
    return "Kept", [[kept, unlearnt, memory]]


def _saved() -> Row:
    duration = timeseries(
        "Time to save a snapshot",
        Reading(
            "From the start of writing the trainer's state until it is durable.",
            "well below `trainer.snapshot_seconds`.",
            "a slow disk or volume: a restart then reads more events again. Training never waits for it.",
            runbook=Section.STATE,
            empty="no snapshot lately",
        ),
        Query(quantile(0.5, SNAPSHOTS), "median"),
        Query(quantile(0.95, SNAPSHOTS), "95%"),
        unit=SECONDS,
        steps=((1, YELLOW), (5, RED)),
    )
    often = timeseries(
        "Snapshots saved",
        Reading(
            "Snapshots a minute. None is due while nothing changes.",
            "60 / `trainer.snapshot_seconds` and those of promotions, while events come.",
            "0 while events come: the state cannot be saved, a full disk for example, and training pauses.",
            runbook=Section.STATE,
        ),
        Query(f"60 * {rate(f'{SNAPSHOTS}_count')}", "saved"),
        unit=PER_MINUTE,
    )
    overdue = timeseries(
        "Snapshot overdue",
        Reading(
            "How long the trainer's state has waited to be saved since a save began that has not succeeded.",
            "0, or a moment.",
            "rising: nothing can be saved, so a restart would read all since then again: a full disk, or a volume that "
            "is away.",
            runbook=Section.STATE,
        ),
        Query(largest("freshet_snapshot_overdue_seconds"), "overdue"),
        unit=SECONDS,
        steps=((5, YELLOW), (60, RED)),
    )
    return "Saved", [[duration, often, overdue]]
