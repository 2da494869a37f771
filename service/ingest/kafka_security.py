"""What ``source.kafka.security`` means to kafka-python; files are read anew for every client, as they may change."""

import ssl
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr

from service.errors import SourceRefusedError
from service.settings import KafkaSecurity

KEY = "source.kafka.security"
ALONE = "it must hold nothing but the password"

log = structlog.get_logger(__name__)


def security_arguments(security: KafkaSecurity) -> dict[str, Any]:
    """Return the arguments of a client that say how to encrypt and authenticate.

    Raises SourceRefusedError, whose one line names setting and file, for a file that cannot be used: it may come
    later, as mounted secrets do.
    """
    arguments: dict[str, Any] = {"security_protocol": security.protocol}
    if security.encrypted:
        arguments["ssl_context"] = _context(security)
    if security.authenticated:
        arguments["sasl_mechanism"] = security.mechanism
        arguments["sasl_plain_username"] = security.username
        arguments["sasl_plain_password"] = _secret(security.password, security.password_file, "password_file")
    return arguments


def _context(security: KafkaSecurity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = security.check_hostname
    if security.ca_file is None:
        context.load_default_certs()
    else:
        _readable(security.ca_file, "ca_file")
        try:
            context.load_verify_locations(security.ca_file)
        except ssl.SSLError as error:
            raise _unusable("ca_file", security.ca_file, "is no list of certificates in PEM") from error
    if security.certificate_file is not None and security.key_file is not None:
        _show(context, security, security.certificate_file, security.key_file)
    return context


def _show(context: ssl.SSLContext, security: KafkaSecurity, certificate: Path, key: Path) -> None:
    """Have the client show its certificate when a broker asks for one."""
    _readable(certificate, "certificate_file")
    _readable(key, "key_file")
    password = _secret(security.key_password, security.key_password_file, "key_password_file")
    asked = False

    def answer() -> str:  # without an answer of ours, OpenSSL would ask the terminal
        nonlocal asked
        asked = True
        return password

    try:
        context.load_cert_chain(certificate, key, answer)
    except ssl.SSLError as error:
        if asked and not password:
            message = "is encrypted: set key_password by environment, or key_password_file"
        elif asked:
            message = "does not open with the key's password"
        elif error.reason == "KEY_VALUES_MISMATCH":
            message = f"is not the key of certificate_file {certificate}"
        else:
            message = f"and certificate_file {certificate} are no key and certificate in PEM"
        raise _unusable("key_file", key, message) from error


def _secret(given: SecretStr | None, file: Path | None, key: str) -> str:
    if file is None:
        return "" if given is None else given.get_secret_value()
    try:
        text = _readable(file, key).decode()
    except UnicodeDecodeError:
        raise _unusable(key, file, "is not UTF-8") from None
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise _unusable(key, file, f"is empty; {ALONE}")
    if secret.startswith("\ufeff"):
        raise _unusable(key, file, f"begins with a byte order mark; {ALONE}")
    if "\n" in secret or "\r" in secret:
        raise _unusable(key, file, f"holds several lines; {ALONE}")
    with suppress(OSError):  # gone since it was read
        if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            _warn_of_readers(key, file)
    return secret


@cache  # once for each file, as it is read for every client
def _warn_of_readers(key: str, file: Path) -> None:
    log.warning(
        "a password can be read or written by everybody on this machine; chmod 600",
        setting=f"{KEY}.{key}",
        path=str(file),
    )


def _readable(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unusable(key, file, f"cannot be read ({error.strerror})") from error


def _unusable(key: str, file: Path, why: str) -> SourceRefusedError:
    return SourceRefusedError(f"{KEY}.{key}: {file} {why}")
