"""Why a cluster cannot be used, in one line that says what was refused and what to do."""

import ssl

from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidReceiveError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
)

from service.errors import SourceRefusedError, SourceUnavailableError
from service.settings import KafkaSource as KafkaSettings

KEY = "source.kafka.security"
CHECK = "check source.kafka.bootstrap_servers and the broker"
WRONG_HOST = {62, 63, 64}  # OpenSSL: host name, e-mail, IP address mismatch
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST"}
SURELY_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}  # the others are met as well when a broker goes down
CODECS = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
"""What kafka-python needs for each kind of compression, as packages are called."""

LASTING = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
HUNG_UP = ("socket disconnected", "Connection reset", "EOF occurred", "Broken pipe", "ECONNRESET")


def unavailable(settings: KafkaSettings, error: Exception | str) -> SourceUnavailableError:
    """Return the error that says in one line which cluster does not answer, and why: SourceRefusedError if it lasts."""
    line = None if isinstance(error, str) else _refused(settings, error)
    if line is not None:
        kind = SourceRefusedError if _lasts(error) else SourceUnavailableError
        return kind(f"Kafka at {settings.bootstrap_servers}: {line}")
    why = str(error) if isinstance(error, KafkaError | str) else f"{type(error).__name__}: {error}"
    check = CHECK
    if any(sign in why for sign in HUNG_UP):
        check = f"check source.kafka.bootstrap_servers, {KEY}.protocol ({settings.security.protocol}) and the broker"
    return SourceUnavailableError(
        f"Kafka at {settings.bootstrap_servers} cannot be used ({' '.join(why.split())}); {check}"
    )


def is_refusal(error: Exception | None) -> bool:
    """Tell whether a connection failed for a reason that trying again at once will not cure."""
    if error is None:
        return False
    if isinstance(error, SaslAuthenticationFailedError | UnsupportedSaslMechanismError | IllegalSaslStateError):
        return True
    if _wrong_signature(error) or _answered_in_tls(error):
        return True
    cause = tls_error(error)
    return cause is not None and (isinstance(cause, ssl.SSLCertVerificationError) or "_ALERT_" in (cause.reason or ""))


def _lasts(error: Exception | str) -> bool:
    """Tell whether somebody must change settings, secrets, rights or what is installed, as no waiting helps."""
    if isinstance(error, str):
        return False
    cause = tls_error(error)
    sure = cause is not None and cause.reason in SURELY_NO_TLS
    return sure or is_refusal(error) or isinstance(error, LASTING)


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return what TLS complained of, which kafka-python wraps in an error of its own."""
    if isinstance(error, ssl.SSLError):
        return error
    inner = [error.__cause__, error.__context__, *(part for part in error.args if isinstance(part, ssl.SSLError))]
    return next((found for found in inner if isinstance(found, ssl.SSLError)), None)


def _refused(settings: KafkaSettings, error: Exception) -> str | None:
    cause = tls_error(error)
    if cause is not None:
        return _tls_refused(settings, cause)
    security = settings.security
    user = f"user {security.username}" if security.authenticated else "this client"
    line = None
    match error:
        case SaslAuthenticationFailedError():
            line = f"the broker refused {user} (SASL {security.mechanism}): check {KEY}.username and its password"
        case ValueError() if _wrong_signature(error):
            line = f"the broker could not show that it knows {user}'s password: it may be an impostor; {CHECK}"
        case UnsupportedSaslMechanismError():
            line = (
                f"the broker does not offer SASL {security.mechanism}: set {KEY}.mechanism to one that it has enabled"
            )
        case TopicAuthorizationFailedError():
            what = f"topic {_named(error)}"
            line = f"{user} has no right to {what}: grant it on the broker, or set another {KEY}.username"
        case GroupAuthorizationFailedError():
            what = f"consumer group {settings.group_id}"
            line = f"{user} has no right to {what}: grant it on the broker, or set source.kafka.group_id"
        case ClusterAuthorizationFailedError():
            line = f"{user} has no right to write idempotently: grant IdempotentWrite on the broker"
        case InvalidReceiveError() if _answered_in_tls(error):
            line = f"what answers there speaks TLS: check {KEY}.protocol ({security.protocol}) and the port"
        case UnsupportedCodecError():
            codec = next((name for name in CODECS if name in str(error)), None)
            line = (
                f"records are compressed by {codec}, which is not installed here: pip install {CODECS[codec]}"
                if codec is not None
                else "records are compressed by an unknown codec"
            )
    return line


def _tls_refused(settings: KafkaSettings, cause: ssl.SSLError) -> str:
    security, reason = settings.security, cause.reason or str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in WRONG_HOST:
            return (
                f"the broker's certificate is not for this address ({cause.verify_message.rstrip('.')}): "
                f"name the broker in source.kafka.bootstrap_servers as its certificate does"
            )
        ca = f"{KEY}.ca_file ({security.ca_file})" if security.ca_file else f"{KEY}.ca_file, which is not set"
        return f"the broker's certificate is not trusted ({cause.verify_message}): check {ca}"
    if reason in NO_TLS:
        return f"what answers there does not speak TLS: check {KEY}.protocol ({security.protocol}) and the port"
    if "_ALERT_" in reason and security.certificate_file is None:
        return (
            f"the broker wants a certificate of this client ({_words(reason)}): set {KEY}.certificate_file and key_file"
        )
    if "_ALERT_" in reason:
        return f"the broker refused {KEY}.certificate_file {security.certificate_file} ({_words(reason)})"
    return f"TLS failed ({_words(reason)}): check {KEY} and the broker"


def _words(reason: str) -> str:
    return reason.rpartition("_ALERT_")[2].replace("_", " ").lower()


def _wrong_signature(error: Exception) -> bool:
    return isinstance(error, ValueError) and "Server sent wrong signature" in str(error)


def _answered_in_tls(error: Exception) -> bool:
    # The beginning of a TLS alert, read as the length of Kafka's answer.
    return isinstance(error, InvalidReceiveError) and any(
        str(0x15030000 + minor * 256) in str(error) for minor in (1, 2, 3)
    )


def _named(error: Exception) -> str:
    names = error.args[0] if error.args else ""
    return ", ".join(sorted(map(str, names))) if isinstance(names, set | frozenset | list | tuple) else str(names)
