"""The `source.kafka` section: how a Kafka cluster is reached, and how client and brokers prove who they are."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from service.settings.base import Section, Text
from service.settings.checks import clash, reachable_servers

KEY = "source.kafka.security"
BY_ENVIRONMENT = "FRESHET_SOURCE__KAFKA__SECURITY__PASSWORD"
SASL_KEYS = ("mechanism", "username", "password", "password_file")
TLS_KEYS = ("ca_file", "certificate_file", "key_file", "key_password", "key_password_file")


class KafkaSecurity(Section):
    """How the connection is encrypted, and how client and broker prove who they are.

    Secrets come from the environment or from files of their own, which are read whenever a client connects.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="what the brokers' listener speaks; SSL encrypts, SASL asks for user and password"
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how SASL proves the password; needed with SASL_PLAINTEXT and SASL_SSL"
    )
    username: Text | None = Field(None, description="SASL's user")
    password: SecretStr | None = Field(
        None, description=f"SASL's password; by {BY_ENVIRONMENT} only, never in a file of settings", min_length=1
    )
    password_file: Path | None = Field(None, description="a file that holds nothing but SASL's password")
    ca_file: Path | None = Field(
        None, description="PEM: who may vouch for the brokers' certificates; null: whom this machine trusts"
    )
    certificate_file: Path | None = Field(None, description="PEM: the certificate that this client shows")
    key_file: Path | None = Field(None, description="PEM: the key of certificate_file; may be the same file")
    key_password: SecretStr | None = Field(
        None, description="opens an encrypted key_file; by environment only, like password", min_length=1
    )
    key_password_file: Path | None = Field(None, description="a file that holds nothing but key_file's password")
    check_hostname: bool = Field(
        default=True, description="whether a broker's certificate must name the host it was reached by"
    )

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted (TLS)."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def authenticated(self) -> bool:
        """Whether the client has a user and a password (SASL)."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @model_validator(mode="after")
    def _protocol_uses_what_is_set(self) -> Self:
        for keys, used, needed in ((SASL_KEYS, self.authenticated, "SASL"), (TLS_KEYS, self.encrypted, "SSL")):
            unused = [] if used else [key for key in keys if getattr(self, key) is not None]
            if unused:
                message = (
                    f"{KEY}.{unused[0]} is set, but protocol {self.protocol} makes no use of it; "
                    f"remove it or choose a protocol with {needed}"
                )
                raise clash(message, f"{KEY}.{unused[0]}", f"{KEY}.protocol")
        return self

    @model_validator(mode="after")
    def _nothing_is_missing(self) -> Self:
        for key in ("mechanism", "username") if self.authenticated else ():
            if getattr(self, key) is None:
                raise clash(f"protocol {self.protocol} needs {KEY}.{key}; set it", f"{KEY}.{key}", f"{KEY}.protocol")
        if self.authenticated and self.password is None and self.password_file is None:
            message = f"protocol {self.protocol} needs a password; set {BY_ENVIRONMENT} or {KEY}.password_file"
            raise clash(message, f"{KEY}.protocol")
        for one, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                message = f"{KEY}.{one} is of no use without {KEY}.{other}; set both (one file may hold both)"
                raise clash(message, f"{KEY}.{one}")
        for key in ("key_password", "key_password_file"):
            if getattr(self, key) is not None and self.key_file is None:
                raise clash(f"{KEY}.{key} is set, but {KEY}.key_file is not; set it", f"{KEY}.{key}")
        for key in ("password", "key_password"):
            if getattr(self, key) is not None and getattr(self, f"{key}_file") is not None:
                message = f"{KEY}.{key} and {KEY}.{key}_file are both set; keep one of them"
                raise clash(message, f"{KEY}.{key}", f"{KEY}.{key}_file")
        return self


class KafkaSource(Section):
    """How to reach a Kafka cluster."""

    bootstrap_servers: Annotated[Text, AfterValidator(reachable_servers)] = Field(
        "127.0.0.1:9092", description="host:port, several joined by commas"
    )
    group_id: Text = Field("freshet", description="consumer group; one trainer learns per store and group")
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = Field(
        100, description="longest that the broker may hold back a fetch that finds nothing"
    )
    security: KafkaSecurity = KafkaSecurity()
