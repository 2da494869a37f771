"""The sections of the role that learns: `store` and `trainer`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from service.settings.base import Port, Seconds, Section, Text


class Store(Section):
    """Where checkpoints lie."""

    path: Path = Field(Path("freshet-data/store"), description="a folder that trainer and servers share")
    keep: Annotated[int, Field(ge=3, le=100_000)] = Field(
        20, description="newest checkpoints kept; champion, predecessor and frozen model always are"
    )


class Trainer(Section):
    """The role that consumes and learns."""

    host: Text = Field("127.0.0.1", description="address of its metrics and health")
    port: Port = Field(8001, description="port of its metrics and health")
    state_path: Path = Field(Path("freshet-data/state"), description="a folder for snapshot and rounds")
    snapshot_seconds: Seconds = Field(5.0, description="longest time between two snapshots while events arrive")
    ledger_bytes: Annotated[int, Field(ge=2**16, le=2**40)] = Field(
        64 * 2**20, description="size of the ledger of what became of every offset; the oldest part goes first"
    )
    refused_bytes: Annotated[int, Field(ge=2**16, le=2**36)] = Field(
        64 * 2**20,
        description="refused records held in memory while dead letters cannot be written; then polling waits",
    )
    status_seconds: Seconds = Field(1.0, description="time between two writes of status.json")
    lease_seconds: Annotated[float, Field(ge=1, le=3_600)] = Field(
        10.0, description="a holder silent for so long loses the store's lease to a standby"
    )
    grace_seconds: Seconds = Field(20.0, description="time that a stop may take")
