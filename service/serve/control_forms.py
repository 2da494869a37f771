"""The forms of what operators send, and of what they are answered: what /docs shows."""

from typing import Any, Literal

from pydantic import Field

from service.serve.schemas import EXAMPLE_TIME, Answer, Latest, Pinned
from service.store.operations import MAX_REASON_CHARS

EXAMPLE_ID = "000042-3f9a1c2b"
ID_PATTERN = "^[0-9]{6,12}-[0-9a-f]{8}$"

REASON: dict[str, Any] = {
    "type": ["string", "null"],
    "maxLength": MAX_REASON_CHARS,
    "description": "why, for the history; kept as one line",
    "example": "the newer ones misbehave",
}


class PromoteAnswer(Answer):
    """Where the pointer stands now."""

    latest: Latest
    pinned: Pinned | None = Field(examples=[None], description="while there is a pin, it serves and not the latest")
    note: str = Field(examples=["servers take it over when they look next"], description="what servers do now")


class PinAnswer(Answer):
    """What is pinned now."""

    pinned: Pinned
    replaced: str | None = Field(description="the checkpoint that was pinned before", examples=[None])
    latest: Latest | None = Field(description="what would serve without the pin; null if that cannot be told")


class UnpinAnswer(Answer):
    """What was pinned until now."""

    removed: bool = Field(description="false if nothing was pinned: nothing has changed then")
    was: Pinned | None = Field(description="the pin; null also for one whose file was damaged")
    latest: Latest | None = Field(description="what serves now; null if that cannot be told")


class HistoryEntry(Answer):
    """One act of an operator."""

    event: Literal["promoted", "pinned", "unpinned", "failed"] = Field(
        description="`failed`: the act of the entry before, perhaps others' in between, was not carried out for certain"
    )
    at: str = Field(examples=[EXAMPLE_TIME])
    by: str = Field(description="a token's name, or user@machine of a command line", examples=["ops"])
    reason: str = Field(examples=["the newer ones misbehave"])
    checkpoint: str | None = Field(examples=[EXAMPLE_ID])
    before: str | None = Field(description="what was promoted or pinned until then", examples=["000041-90d3b6aa"])
    what: str | None = Field(None, description="what failed, if something did", examples=[None])
    problem: str | None = Field(None, description="why it failed", examples=[None])


class HistoryAnswer(Answer):
    """What operators did by hand, the newest first."""

    operations: list[HistoryEntry]


PIN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"id": {"type": "string", "pattern": ID_PATTERN}, "reason": REASON},
                    "required": ["id"],
                    "additionalProperties": False,
                    "example": {"id": EXAMPLE_ID, "reason": REASON["example"]},
                }
            }
        },
    }
}

PROMOTE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"reason": REASON},
                    "additionalProperties": False,
                    "example": {"reason": REASON["example"]},
                }
            }
        },
    }
}
