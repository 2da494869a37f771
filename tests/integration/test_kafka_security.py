"""Kafka with security on: what connects, and what is said in one line when it does not."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import structlog

from service.errors import SourceRefusedError, SourceUnavailableError
from service.ingest.connect import open_sink, open_source
from service.send import send_file
from service.settings import Schema, Settings
from tests.broker import Broker
from tests.broker_security import GUEST, GUEST_PASSWORD, KEY_PASSWORD, PASSWORD, SCRAM, USER, new_authority
from tests.logs import read, values

pytestmark = pytest.mark.kafka

WRONG = "wrong"
PROMPT_SECONDS = 20.0
"""Far less than the 30 s after which kafka-python says that time is up; a slow machine needs some."""


def secured(broker: Broker, topic: str, protocol: str, bootstrap: str | None = None, **security: object) -> Settings:
    """Return settings for a secured listener; it is trusted, and ``freshet``'s password is known, unless given."""
    if "SASL" in protocol:
        security = {"mechanism": "PLAIN", "username": USER, **security}
        security = security if "password_file" in security else {"password": PASSWORD, **security}
    if "SSL" in protocol:
        security = {"ca_file": str(broker.authority.ca_file), **security}
    kafka = {
        "bootstrap_servers": bootstrap or broker.secured[protocol],
        "group_id": f"g-{uuid4().hex[:8]}",
        "security": {"protocol": protocol, **security},
    }
    return Settings.model_validate({"source": {"kind": "kafka", "topic": topic, "kafka": kafka}})


def certificate(broker: Broker, name: str = "freshet") -> dict[str, object]:
    """Return the settings of a client's certificate that the broker's authority vouches for."""
    file = str(broker.authority.folder / f"{name}.pem")
    return {"certificate_file": file, "key_file": file}


@pytest.fixture(scope="module")
def topic(secure_kafka: Broker) -> str:
    """Return a topic of one partition."""
    return secure_kafka.create_topic()


def goes_both_ways(settings: Settings) -> None:
    """Send a record, read it back, and commit."""
    value = uuid4().hex.encode()
    sink, source = open_sink(settings), open_source(settings)
    try:
        sink.send(settings.source.topic, value)
        assert sink.flush() == {}
        source.seek({at: end - 1 for at, end in source.ends().items()})
        assert values(read(source, 1)) == [value]
        source.commit(source.positions())
    finally:
        source.close()
        sink.close()
    again = open_source(settings)
    try:
        assert again.committed() == source.positions()
    finally:
        again.close()


def refusal(settings: Settings) -> str:
    """Return the one line with which source and sink both say that they cannot go on."""
    of_source, of_sink = refusals(settings)
    assert of_source == of_sink
    return of_source


def refusals(settings: Settings) -> tuple[str, str]:
    """Return the lines with which source and sink say that they cannot go on."""
    source, sink = open_source(settings), open_sink(settings)
    sink.send(settings.source.topic, b"kept")
    lines = []
    try:
        for attempt in (lambda: poll_on(source), sink.flush):
            begun = time.monotonic()
            with pytest.raises(SourceUnavailableError) as raised:
                attempt()
            assert time.monotonic() - begun < PROMPT_SECONDS
            assert raised.value.retriable
            lines.append(str(raised.value))
    finally:
        source.close()
        sink.close()
    for line in lines:
        assert "\n" not in line
        assert PASSWORD not in line
    return lines[0], lines[1]


def poll_on(source: object) -> None:
    """Poll until something is wrong; a member of a group that may not read learns that later than at the first poll."""
    deadline = time.monotonic() + PROMPT_SECONDS
    while time.monotonic() < deadline:
        assert source.poll(10, 0.1) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
def test_user_and_password_go_both_ways(secure_kafka: Broker, topic: str, protocol: str, mechanism: str) -> None:
    """Every mechanism works over both SASL listeners, with a password that is not plain ASCII."""
    goes_both_ways(secured(secure_kafka, topic, protocol, mechanism=mechanism))


def test_a_client_certificate_goes_both_ways(secure_kafka: Broker, topic: str) -> None:
    """The SSL listener asks for a certificate and gets it."""
    goes_both_ways(secured(secure_kafka, topic, "SSL", **certificate(secure_kafka)))


