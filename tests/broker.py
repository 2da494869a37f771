"""A real Apache Kafka broker for the tests: the one in FRESHET_TEST_KAFKA, else one of our own by Java or Docker."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    NewPartitions,
    NewTopic,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError, TopicAlreadyExistsError

from tests.broker_machines import PORTS, Machine, NoBrokerError, Ports, new_machine
from tests.broker_security import GUEST, GUEST_PASSWORD, PASSWORD, SCRAM, USER, Authority
from tests.ports import free_ports

READY_SECONDS = 90.0
SEEN_MS = 60_000
"""A broker says that a topic is made before its own metadata show it."""


class Broker:
    """A running broker at ``bootstrap``, and what tests do to it."""

    def __init__(self, bootstrap: str, machine: Machine | None, secured: dict[str, int] | None = None) -> None:
        self.bootstrap = bootstrap
        self.secured = {name: f"localhost:{port}" for name, port in (secured or {}).items()}
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
        """Create a topic, or leave the one of that name; return once a client can see it."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        with self._admin() as admin:
            with suppress(TopicAlreadyExistsError):
                admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
            admin.wait_for_topics([name], timeout_ms=SEEN_MS)

    def add_partitions(self, topic: str, total: int) -> None:
        """Have a topic consist of more partitions than so far; return once a client can see them."""
        deadline = time.monotonic() + SEEN_MS / 1_000
        with self._admin() as admin:
            admin.create_partitions({topic: NewPartitions(total)})
            while len(admin.describe_topics([topic])[0]["partitions"]) < total:
                assert time.monotonic() < deadline, f"the broker does not show {total} partitions of {topic}"
                time.sleep(0.02)
            admin.wait_for_topics([topic], timeout_ms=SEEN_MS)

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        with self._admin() as admin:
            admin.delete_topics([topic])

    def has(self, topic: str) -> bool:
        """Tell whether there is such a topic."""
        with self._admin() as admin:
            return topic in admin.list_topics()

    def members(self, group: str) -> list[str]:
        """Return the ids of a consumer group's members."""
        with self._admin() as admin:
            [found] = admin.describe_groups([group]).values()
        return sorted(member["member_id"] for member in found["members"])

    def add_users(self) -> None:
        """Make the users of the SCRAM mechanisms, whose passwords the cluster keeps."""
        with self._admin() as admin:
            for mechanism in SCRAM:  # a request may name a user once
                users = [
                    UserScramCredentialUpsertion(user, mechanism, password.encode(), iterations=4_096)
                    for user, password in ((USER, PASSWORD), (GUEST, GUEST_PASSWORD))
                ]
                refused = {user: why for user, why in admin.alter_user_scram_credentials(users).items() if why}
                assert not refused, refused

    def allow(self, user: str, group: str) -> None:
        """Let a user join a group."""
        pattern = ResourcePattern(ResourceType.GROUP, group)
        right = ACL(f"User:{user}", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern)
        with self._admin() as admin:
            assert admin.create_acls([right])["succeeded"]

    @property
    def authority(self) -> Authority:
        """Who vouches for the broker's certificate and its clients'."""
        assert self._own().authority is not None, "the broker is not secured"
        return self._own().authority

    @property
    def segments(self) -> Path | None:
        """The folder of the broker's partitions, None where it is out of reach."""
        return self._own().data

    def signal(self, number: int) -> None:
        """Send the broker's process a signal."""
        self._own().signal(number)

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


def open_broker(*, own: bool = False) -> Broker:
    """Return a broker that answers: the one in FRESHET_TEST_KAFKA unless it must be our ``own``.

    Raises NoBrokerError where there is no way to have one.
    """
    given = None if own else os.environ.get("FRESHET_TEST_KAFKA")
    if given:
        broker = Broker(given, None)
    else:
        ports = Ports.of(free_ports(PORTS))
        machine = new_machine(ports)
        machine.start()
        broker = Broker(f"127.0.0.1:{ports.plain}", machine, ports.secured)
    try:
        broker.wait_until_ready()
        if broker.secured:
            broker.add_users()
    except BaseException:
        broker.close()
        raise
    return broker
