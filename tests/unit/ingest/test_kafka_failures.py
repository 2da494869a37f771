"""service/ingest/kafka_failures.py: the lines; tests/integration/test_kafka_security.py has a real broker say no."""

import ssl

import pytest
from kafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReceiveError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
)

from service.errors import SourceRefusedError
from service.ingest.kafka_failures import is_refusal, tls_error, unavailable
from service.settings import KafkaSource

SECURED = KafkaSource.model_validate(
    {
        "bootstrap_servers": "a:1",
        "security": {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password": "p"},
    }
)


def test_an_error_becomes_one_line_that_names_the_setting() -> None:
    """Whatever an exception says, the user reads one line: which cluster, why, and what to look at."""
    error = unavailable(KafkaSource(bootstrap_servers="a:1"), ValueError("two\nlines"))
    assert str(error) == (
        "Kafka at a:1 cannot be used (ValueError: two lines); check source.kafka.bootstrap_servers and the broker"
    )
    assert error.retriable


def alert(reason: str) -> Exception:
    """Return what kafka-python makes of an error of TLS."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return KafkaConnectionError(error)


@pytest.mark.parametrize(
    ("error", "line", "final"),
    [
        (SaslAuthenticationFailedError("x"), "the broker refused user u (SASL PLAIN): check", True),
        (UnsupportedSaslMechanismError(), "does not offer SASL PLAIN: set source.kafka.security.mechanism", True),
        (ValueError("Server sent wrong signature!"), "could not show that it knows user u's password", True),
        (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "wants a certificate of this client (certificate required)", True),
        (InvalidReceiveError("Invalid frame length: 352518912"), "what answers there speaks TLS", True),
        (alert("WRONG_VERSION_NUMBER"), "what answers there does not speak TLS", False),
        (alert("NO_SHARED_CIPHER"), "TLS failed (no shared cipher): check source.kafka.security", False),
        (ClusterAuthorizationFailedError(), "grant IdempotentWrite", False),
        (UnsupportedCodecError("Libraries for zstd compression codec not found"), "compressed by zstd", False),
        (KafkaConnectionError("socket disconnected"), "source.kafka.security.protocol (SASL_SSL)", False),
        (KafkaConnectionError("ECONNREFUSED"), "check source.kafka.bootstrap_servers and the broker", False),
        (InvalidReceiveError("Invalid frame length: 17"), "cannot be used (InvalidReceiveError", False),
    ],
)
def test_a_refusal_is_said_in_words(error: Exception, line: str, final: bool) -> None:
    """What was refused and what to do; ``final`` ones are not tried again at once."""
    assert line in str(unavailable(SECURED, error))
    assert is_refusal(error) is final


@pytest.mark.parametrize(
    ("error", "lasts"),
    [
        (SaslAuthenticationFailedError("x"), True),
        (TopicAuthorizationFailedError({"t"}), True),
        (UnsupportedCodecError("zstd"), True),
        (alert("TLSV1_ALERT_UNKNOWN_CA"), True),
        (alert("WRONG_VERSION_NUMBER"), True),
        (alert("UNEXPECTED_EOF_WHILE_READING"), False),
        (KafkaConnectionError("socket disconnected"), False),
        ("topic t did not confirm a record in time", False),
    ],
)
def test_what_no_waiting_cures_is_told_apart(error: Exception | str, *, lasts: bool) -> None:
    """A broker that goes down can hang up in the middle of anything; a refusal is a refusal."""
    assert isinstance(unavailable(SECURED, error), SourceRefusedError) is lasts


def test_an_error_of_tls_is_found_wherever_it_is_kept() -> None:
    """As a cause, as a context, or as an argument."""
    inner = ssl.SSLError("inner")
    caused, met = KafkaConnectionError("a"), KafkaConnectionError("b")
    caused.__cause__, met.__context__ = inner, inner
    assert all(tls_error(error) is inner for error in (inner, caused, met, KafkaConnectionError(inner)))
    assert tls_error(KafkaConnectionError("none")) is None
    assert not is_refusal(None)
