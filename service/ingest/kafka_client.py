"""What the Kafka source and sink share: how a client of kafka-python is built, secured, kept quiet, and closed."""

import logging
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from service.ingest.kafka_failures import is_refusal, unavailable
from service.ingest.kafka_security import security_arguments
from service.settings import KafkaSource as KafkaSettings

CONNECT_TIMEOUT_MS = 2_000
SECURE_CONNECT_TIMEOUT_MS = 5_000  # several round trips, and on a slow machine the broker's arithmetic
METADATA_MAX_AGE_MS = 3_000  # after so long new topics, partitions and brokers are noticed
RECONNECT_BACKOFF_MAX_MS = 1_000
NO_SUCH_TOPIC = "Topic %s not found in cluster metadata"  # kafka-python's; ten times a second while a topic is missing


class _Sockets(KafkaNetSocket):  # type: ignore[misc] # kafka-python ships no types
    """Closes the socket of a connection that was refused, which kafka-python leaves to the garbage collector."""

    SCHEMES = ()

    async def sock_connect(self, net: Any, sock: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        try:
            return await super().sock_connect(net, sock, *arguments, **options)
        except BaseException:
            with suppress(KeyError, ValueError):
                net.unregister_event(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            sock.close()
            raise


class _LastWords:
    """Has a broker's last words read before its hanging up is noticed.

    kafka-python drops what it receives together with the end of a connection: the reason of a refused password.
    """

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        received, error = super()._sock_recv()  # type: ignore[misc]
        return received, None if received else error  # the end is met again by the next read


class _Plain(_LastWords, KafkaTCPTransport):  # type: ignore[misc]
    """A connection that is not encrypted."""


class _Encrypted(_LastWords, KafkaSSLTransport):  # type: ignore[misc]
    """A connection that is."""


class _Connections(KafkaConnectionManager):  # type: ignore[misc]
    """Remembers why each broker's newest connection failed, and gives up at once what every server has refused.

    kafka-python tries again until its time is up, and then says nothing but that; the cause stands in its log alone.
    """

    def __init__(self, net: Any, **configs: Any) -> None:  # noqa: ANN401
        self.failures: dict[Any, Exception] = {}
        super().__init__(net, **configs)
        # A consumer's own setting, which kafka-python 3.0 does not hand on.
        self.cluster.config["allow_auto_create_topics"] = configs.get("allow_auto_create_topics", True)

    @property
    def newest_failure(self) -> Exception | None:
        """Why the newest connection that failed did so, None if none has failed since it worked."""
        refusals = [error for error in self.failures.values() if is_refusal(error)]
        return next(reversed(refusals or list(self.failures.values())), None)

    def get_connection(self, node_id: Any, **options: Any) -> Any:  # noqa: ANN401
        if not self.bootstrapped:
            failures = [self.failures.get(broker.node_id) for broker in self.cluster.bootstrap_brokers()]
            if failures and failures[-1] is not None and all(map(is_refusal, failures)):
                raise failures[-1]
        return super().get_connection(node_id, **options)

    async def _connect(self, node: Any, conn: Any, **options: Any) -> None:  # noqa: ANN401
        def failed(error: Exception) -> None:
            self.failures.pop(node.node_id, None)
            self.failures[node.node_id] = error

        conn.close_future.add_errback(failed)
        await super()._connect(node, conn, **options)
        if conn.connected:
            self.failures.pop(node.node_id, None)

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:  # noqa: ANN401
        sock = await self._open(node, timeout_at)
        if self.ssl_enabled:
            context = self.config["ssl_context"]
            transport = _Encrypted(self._net, sock, host=node.host, ssl_context=context)
        else:
            transport = _Plain(self._net, sock, host=node.host)
        try:
            await transport.handshake()
        except Exception as error:
            transport.close()
            raise KafkaConnectionError(f"handshake failed: {error}") from error
        return transport

    async def _open(self, node: Any, timeout_at: float | None) -> Any:  # noqa: ANN401
        sockets = _Sockets()
        failure: Exception = KafkaConnectionError(f"no address is known for {node.host}")
        for address in sockets.dns_lookup(node.host, node.port):
            try:
                return await sockets.connect(self._net, address, self.config["socket_options"], timeout_at=timeout_at)
            except Exception as error:  # noqa: BLE001 - the next address may do
                failure = KafkaConnectionError(str(error))
        raise failure


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that every client of this cluster takes; raises SourceRefusedError for a bad file."""
    secure = settings.security.protocol != "PLAINTEXT"
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": "freshet",
        "bootstrap_timeout_ms": SECURE_CONNECT_TIMEOUT_MS if secure else CONNECT_TIMEOUT_MS,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
        "metrics_enabled": False,  # nobody reads them, and they cost time on every record
        **security_arguments(settings.security),
    }


def connect(build: Callable[..., Any], settings: KafkaSettings, **arguments: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a client made by ``build`` and its network client; raise SourceUnavailableError if no broker answers."""
    quieten()
    common = client_arguments(settings)
    networks: list[Any] = []

    def network(**configs: Any) -> Any:  # noqa: ANN401 - kafka-python ships no types
        selector = NetworkSelector(**configs)
        networks.append(KafkaNetClient(net=selector, manager=_Connections(selector, **configs)))
        return networks[-1]

    try:
        return build(kafka_client=network, **common, **arguments), networks[-1]
    except Exception as error:
        failure = newest_failure(networks[-1]) if networks else None
        # The library leaves the network thread of a client that could not be made running.
        for started in networks:
            started.close()
        raise unavailable(settings, failure or error) from error


def is_answering(network: Any, within_seconds: float) -> bool:  # noqa: ANN401
    """Tell whether some broker has sent anything within so many seconds; a hung one stays connected."""
    since = time.monotonic() - within_seconds
    transports = [conn.transport for conn in list(network._manager._conns.values()) if conn.connected]  # noqa: SLF001
    return any(transport is not None and transport.last_read > since for transport in transports)


def newest_failure(network: Any) -> Exception | None:  # noqa: ANN401
    """Return why the newest connection of a network client failed, None if it works."""
    failure: Exception | None = network._manager.newest_failure  # noqa: SLF001
    return failure


def quieten() -> None:
    """Silence kafka-python's own log, which repeats what we say in one line, unless everything is to be seen.

    Even then one line stays out, which would flood the log; we say once which topics are missing.
    """
    logging.getLogger("kafka.cluster").addFilter(_is_no_flood)
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _is_no_flood(record: logging.LogRecord) -> bool:
    return record.msg != NO_SUCH_TOPIC