def test_files_hold_the_secrets_as_well(secure_kafka: Broker, topic: str, tmp_path: Path) -> None:
    """Password and key password come from files, without the line end that an editor leaves."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "key-password").write_text(KEY_PASSWORD + "\r\n")
    pem = secure_kafka.authority.folder / "freshet.pem"
    security = {
        "mechanism": "SCRAM-SHA-512",
        "password_file": str(tmp_path / "password"),
        "certificate_file": str(pem),
        "key_file": str(secure_kafka.authority.encrypt(pem, KEY_PASSWORD)),
        "key_password_file": str(tmp_path / "key-password"),
    }
    goes_both_ways(secured(secure_kafka, topic, "SASL_SSL", **security))


@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
def test_a_refused_password_is_said(secure_kafka: Broker, topic: str, mechanism: str) -> None:
    """User, mechanism and the setting to look at, at once, and not that time is up."""
    line = refusal(secured(secure_kafka, topic, "SASL_PLAINTEXT", mechanism=mechanism, password=WRONG))
    assert line == (
        f"Kafka at {secure_kafka.secured['SASL_PLAINTEXT']}: the broker refused user freshet (SASL {mechanism}): "
        "check source.kafka.security.username and its password"
    )


def test_an_authority_that_is_not_trusted_is_said(secure_kafka: Broker, topic: str, tmp_path: Path) -> None:
    """The CA file is named, or that there is none."""
    stranger = new_authority(tmp_path / "stranger").ca_file
    line = refusal(secured(secure_kafka, topic, "SASL_SSL", ca_file=str(stranger)))
    assert "the broker's certificate is not trusted" in line
    assert f"check source.kafka.security.ca_file ({stranger})" in line
    assert "ca_file, which is not set" in refusal(secured(secure_kafka, topic, "SASL_SSL", ca_file=None))


def test_a_certificate_for_another_name_is_said(secure_kafka: Broker, topic: str) -> None:
    """An address that the broker's certificate does not have is refused, unless names are not to be checked."""
    address = secure_kafka.secured["SASL_SSL"].replace("localhost", "127.0.0.1")
    line = refusal(secured(secure_kafka, topic, "SASL_SSL", bootstrap=address))
    assert "certificate is not for this address (IP address mismatch" in line
    assert "source.kafka.bootstrap_servers" in line
    goes_both_ways(secured(secure_kafka, topic, "SASL_SSL", bootstrap=address, check_hostname=False))


def test_a_missing_client_certificate_is_said(secure_kafka: Broker, topic: str) -> None:
    """The setting that is to be set is named."""
    line = refusal(secured(secure_kafka, topic, "SSL"))
    assert "the broker wants a certificate of this client" in line
    assert "source.kafka.security.certificate_file" in line


def test_a_client_certificate_of_a_stranger_is_said(secure_kafka: Broker, topic: str, tmp_path: Path) -> None:
    """A certificate that the broker does not trust is named."""
    pem = new_authority(tmp_path / "stranger").issue("freshet")
    line = refusal(secured(secure_kafka, topic, "SSL", certificate_file=str(pem), key_file=str(pem)))
    assert f"the broker refused source.kafka.security.certificate_file {pem}" in line


@pytest.mark.parametrize("listener", ["SSL", "SASL_PLAINTEXT"])
def test_a_plain_client_at_a_secured_port_is_said(secure_kafka: Broker, topic: str, listener: str) -> None:
    """A broker hangs up, with an alert of TLS or without a word; the protocol is among what is to be looked at."""
    for line in refusals(secured(secure_kafka, topic, "PLAINTEXT", bootstrap=secure_kafka.secured[listener])):
        assert "source.kafka.security.protocol (PLAINTEXT)" in line


def test_a_tls_client_at_a_plain_port_is_said(secure_kafka: Broker, topic: str) -> None:
    """A port that does not speak TLS is called that."""
    line = refusal(secured(secure_kafka, topic, "SASL_SSL", bootstrap=secure_kafka.bootstrap))
    what = "what answers there does not speak TLS: check source.kafka.security.protocol (SASL_SSL) and the port"
    assert line == f"Kafka at {secure_kafka.bootstrap}: {what}"


