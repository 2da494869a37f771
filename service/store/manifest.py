"""What a checkpoint says about itself."""

import re
import secrets
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.errors import CheckpointDamagedError, StoreError
from service.store.canonical import plain
from service.store.clock import utc_seconds, utc_text
from service.store.event_times import NO_TIMES, EventTimes

FOR_MACHINES = {"learnt": {"times"}}
"""What is left out of a manifest where a person reads it."""

FORMAT_VERSION = 3
"""Since 2 with ``follows``; in a manifest of 1 it is what ``data`` tells. Since 3 with ``learnt``."""

_ID = re.compile(r"[0-9]{6,12}-[0-9a-f]{8}")


def is_id(text: object) -> bool:
    """Tell whether a value has the form of a checkpoint's id; only such a text may become part of a path."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def fresh_id(number: int) -> str:
    """Return a new id of that age: rounds give rising numbers, and two of one number still differ."""
    return f"{number:06d}-{secrets.token_hex(4)}"


def age(checkpoint_id: str) -> tuple[int, str]:
    """Return what to sort ids by: the older, the smaller."""
    return int(checkpoint_id.partition("-")[0]), checkpoint_id


def _checked_id(text: str) -> str:
    if not is_id(text):
        message = f"{text!r} is no checkpoint's id"
        raise ValueError(message)
    return text


def _is_time(text: str) -> str:
    utc_seconds(text)
    return text


CheckpointId = Annotated[str, AfterValidator(_checked_id)]
Time = Annotated[str, AfterValidator(_is_time)]
Plain = Annotated[dict[str, Any], BeforeValidator(plain)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataRange(_Frozen):
    """Consecutive records of one partition: the ``first`` and ``last`` offset, both included."""

    topic: str
    partition: int
    first: int
    last: int


class Following(_Frozen):
    """The ``offset`` of a partition's first record that a checkpoint and its ancestors have not learnt from."""

    topic: str
    partition: int
    offset: int


class Learnt(_Frozen):
    """The learnable events that no checkpoint published before has learnt from.

    So many ``events``, which happened from about ``first`` to ``last``; ``after`` is the checkpoint published before it
    that told of such events. ``times`` is when each of them happened, as ``EventTimes.encoded`` writes it: for those
    that measure, and left out where a person reads.
    """

    events: Annotated[int, Field(ge=0)]
    first: Time | None = None
    last: Time | None = None
    after: CheckpointId | None = None
    times: str = ""

    @model_validator(mode="after")
    def _times_are_of_these_events(self) -> Self:
        if self.times and self.event_times.events != self.events:
            message = "its times are not those of so many events"
            raise ValueError(message)
        return self

    @classmethod
    def of(cls, times: EventTimes, after: str | None) -> Self:
        """Return what a manifest says of such events."""
        if not len(times):
            return cls(events=0, after=after)
        first, last = (utc_text(int(times.stamps[at]) / 1_000) for at in (0, -1))
        return cls(events=times.events, first=first, last=last, after=after, times=times.encoded())

    @property
    def event_times(self) -> EventTimes:
        """When the events happened."""
        return EventTimes.decoded(self.times) if self.times else NO_TIMES


class Manifest(_Frozen):
    """A checkpoint's origin, in plain JSON.

    ``parent`` is the checkpoint it was fine-tuned from, ``lineage`` the frozen, pre-trained root of that chain (a root
    has no parent and is its own lineage); times are RFC 3339 in UTC, ``trained_until`` the largest event time trained
    on; ``trigger`` the reason of the round; ``data`` what the round learnt from; ``follows`` where every partition goes
    on; ``learnt`` the events that were never served before, None in a former checkpoint that is published anew and in
    what an older Freshet wrote; ``gate`` the decision's numbers, None where no gate was asked; ``fence`` the number of
    the lease under which it was written. NaN becomes None.
    """

    format_version: int = FORMAT_VERSION
    id: CheckpointId
    round: Annotated[int, Field(ge=0)]
    parent: CheckpointId | None = None
    lineage: CheckpointId
    created_at: Time
    trained_until: Time | None = None
    trigger: str
    data: tuple[DataRange, ...] = ()
    follows: tuple[Following, ...] = ()
    learnt: Learnt | None = None
    hyperparameters: Plain = Field(default_factory=dict)
    gate: Plain | None = None
    schema_fingerprint: str
    model_fingerprint: str
    versions: dict[str, str] = Field(default_factory=dict)
    fence: int

    @model_validator(mode="after")
    def _a_root_is_its_own_lineage(self) -> Self:
        if self.parent is None and self.lineage != self.id:
            message = "a checkpoint without parent is the root of its own lineage"
            raise ValueError(message)
        return self

    def readable(self) -> dict[str, Any]:
        """Return it as plain values without what is for machines alone."""
        return self.model_dump(mode="json", exclude=FOR_MACHINES)

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> Self:
        """Return the manifest that plain values describe.

        Raises StoreError for one that a newer Freshet wrote, CheckpointDamagedError for one that makes no sense.
        """
        version = values.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            message = f"{where}: has format {version}, this Freshet reads up to {FORMAT_VERSION}; upgrade Freshet"
            raise StoreError(message)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "manifest"
            message = f"{where}: damaged, {key}: {first['msg']}"
            raise CheckpointDamagedError(message) from None
        except RecursionError:
            message = f"{where}: damaged, nested too deep"
            raise CheckpointDamagedError(message) from None
