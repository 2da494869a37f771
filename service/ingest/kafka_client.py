"""What the Kafka source and sink share: how a client of kafka-python is built, secured, kept quiet, and closed."""

import logging
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from service.errors import SourceUnavailableError
from service.settings import KafkaSource as KafkaSettings

CONNECT_TIMEOUT_MS = 2_000
METADATA_MAX_AGE_MS = 3_000  # after so long new topics, partitions and brokers are noticed
RECONNECT_BACKOFF_MAX_MS = 1_000


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that every client of this cluster takes."""
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": "freshet",
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
        "metrics_enabled": False,  # nobody reads them, and they cost time on every record
        **security_arguments(settings),
    }


def security_arguments(settings: KafkaSettings) -> dict[str, Any]:  # noqa: ARG001 - the place for source.kafka.security
    """Return the arguments that say how to encrypt and authenticate: all listeners are plain so far."""
    return {"security_protocol": "PLAINTEXT"}


def connect(build: Callable[..., Any], settings: KafkaSettings, **arguments: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a client made by ``build`` and its network client; raise SourceUnavailableError if no broker answers."""
    quieten()
    networks: list[Any] = []

    def network(**configs: Any) -> Any:  # noqa: ANN401 - kafka-python ships no types
        networks.append(KafkaConsumer.DEFAULT_CONFIG["kafka_client"](**configs))
        return networks[-1]

    try:
        return build(kafka_client=network, **client_arguments(settings), **arguments), networks[-1]
    except Exception as error:
        # The library leaves the network thread of a client that could not be made running.
        for started in networks:
            started.close()
        raise unavailable(settings, error) from error


def unavailable(settings: KafkaSettings, error: Exception | str) -> SourceUnavailableError:
    """Return the error that says in one line which cluster does not answer, and why."""
    why = str(error) if isinstance(error, KafkaError | str) else f"{type(error).__name__}: {error}"
    return SourceUnavailableError(
        f"Kafka at {settings.bootstrap_servers} cannot be used ({' '.join(why.split())});"
        " check source.kafka.bootstrap_servers and the broker"
    )


def quieten() -> None:
    """Silence kafka-python's own log, which repeats what we say in one line, unless everything is to be seen."""
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
