"""A typed client of Freshet's HTTP interface; it stands alone and needs httpx and msgspec only.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        answer = client.predict([{"amount": 120.5, "country": "NZ", "returning": True}])
        print(answer.predictions[0].label, answer.checkpoint.id)

``AsyncClient`` has the same methods to be awaited. Errors: ``service.client.errors`` draws their tree.
"""

try:
    import httpx as _httpx  # noqa: F401 - to say what is missing, before the modules below ask for it
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ModuleNotFoundError("service.client needs httpx: pip install httpx", name="httpx") from None

from service.client.answers import (
    Answered,
    CheckpointEntry,
    CheckpointName,
    Event,
    EventsAnswer,
    Explanation,
    Health,
    HistoryEntry,
    Latest,
    Manifest,
    PinAnswer,
    Pinned,
    PredictAnswer,
    Prediction,
    PromoteAnswer,
    RejectedEvent,
    ServingStatus,
    Shadowed,
    StatusAnswer,
    UnpinAnswer,
)
from service.client.attempts import Retries
from service.client.awaiting import AsyncClient
from service.client.blocking import Client
from service.client.errors import (
    FieldFault,
    FreshetClientError,
    FreshetHTTPError,
    InvalidRequestError,
    NoAnswerError,
    NotAllowedError,
    NotFoundError,
    ServerError,
    TooLargeError,
    UnavailableError,
    UnreadableAnswerError,
    UnsendableError,
)

__all__ = [
    "Answered",
    "AsyncClient",
    "CheckpointEntry",
    "CheckpointName",
    "Client",
    "Event",
    "EventsAnswer",
    "Explanation",
    "FieldFault",
    "FreshetClientError",
    "FreshetHTTPError",
    "Health",
    "HistoryEntry",
    "InvalidRequestError",
    "Latest",
    "Manifest",
    "NoAnswerError",
    "NotAllowedError",
    "NotFoundError",
    "PinAnswer",
    "Pinned",
    "PredictAnswer",
    "Prediction",
    "PromoteAnswer",
    "RejectedEvent",
    "Retries",
    "ServerError",
    "ServingStatus",
    "Shadowed",
    "StatusAnswer",
    "TooLargeError",
    "UnavailableError",
    "UnpinAnswer",
    "UnreadableAnswerError",
    "UnsendableError",
]
