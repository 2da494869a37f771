"""How the test broker is secured: who it trusts, which users it knows, and which listeners ask for what.

| listener | asks for | proves itself by |
|---|---|---|
| SASL_PLAINTEXT | user and password: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 | |
| SASL_SSL | the same, and takes a client's certificate | a certificate for ``localhost`` |
| SSL | a client's certificate | the same |

The plain listener stays open beside them, and who comes by it may do everything. On the others the user ``freshet``
and the certificate of the same name may, and ``guest`` may connect and nothing else.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

USER = "freshet"
# YAML, a shell and a properties file would each read this otherwise than it stands here.
PASSWORD = "a b#c: 'd' \u00e9"  # noqa: S105 - of a broker that lives as long as the tests
GUEST = "guest"
GUEST_PASSWORD = "guest-secret"  # noqa: S105
KEY_PASSWORD = "key-secret"  # noqa: S105
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
SECURED = ("SASL_PLAINTEXT", "SASL_SSL", "SSL")
KEY_OPTIONS = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")  # made in no time, unlike RSA's


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder, and what it vouches for."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        """Who trusts this file trusts what the authority vouches for."""
        return self.folder / "ca.pem"

    def issue(self, name: str, *extensions: str) -> Path:
        """Return a file with a new key and certificate of that name."""
        key, certificate, both = (self.folder / f"{name}{end}" for end in (".key", ".crt", ".pem"))
        added = [part for extension in ("basicConstraints=CA:FALSE", *extensions) for part in ("-addext", extension)]
        signed_by = ("-CA", str(self.ca_file), "-CAkey", str(self.folder / "ca.key"))
        _openssl("req", "-x509", *KEY_OPTIONS, "-nodes", "-days", "3650", "-subj", f"/CN={name}", *signed_by, *added,
                 "-keyout", str(key), "-out", str(certificate))  # fmt: skip
        both.write_text(key.read_text() + certificate.read_text())
        return both

    def encrypt(self, pem: Path, password: str) -> Path:
        """Return a file with the same key, that opens with a password only."""
        encrypted = pem.with_suffix(".encrypted.key")
        _openssl("pkcs8", "-topk8", "-in", str(pem), "-out", str(encrypted), "-passout", f"pass:{password}")
        return encrypted


def new_authority(folder: Path) -> Authority:
    """Make a certificate authority of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl("req", "-x509", *KEY_OPTIONS, "-nodes", "-days", "3650", "-subj", f"/CN=test authority {folder.name}",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))  # fmt: skip
    return Authority(folder)


def can_secure() -> bool:
    """Tell whether openssl is there to make certificates."""
    return shutil.which("openssl") is not None


def security_properties(store: str) -> dict[str, str]:
    """Return the broker's settings; ``store`` is the broker's path of its key and certificate and the CA's."""
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    settings = {
        "sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM)),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{store}/localhost.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{store}/ca.pem",
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.sasl_ssl.ssl.client.auth": "requested",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN={USER}",
    }
    for listener in ("sasl_plaintext", "sasl_ssl"):
        users = f'user_{USER}="{quoted}" user_{GUEST}="{GUEST_PASSWORD}";'
        settings[f"listener.name.{listener}.plain.sasl.jaas.config"] = f"{plain} {users}"
        for mechanism in SCRAM:
            settings[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = scram
    return settings


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