def test_a_user_without_rights_is_told_which(secure_kafka: Broker, topic: str) -> None:
    """A user whom the broker knows but who may neither join the group nor write to the topic: both are named."""
    settings = secured(secure_kafka, topic, "SASL_PLAINTEXT", username=GUEST, password=GUEST_PASSWORD)
    of_source, of_sink = refusals(settings)
    group = settings.source.kafka.group_id
    assert f"user {GUEST} has no right to consumer group {group}: grant it on the broker" in of_source
    assert f"user {GUEST} has no right to topic {topic}: grant it on the broker" in of_sink


def test_a_user_without_rights_to_the_topic_is_told_so(secure_kafka: Broker, topic: str) -> None:
    """Who may join the group, but not read the topic, is told which topic."""
    settings = secured(secure_kafka, topic, "SASL_PLAINTEXT", username=GUEST, password=GUEST_PASSWORD)
    secure_kafka.allow(GUEST, group=settings.source.kafka.group_id)
    of_source, _ = refusals(settings)
    assert f"user {GUEST} has no right to topic {topic}: grant it on the broker" in of_source


@pytest.mark.parametrize("case", ["password", "authority", "right"])
def test_send_ends_at_once_where_waiting_cures_nothing(
    secure_kafka: Broker, topic: str, tmp_path: Path, case: str
) -> None:
    """However patient: a refused user, a certificate that is not trusted, a missing right are said, not waited for."""
    security = {
        "password": {"password": WRONG},
        "authority": {"ca_file": None},
        "right": {"username": GUEST, "password": GUEST_PASSWORD},
    }[case]
    settings = secured(secure_kafka, topic, "SASL_SSL", **security)
    settings = settings.model_copy(update={"schema_": Schema(numeric=("x",), label="y")})
    (tmp_path / "a.csv").write_text("x,y\n1,u\n")
    with structlog.testing.capture_logs() as logs, pytest.raises(SourceRefusedError):
        send_file(tmp_path / "a.csv", settings, patience_seconds=3_600)
    assert logs == []


def test_a_changed_password_is_taken_from_its_file(secure_kafka: Broker, topic: str, tmp_path: Path) -> None:
    """The file is read at every connection: who was refused goes on once the file holds the right one."""
    file = tmp_path / "password"
    settings = secured(secure_kafka, topic, "SASL_SSL", mechanism="SCRAM-SHA-256", password_file=str(file))
    source = open_source(settings)
    with pytest.raises(SourceUnavailableError, match=r"password_file: .* cannot be read"):
        source.poll(1, 0.1)
    file.write_text("old")
    with pytest.raises(SourceUnavailableError, match="refused user freshet"):
        source.poll(1, 0.1)
    file.write_text(PASSWORD)
    source.poll(1, 0.1)
    source.close()
    goes_both_ways(settings)


@pytest.fixture
def _at_rest() -> Iterator[None]:
    """Wait until clients that earlier tests closed have ended their threads."""
    deadline = time.monotonic() + PROMPT_SECONDS
    while time.monotonic() < deadline and any("kafka" in each.name for each in threading.enumerate()):
        time.sleep(0.1)
    return


@pytest.mark.usefixtures("_at_rest")
@pytest.mark.parametrize("case", ["password", "certificate", "nobody"])
def test_repeated_refusals_leave_nothing_open(secure_kafka: Broker, topic: str, case: str) -> None:
    """After many refused attempts there are as many threads and open files as after a few."""
    settings = {
        "password": lambda: secured(secure_kafka, topic, "SASL_SSL", password=WRONG),
        "certificate": lambda: secured(secure_kafka, topic, "SASL_SSL", ca_file=None),
        "nobody": lambda: secured(secure_kafka, topic, "PLAINTEXT", bootstrap="127.0.0.1:1"),
    }[case]()
    process = psutil.Process()

    def after(attempts: int) -> tuple[int, int]:
        for _ in range(attempts):
            source = open_source(settings)
            with pytest.raises(SourceUnavailableError):
                source.poll(1, 0.1)
            source.close()
        return process.num_fds(), threading.active_count()

    few = after(2)
    many = after(3 if case == "nobody" else 8)
    assert many[0] <= few[0] + 1
    assert many[1] <= few[1] + 1
