"""How the test broker of the project's own is run: by Java, with jars that Maven fetches once, or by Docker."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.broker_security import SECURED, Authority, can_secure, new_authority, security_properties

VERSION = "4.3.1"
POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path.home() / ".cache" / "freshet-test-kafka"
STOP_SECONDS = 15.0


class NoBrokerError(Exception):
    """No broker can be had here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the listeners are; those of SECURED exist only where openssl does."""

    plain: int
    controller: int
    secured: dict[str, int]

    @classmethod
    def of(cls, free: list[int]) -> "Ports":
        """Give out free ports: as many as ``PORTS``."""
        return cls(free[0], free[1], dict(zip(SECURED, free[2:], strict=True)) if can_secure() else {})


PORTS = 2 + len(SECURED)


class Machine(Protocol):
    """How a broker of our own is started and stopped; its data and ports outlive a stop."""

    authority: Authority | None
    """Who vouches for the broker and for its clients, None without openssl."""

    data: Path | None
    """Where its log segments lie, None where they cannot be reached."""

    def start(self) -> None:
        """Start the broker's process."""
        ...

    def stop(self, *, kill: bool) -> None:
        """Stop it, gently or by SIGKILL, and wait until it is gone."""
        ...

    def signal(self, number: int) -> None:
        """Send its process a signal."""
        ...

    def dead(self) -> str | None:
        """Return the end of its log if the process has ended, else None."""
        ...

    def remove(self) -> None:
        """Delete what it left."""
        ...


class JavaMachine:
    """The broker as a Java process; Maven fetches its jars once."""

    def __init__(self, ports: Ports) -> None:
        self._classes = f"{fetch_jars()}/*"
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-test-kafka-"))
        self.authority = identities(self._folder / "tls") if ports.secured else None
        self.data = self._folder / "data"
        self._log = self._folder / "broker.log"
        self._settings = self._folder / "broker.properties"
        everything = {"log.dirs": str(self.data), **properties(ports, str(self._folder / "tls"))}
        self._settings.write_text("".join(f"{key}={escaped(value)}\n" for key, value in everything.items()))
        cluster = ("--cluster-id", "freshet-test-kafka-0001", "--config", str(self._settings))
        self._java("kafka.tools.StorageTool", "format", *cluster).wait()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        self._process = self._java("kafka.Kafka", str(self._settings))

    def stop(self, *, kill: bool) -> None:
        """End it and wait until it is gone."""
        process = self._process
        if process is None:
            return
        (process.kill if kill else process.terminate)()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def dead(self) -> str | None:
        """Return its last words, or None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return self._log.read_text()[-2_000:]

    def remove(self) -> None:
        """Delete data and log."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        options = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self._classes)
        with self._log.open("ab") as log:
            # In a session of its own, so that Ctrl-C ends the tests first and they stop the broker.
            return subprocess.Popen(
                ["java", *options, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


class DockerMachine:
    """The broker as a container of the project's published image."""

    def __init__(self, ports: Ports) -> None:
        self._name = f"freshet-test-kafka-{uuid.uuid4().hex[:8]}"
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-test-kafka-"))
        self.authority = identities(self._folder / "tls") if ports.secured else None
        self.data = None
        variables = [
            f"--env=KAFKA_{in_environment(key)}={value}"
            for key, value in properties(ports, "/tls", listen="0.0.0.0").items()  # noqa: S104 - in the container
        ]
        publish = [f"--publish=127.0.0.1:{port}:{port}" for port in (ports.plain, *ports.secured.values())]
        self._docker("create", f"--name={self._name}", *publish, *variables, f"apache/kafka:{VERSION}")
        if self.authority is not None:
            for file in self.authority.folder.iterdir():
                file.chmod(0o644)  # the container's user is another
            self._docker("cp", str(self.authority.folder), f"{self._name}:/tls")

    def start(self) -> None:
        """Start the process."""
        self._docker("start", self._name)

    def stop(self, *, kill: bool) -> None:
        """End it and wait until it is gone."""
        self._docker("kill" if kill else "stop", self._name)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._docker("kill", f"--signal={number}", self._name)

    def dead(self) -> str | None:
        """Return its last words, or None while it runs."""
        if self._docker("inspect", "--format={{.State.Running}}", self._name).strip() == "true":
            return None
        return self._docker("logs", "--tail=30", self._name)

    def remove(self) -> None:
        """Delete the container."""
        self._docker("rm", "--force", "--volumes", self._name)
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _docker(*arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"docker {arguments[0]} failed: {done.stderr.strip()[-500:]}"
            raise NoBrokerError(message)
        return done.stdout + done.stderr


def new_machine(ports: Ports) -> Machine:
    """Return a machine by what is installed; raise NoBrokerError if nothing is."""
    if shutil.which("java") and shutil.which("mvn"):
        return JavaMachine(ports)
    if shutil.which("docker"):
        return DockerMachine(ports)
    message = "no Kafka: set FRESHET_TEST_KAFKA to a broker's host:port, or install Java 17 and Maven, or Docker"
    raise NoBrokerError(message)


def identities(folder: Path) -> Authority:
    """Make the authority, and with it the broker's certificate and a client's."""
    authority = new_authority(folder)
    authority.issue("localhost", "subjectAltName=DNS:localhost")
    authority.issue("freshet")
    return authority


def properties(ports: Ports, store: str, listen: str = "127.0.0.1") -> dict[str, str]:
    """Return the settings of one node that is broker and controller, quick to form groups."""
    open_to_all = {"PLAINTEXT": ports.plain}
    listeners = {**open_to_all, **ports.secured, "CONTROLLER": ports.controller}
    # Secured listeners are reached by the name that the broker's certificate has.
    advertised = {**dict.fromkeys(open_to_all, "127.0.0.1"), **dict.fromkeys(ports.secured, "localhost")}
    protocols = ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in advertised)]
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": ",".join(f"{name}://{listen}:{port}" for name, port in listeners.items()),
        "advertised.listeners": ",".join(f"{name}://{host}:{listeners[name]}" for name, host in advertised.items()),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "listener.security.protocol.map": ",".join(protocols),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker may come back only when its session is over.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",
        **(security_properties(store) if ports.secured else {}),
    }


def escaped(value: str) -> str:
    """Return a value as a properties file holds it: ASCII, and backslashes doubled."""
    return value.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")


def in_environment(key: str) -> str:
    """Return a broker's setting as the image wants it spelt: one underscore for a dot, three for a hyphen."""
    return key.upper().replace("_", "__").replace("-", "___").replace(".", "_")


def fetch_jars() -> Path:
    """Return the folder of the broker's jars, filled by Maven the first time; a changed pom.xml gets another."""
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={part}"]
            done = subprocess.run(
                ["mvn", "-q", "-B", "-f", str(POM), *goal], capture_output=True, text=True, check=False
            )
            if done.returncode:
                message = f"Maven could not fetch Kafka: {done.stdout[-1_000:]}"
                raise NoBrokerError(message)
            part.rename(folder)
    return folder
