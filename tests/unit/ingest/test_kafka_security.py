"""service/ingest/kafka_security.py: what the settings become, and what is said of files that cannot be used."""

import ssl
from pathlib import Path

import pytest
import structlog

from service.errors import SourceRefusedError
from service.ingest.kafka_security import security_arguments
from service.settings import KafkaSecurity
from tests.broker_security import KEY_PASSWORD, Authority, can_secure, new_authority
from tests.conftest import not_here


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that has issued ``client`` and ``other``."""
    if not can_secure():
        not_here("certificates are made by openssl; install it")
    made = new_authority(tmp_path_factory.mktemp("tls"))
    made.issue("client")
    made.issue("other")
    return made


def refusal(**security: object) -> str:
    """Return the line with which TLS settings are refused."""
    with pytest.raises(SourceRefusedError) as raised:
        security_arguments(KafkaSecurity.model_validate({"protocol": "SSL", **security}))
    assert "\n" not in str(raised.value)
    assert raised.value.retriable
    return str(raised.value)


def test_without_security_nothing_is_said_but_that() -> None:
    """The default is a plain listener."""
    assert security_arguments(KafkaSecurity()) == {"security_protocol": "PLAINTEXT"}


def test_user_and_password_reach_the_client(tmp_path: Path) -> None:
    """From settings or file; only the file's line end is left away."""
    base = {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-256", "username": "u"}
    expected = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "u",
        "sasl_plain_password": " p\u00e9 ",
    }
    assert security_arguments(KafkaSecurity.model_validate({**base, "password": " p\u00e9 "})) == expected
    file = tmp_path / "password"
    file.write_bytes(" p\u00e9 \r\n".encode())
    assert security_arguments(KafkaSecurity.model_validate({**base, "password_file": file})) == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xff", "is not UTF-8"),
        (b"", "is empty; it must hold nothing but the password"),
        (b" \r\n", "is empty; it must hold nothing but the password"),
        (b"\xef\xbb\xbfsecret\n", "begins with a byte order mark; it must hold nothing but the password"),
        (b"# of the broker\nsecret\n", "holds several lines; it must hold nothing but the password"),
    ],
)
def test_a_file_that_is_no_password_is_said(tmp_path: Path, content: bytes, what: str) -> None:
    """Before any broker refuses it; not a word of the content is repeated."""
    file = tmp_path / "password"
    file.write_bytes(content)
    line = refusal(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="u", password_file=file)
    assert line == f"source.kafka.security.password_file: {file} {what}"


def test_a_password_that_everybody_can_read_is_warned_of_once(tmp_path: Path) -> None:
    """The setting and the file are named, however often clients connect; a file of the owner's alone is in order."""
    files = tmp_path / "private", tmp_path / "public"
    for file, mode in zip(files, (0o600, 0o644), strict=True):
        file.write_text("secret")
        file.chmod(mode)
    base = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u"}
    with structlog.testing.capture_logs() as logs:
        for file in files * 3:
            security_arguments(KafkaSecurity.model_validate({**base, "password_file": file}))
    assert [(entry["setting"], entry["path"]) for entry in logs] == [
        ("source.kafka.security.password_file", str(tmp_path / "public"))
    ]


def test_brokers_are_verified_unless_told_otherwise(authority: Authority) -> None:
    """A certificate is always wanted; only its name may be left unchecked; old versions of TLS are not spoken."""
    for checked in (True, False):
        security = {"protocol": "SSL", "ca_file": authority.ca_file, "check_hostname": checked}
        context = security_arguments(KafkaSecurity.model_validate(security))["ssl_context"]
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname is checked
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("key", ["ca_file", "certificate_file", "key_file"])
def test_a_missing_file_is_named_with_its_setting(authority: Authority, tmp_path: Path, key: str) -> None:
    """Which setting, which file, and what the system says of it."""
    client = authority.folder / "client.pem"
    files = {"ca_file": authority.ca_file, "certificate_file": client, "key_file": client, key: tmp_path / "none"}
    expected = f"source.kafka.security.{key}: {tmp_path / 'none'} cannot be read (No such file or directory)"
    assert refusal(**files) == expected


def test_files_that_hold_something_else_are_named(authority: Authority, tmp_path: Path) -> None:
    """No certificates, no key, or the key of another certificate."""
    text, client, other = tmp_path / "text", authority.folder / "client.pem", authority.folder / "other.key"
    text.write_text("nothing of the kind")
    assert f"ca_file: {text} is no list of certificates in PEM" in refusal(ca_file=text)
    assert f"{text} and certificate_file {client} are no key and certificate in PEM" in refusal(
        certificate_file=client, key_file=text
    )
    assert f"{other} is not the key of certificate_file {client}" in refusal(certificate_file=client, key_file=other)


def test_an_encrypted_key_opens_with_its_password_only(authority: Authority, tmp_path: Path) -> None:
    """Without a password nobody is asked for one at the terminal; with a wrong one that is said."""
    client = authority.folder / "client.pem"
    files = {"protocol": "SSL", "certificate_file": client, "key_file": authority.encrypt(client, KEY_PASSWORD)}
    assert "is encrypted: set key_password by environment, or key_password_file" in refusal(**files)
    assert "does not open with the key's password" in refusal(**files, key_password=KEY_PASSWORD + "x")
    file = tmp_path / "password"
    file.write_text(KEY_PASSWORD + "\n")
    for given in ({"key_password": KEY_PASSWORD}, {"key_password_file": file}):
        assert security_arguments(KafkaSecurity.model_validate({**files, **given}))["ssl_context"]
