"""`freshet replay`: a recording through the very same stages as a live stream, on a virtual clock."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from service.learner.admission import require_model
from service.learner.given import stand_on_weights
from service.learner.learner import Learner
from service.replay.advice import advice
from service.replay.decisions import DecisionLog
from service.replay.drive import Drive, Progress
from service.replay.pretrained import begin_pretrained
from service.replay.recording import Clock, Recording
from service.replay.report import MISSING, plotly_script, write_report
from service.replay.result import Result
from service.replay.schema import schema_lines, settle_schema
from service.replay.score_only import read_score_only
from service.replay.tally import Tally
from service.replay.verdict import headline, sentences
from service.settings import Settings
from service.table_events import check_columns
from service.tables import read_table

DEFAULT_RATE = 1_000.0
GIVEN = "000000"
"""What a model that was pre-trained elsewhere is called; rounds count from 1."""


def replay(
    settings: Settings,
    file: Path,
    *,
    label: str | None = None,
    rate: float = DEFAULT_RATE,
    score_only: Path | None = None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda _line: None,
    progress: Progress = lambda _events, _share: None,
) -> dict[str, Any]:
    """Replay a recording and return the summary; with ``out``, a folder, leave report and decisions there.

    The store is only looked into, for the model that `pretrain` may have made. ``say`` is told, in whole lines, what a
    person should know. Raises TableError for the file, ConfigurationError where there is neither schema nor label,
    UsageError for a bad ``score_only`` or ``out``, and StoreError for a pre-trained model that cannot be read.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)  # so that sums are added up in the same order
    table = read_table(file)
    settings, inference = settle_schema(settings, table, label)
    for line in schema_lines(settings, inference) if inference is not None else ():
        say(line)
    if inference is None:
        check_columns(table, settings)
    require_model(settings)
    counts = read_score_only(score_only, sum(1 for _ in table)) if score_only is not None else None
    plotly = plotly_script() if out is not None else None
    if out is not None and plotly is None:
        say(MISSING)
    tally = Tally(settings.task)
    learner = Learner(settings, tally)
    first = begin_pretrained(learner, say) or stand_on_weights(learner, GIVEN)
    with DecisionLog(out) as decisions:
        drive = Drive(learner, Recording(table, settings, Clock(rate)), tally, decisions, counts)
        drive.run(progress)
    result = Result(
        name=file.name,
        settings=settings,
        tally=tally,
        rows=drive.recording.rows,
        seconds=time.perf_counter() - began,
        training_seconds=drive.rounds.seconds,
        virtual_seconds=drive.virtual_seconds,
        timed=drive.recording.clock.timed,
        pretrained=first,
        labels=learner.labels.names,
        refused_labels=drive.refused_labels,
        suspicions=drive.suspicions.spans(learner.counts["accepted"]),
    )
    if out is not None and plotly is not None:
        say(f"report: {write_report(out, result, plotly)}")
    for line in (headline(result), *sentences(result), *advice(result)):
        say(line)
    return result.summary()
