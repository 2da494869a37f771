"""What a server can do beside answering: ask other checkpoints the same, and explain its answers."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from service.settings.base import Seconds, Section, Text

LATEST = "latest"
CHALLENGER = "challenger"

_CHECKPOINT = re.compile(r"[0-9]{6,12}-[0-9a-f]{8}")


def _candidate(name: str) -> str:
    if name not in (LATEST, CHALLENGER) and not _CHECKPOINT.fullmatch(name):
        message = f"{name!r} is none of {LATEST}, {CHALLENGER} and a checkpoint's id, such as 000042-3f9a1c2b"
        raise ValueError(message)
    return name


def _once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"{twice} stands more than once"
        raise ValueError(message)
    return names


Candidates = Annotated[
    tuple[Annotated[Text, AfterValidator(_candidate)], ...], Field(max_length=4), AfterValidator(_once_each)
]


class Shadow(Section):
    """Checkpoints that are asked what the serving one is asked, without anybody waiting for it."""

    candidates: Candidates = Field(
        (), description="at most four of `latest`, `challenger` and checkpoints' ids; none: nothing runs in the shadow"
    )
    share: Annotated[float, Field(ge=0.001, le=1)] = Field(
        0.1, description="share of the instances that they are asked"
    )


class Explain(Section):
    """What each feature adds to an answer, for those who ask with `?explain=true`."""

    max_instances: Annotated[int, Field(ge=1, le=1_000)] = Field(
        16, description="most instances of a request that asks for explanations"
    )
    max_instance_seconds: Seconds = Field(
        0.25, description="a model that needs longer to explain one instance, as measured, is not explained"
    )
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = Field(
        4, description="most requests for explanations under way at once; more are answered 503"
    )
