"""How the test broker of the project's own is run: by Java, with jars that Maven fetches once, or by Docker."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Protocol

VERSION = "4.3.1"
POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path.home() / ".cache" / "freshet-test-kafka"
STOP_SECONDS = 15.0


class NoBrokerError(Exception):
    """No broker can be had here; the message says what is missing."""


class Machine(Protocol):
    """How a broker of our own is started and stopped; its data and ports outlive a stop."""

    def start(self) -> None:
        """Start the broker's process."""
        ...

    def stop(self, *, kill: bool) -> None:
        """Stop it, gently or by SIGKILL, and wait until it is gone."""
        ...

    def dead(self) -> str | None:
        """Return the end of its log if the process has ended, else None."""
        ...

    def remove(self) -> None:
        """Delete what it left."""
        ...


class JavaMachine:
    """The broker as a Java process; Maven fetches its jars once."""

    def __init__(self, port: int, controller_port: int) -> None:
        self._classes = f"{fetch_jars()}/*"
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-test-kafka-"))
        self._log = self._folder / "broker.log"
        self._settings = self._folder / "broker.properties"
        lines = (f"{key}={value}\n" for key, value in properties(port, controller_port).items())
        self._settings.write_text(f"log.dirs={self._folder / 'data'}\n" + "".join(lines))
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

    def __init__(self, port: int, controller_port: int) -> None:
        self._name = f"freshet-test-kafka-{uuid.uuid4().hex[:8]}"
        variables = [
            f"--env=KAFKA_{key.upper().replace('.', '_')}={value}"
            for key, value in properties(port, controller_port, listen="0.0.0.0").items()  # noqa: S104 - in the container
        ]
        publish = f"--publish=127.0.0.1:{port}:{port}"
        self._docker("create", f"--name={self._name}", publish, *variables, f"apache/kafka:{VERSION}")

    def start(self) -> None:
        """Start the process."""
        self._docker("start", self._name)

    def stop(self, *, kill: bool) -> None:
        """End it and wait until it is gone."""
        self._docker("kill" if kill else "stop", self._name)

    def dead(self) -> str | None:
        """Return its last words, or None while it runs."""
        if self._docker("inspect", "--format={{.State.Running}}", self._name).strip() == "true":
            return None
        return self._docker("logs", "--tail=30", self._name)

    def remove(self) -> None:
        """Delete the container."""
        self._docker("rm", "--force", "--volumes", self._name)

    @staticmethod
    def _docker(*arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"docker {arguments[0]} failed: {done.stderr.strip()[-500:]}"
            raise NoBrokerError(message)
        return done.stdout + done.stderr


def new_machine(port: int, controller_port: int) -> Machine:
    """Return a machine by what is installed; raise NoBrokerError if nothing is."""
    if shutil.which("java") and shutil.which("mvn"):
        return JavaMachine(port, controller_port)
    if shutil.which("docker"):
        return DockerMachine(port, controller_port)
    message = "no Kafka: set FRESHET_TEST_KAFKA to a broker's host:port, or install Java 17 and Maven, or Docker"
    raise NoBrokerError(message)


def properties(port: int, controller_port: int, listen: str = "127.0.0.1") -> dict[str, str]:
    """Return the settings of one node that is broker and controller, quick to form groups."""
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://{listen}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
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
    }


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
