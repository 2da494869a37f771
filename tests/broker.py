"""A real Apache Kafka broker for the tests: the one in FRESHET_TEST_KAFKA, else one of our own by Java or Docker."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from tests.broker_machines import Machine, NoBrokerError, new_machine

READY_SECONDS = 90.0


class Broker:
    """A running broker at ``bootstrap``, and what tests do to it."""

    def __init__(self, bootstrap: str, machine: Machine | None) -> None:
        self.bootstrap = bootstrap
        self._machine = machine

    @property
    def ours(self) -> bool:
        """Whether this broker may be killed."""
        return self._machine is not None

    def create_topic(self, partitions: int = 1, **config: str) -> str:
        """Create a topic with a name of its own and return the name."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.create(name, partitions, **config)
        return name

    def create(self, name: str, partitions: int = 1, **config: str) -> None:
        """Create a topic, or leave the one of that name."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        with self._admin() as admin, suppress(TopicAlreadyExistsError):
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])

    def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        """Have the broker forget all records before an offset."""
        with self._admin() as admin:
            admin.delete_records({TopicPartition(topic, partition): before})

    def kill(self) -> None:
        """End the broker as a power cut would."""
        self._own().stop(kill=True)

    def start(self) -> None:
        """Start it again on the same data and ports, and wait until it answers."""
        self._own().start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once the broker answers requests; raise NoBrokerError with the end of its log if it never does."""
        deadline = time.monotonic() + READY_SECONDS
        host, _, port = self.bootstrap.partition(",")[0].rpartition(":")
        while True:
            try:
                # First by a socket of our own: kafka-python leaves those of refused connections open.
                socket.create_connection((host, int(port)), timeout=1.0).close()
                with self._admin() as admin:
                    admin.list_topics()
            except (OSError, KafkaError) as error:
                last_words = self._machine.dead() if self._machine else None
                if last_words is not None or time.monotonic() > deadline:
                    message = f"the broker at {self.bootstrap} does not answer: {last_words or error}"
                    raise NoBrokerError(message) from error
                time.sleep(0.1)
            else:
                return

    def close(self) -> None:
        """Stop a broker of our own."""
        if self._machine is not None:
            self._machine.stop(kill=False)
            self._machine.remove()

    def _own(self) -> Machine:
        assert self._machine is not None, "only a broker of our own may be killed"
        return self._machine

    @contextmanager
    def _admin(self) -> Iterator[KafkaAdminClient]:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2_000)
        try:
            yield admin
        finally:
            admin.close()


def open_broker() -> Broker:
    """Return a broker that answers; raise NoBrokerError where there is no way to have one."""
    given = os.environ.get("FRESHET_TEST_KAFKA")
    if given:
        broker = Broker(given, None)
    else:
        port, controller_port = free_ports(2)
        machine = new_machine(port, controller_port)
        machine.start()
        broker = Broker(f"127.0.0.1:{port}", machine)
    try:
        broker.wait_until_ready()
    except BaseException:
        broker.close()
        raise
    return broker


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
