"""The file of the embedded log: what is in it, how it is opened, and which files are left alone."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import SourceUnavailableError

APPLICATION_ID = 0x46726573  # "Fres": says in the file's header that the file is ours
FORMAT_VERSION = 1
BUSY_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.01

SCHEMA = (
    # The next offset is kept beside the records: offsets go on where they were when the newest records are deleted.
    "CREATE TABLE topics (topic TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE records (
        topic TEXT NOT NULL, "offset" INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
        key BLOB, value BLOB, headers BLOB, PRIMARY KEY (topic, "offset")
    )""",
    """CREATE TABLE committed (
        "group" TEXT NOT NULL, topic TEXT NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY ("group", topic)
    ) WITHOUT ROWID""",
)


class LogFile:
    """One connection to the file, opened when it is first needed and again after a failure.

    ``connection`` and ``transaction`` make the file where there is none, ``existing`` leaves the disk as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Yield the open connection; what SQLite or the file system complains of becomes SourceUnavailableError."""
        with self._explained():
            if self._connection is None:
                self._connection = self._open()
            yield self._connection

    @contextmanager
    def existing(self) -> Iterator[sqlite3.Connection | None]:
        """Yield the open connection, or None where there is no log yet: no file, or an empty one."""
        with self._explained():
            if self._connection is None and self.path.exists():
                self._connection = self._open_existing()
            yield self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.close()
            message = f"the embedded log {self.path} cannot be used: {error}; check source.embedded.path"
            raise SourceUnavailableError(message) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a write transaction, which is durable once this ends without an error."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect("rwc")
        try:
            # Nothing is written before the file is known to be ours or empty.
            if self._is_new(connection):
                self._make(connection)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_existing(self) -> sqlite3.Connection | None:
        # Not mode=ro: who reads a WAL so cannot clear its two side files away at the end.
        connection = self._connect("rw")
        try:
            if self._is_new(connection):
                connection.close()
                return None
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        application, version, objects = (
            connection.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if application == APPLICATION_ID and version == FORMAT_VERSION:
            return False
        if application or version or objects:
            what = f"version {version} of the log" if application == APPLICATION_ID else "another program's database"
            message = f"{self.path} is {what} and stays untouched; set source.embedded.path to another file"
            raise SourceUnavailableError(message)
        return True

    def _make(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:  # the busy timeout does not hold for a change of journal mode
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
        connection.execute("BEGIN IMMEDIATE")
        if self._is_new(connection):  # else another process was faster
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")
