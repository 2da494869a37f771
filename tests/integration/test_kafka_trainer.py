"""The whole trainer on a secured cluster and on several topics."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Service, eventually
from tests.acceptance.streams import events
from tests.broker import Broker
from tests.broker_security import PASSWORD, USER
from tests.logs import KafkaKind

pytestmark = pytest.mark.kafka

VARIABLE = "FRESHET_SOURCE__KAFKA__SECURITY__PASSWORD"


def test_a_model_is_learnt_over_tls_with_password_and_certificate(
    secure_kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`send` and `train` over SASL_SSL with SCRAM-SHA-512; nothing that they write holds the password."""
    kind = KafkaKind(secure_kafka)
    pem = str(secure_kafka.authority.folder / "freshet.pem")
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": USER,
        "ca_file": str(secure_kafka.authority.ca_file),
        "certificate_file": pem,
        "key_file": pem,
    }
    kafka = {"bootstrap_servers": secure_kafka.secured["SASL_SSL"], "group_id": kind.group, "security": security}
    monkeypatch.setenv(VARIABLE, PASSWORD)
    service = Service(tmp_path, source={"kind": "kafka", "topic": kind.topic, "kafka": kafka})
    try:
        assert service.send("rows", events(400))["events"] == 400
        service.start("train")
        eventually(lambda: service.accepted() == 400, "all events to be accepted")
        eventually(lambda: service.run("checkpoints", "list")["checkpoints"], "a checkpoint")
    finally:
        service.close()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "manifest.json" for path in written)
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in json.dumps(service.run("check"))


def test_a_wrong_password_is_one_line_in_the_log_and_cured_by_its_file(secure_kafka: Broker, tmp_path: Path) -> None:
    """The trainer says once what was refused, is not ready, and learns as soon as the file holds the right password."""
    kind = KafkaKind(secure_kafka)
    file = tmp_path / "password"
    file.write_text("wrong")
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": USER, "password_file": str(file)}
    servers = secure_kafka.secured["SASL_PLAINTEXT"]
    kafka = {"bootstrap_servers": servers, "group_id": kind.group, "security": security}
    (tmp_path / "service").mkdir()
    service = Service(tmp_path / "service", source={"kind": "kafka", "topic": kind.topic, "kafka": kafka})
    try:
        service.start("train")
        line = "the broker refused user freshet (SASL PLAIN): check source.kafka.security.username and its password"
        eventually(lambda: line in service.said(), "the refusal in the log")
        answer = eventually(lambda: service.get("/readyz", trainer=True), "an answer of the trainer")
        assert answer.status_code == 503
        file.write_text(PASSWORD)
        service.send("rows", events(50))
        eventually(lambda: service.accepted() == 50, "all events to be accepted")
        service.await_ready(trainer=True)
        assert service.said().count(line) == 1
        assert "Traceback" not in service.said()
    finally:
        service.close()


def test_several_topics_are_learnt_and_each_has_dead_letters_of_its_own(kafka: Broker, tmp_path: Path) -> None:
    """Events of both topics are accepted; what is refused goes to the topic's own .dlq, and from there back to it."""
    kind = KafkaKind(kafka)
    other = f"{kind.topic}-other"
    kafka.create(other)
    source = {"bootstrap_servers": kafka.bootstrap, "group_id": kind.group}
    service = Service(tmp_path, source={"kind": "kafka", "topic": kind.topic, "more_topics": [other], "kafka": source})
    try:
        service.send("rows", events(100))
        service.send("more", events(60, seed=1), "--set", f"source.topic={other}", "--set", "source.more_topics=[]")
        bad = [{"id": "bad", "a": 1.0, "b": 2.0, "label": "perhaps"}]
        service.send("bad", bad, "--set", f"source.topic={other}", "--set", "source.more_topics=[]")
        service.start("train")
        eventually(lambda: service.accepted() == 160, "all events to be accepted")
        ends = {f"{kind.topic}/0": 100, f"{other}/0": 61}
        eventually(lambda: service.status()["positions"] == ends, "the refused event to be passed, too")

        def listed() -> list[str]:
            return [letter["topic"] for letter in service.run("dlq", "list")["letters"]]

        eventually(lambda: listed() == [other], "the dead letter")
        assert service.run("dlq", "replay")["sent"] == 1
        eventually(lambda: service.status()["positions"][f"{other}/0"] == 62, "the letter to come back to its topic")
    finally:
        service.close()
