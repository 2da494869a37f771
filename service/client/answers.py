"""What the server answers, typed. A key that a newer server adds is passed over."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec


class CheckpointName(msgspec.Struct, frozen=True):
    """Which checkpoint answered; ``trained_until`` is the time of the newest event that it was trained on."""

    id: str
    trained_until: datetime | None = None


class Explanation(msgspec.Struct, frozen=True):
    """What each feature adds to the score ``of`` a label, or to the value; or why that is ``unavailable``.

    ``attributions`` by feature and ``baseline``, the score where little is known, add up to the score.
    """

    of: str | None = None
    method: str | None = None
    baseline: float | None = None
    attributions: dict[str, float] = {}
    unavailable: str | None = None


class Prediction(msgspec.Struct, frozen=True):
    """What the model says of one instance.

    ``label`` is the likeliest label, ``scores`` every label's probability; for a regression the value itself, and
    ``{"value": it}``. ``warnings`` tell what the model has never seen. ``explanation`` is there if it was asked for.
    """

    label: str | float
    scores: dict[str, float]
    warnings: tuple[str, ...] = ()
    explanation: Explanation | None = None


class PredictAnswer(msgspec.Struct, frozen=True):
    """Predictions in the order of the instances, all of them by one checkpoint."""

    predictions: tuple[Prediction, ...]
    checkpoint: CheckpointName

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)


class Answered(NamedTuple):
    """One of many predictions, and the checkpoint that it came from."""

    prediction: Prediction
    checkpoint: CheckpointName


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event that did not fit: its place among those sent, and why; the server has dead-lettered it."""

    index: int
    reason: str


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of events; the accepted ones are durable."""

    accepted: int
    rejected: tuple[RejectedEvent, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One labelled event to send.

    ``ts`` is when it happened: an aware datetime, epoch milliseconds, or RFC 3339; without it, when it arrived.
    """

    features: dict[str, Any]
    label: Any
    id: str | None = None
    ts: datetime | float | str | None = None


class ServingStatus(msgspec.Struct, frozen=True):
    """The checkpoint that this server answers from; ``labels`` are empty for a regression."""

    id: str
    since: datetime
    round: int
    created_at: datetime
    trained_until: datetime | None
    labels: tuple[str, ...]


class Latest(msgspec.Struct, frozen=True):
    """Where the store's pointer stands, and who moved it there."""

    id: str
    previous: str | None
    at: datetime
    by: str
    reason: str


class Pinned(msgspec.Struct, frozen=True):
    """The checkpoint that every server of the store answers from until it is unpinned, and who pinned it."""

    id: str
    at: datetime
    by: str
    reason: str


class Shadowed(msgspec.Struct, frozen=True):
    """A candidate that is run beside the champion, the checkpoint it stands for, and why it is not, if it is not."""

    candidate: str
    checkpoint: str | None
    since: datetime
    problem: str | None


class StatusAnswer(msgspec.Struct, frozen=True):
    """How the server and its trainer fare; ``trainer`` is what the trainer last wrote of itself."""

    task: str
    model_name: str
    version: str
    serving: ServingStatus | None
    latest: Latest | None
    trouble: str | None
    trainer: dict[str, Any] | None
    pinned: Pinned | None = None
    shadow: tuple[Shadowed, ...] = ()


class CheckpointEntry(msgspec.Struct, frozen=True):
    """One checkpoint of the store; ``problem`` tells why it cannot be served, if it cannot."""

    id: str
    serving: bool
    latest: bool
    round: int | None
    created_at: datetime | None
    trained_until: datetime | None
    trigger: str | None
    problem: str | None
    pinned: bool = False


class DataRange(msgspec.Struct, frozen=True):
    """Consecutive records of one partition that a round learnt from, both ends included."""

    topic: str
    partition: int
    first: int
    last: int


class Following(msgspec.Struct, frozen=True):
    """Where a partition goes on: the first record that a checkpoint and its ancestors have not learnt from."""

    topic: str
    partition: int
    offset: int


class Learnt(msgspec.Struct, frozen=True):
    """How many events a checkpoint learnt that none before it had, and from when to when they happened."""

    events: int
    first: datetime | None = None
    last: datetime | None = None
    after: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Where a checkpoint came from, what it learnt from, and how the gate judged it."""

    format_version: int
    id: str
    round: int
    parent: str | None
    lineage: str
    created_at: datetime
    trained_until: datetime | None
    trigger: str
    data: tuple[DataRange, ...]
    follows: tuple[Following, ...]
    hyperparameters: dict[str, Any]
    gate: dict[str, Any] | None
    schema_fingerprint: str
    model_fingerprint: str
    versions: dict[str, str]
    fence: int
    learnt: Learnt | None = None


class PromoteAnswer(msgspec.Struct, frozen=True):
    """Where the store's pointer stands after a promotion; while there is a pin, that serves. ``note`` says it all."""

    latest: Latest
    pinned: Pinned | None
    note: str


class PinAnswer(msgspec.Struct, frozen=True):
    """What is pinned now, what was before (``replaced``), and what would serve without it (``latest``)."""

    pinned: Pinned
    replaced: str | None
    latest: Latest | None


class UnpinAnswer(msgspec.Struct, frozen=True):
    """Whether there was a pin, which (None also for a damaged one), and what serves now."""

    removed: bool
    was: Pinned | None
    latest: Latest | None


class HistoryEntry(msgspec.Struct, frozen=True):
    """One act of an operator: ``event`` is promoted, pinned, unpinned or failed (``what`` failed, and its problem)."""

    event: str
    at: datetime
    by: str
    reason: str
    checkpoint: str | None
    before: str | None
    what: str | None = None
    problem: str | None = None


class Health(msgspec.Struct, frozen=True):
    """Whether all is well, which is also its truth; ``detail`` tells what is not."""

    ok: bool
    detail: str | None = None

    def __bool__(self) -> bool:
        return self.ok
