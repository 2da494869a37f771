"""Logs in their two formats, by real programs."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, warnings
import structlog
from service.logs import configure_logs
from service.settings import Log
log = structlog.get_logger("before")
configure_logs(Log(format=sys.argv[1], level=sys.argv[2]))
log.debug("small matter")
log.info("round ended", outcome="promoted", events=5)
logging.getLogger("kafka.conn").info("connected")
logging.getLogger("kafka.conn").warning("node %s away", 7)
logging.getLogger("uvicorn.error").info("Started server process")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
warnings.warn("old way", stacklevel=1)
try:
    raise ValueError("no such thing")
except ValueError:
    log.exception("request failed", request_id="abc")
"""


def lines_of(log_format: str, level: str) -> list[str]:
    """Run a program that logs, return what it wrote to standard error; to standard output it must write nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_elsewhere_than_on_a_terminal_each_line_is_an_object(log_format: str) -> None:
    """Ours and the libraries' alike, with time and level; libraries are heard from warnings on."""
    lines = [json.loads(line) for line in lines_of(log_format, "info")]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    assert [line["event"] for line in lines if line["level"] != "warning"] == ["round ended", "request failed"]
    assert lines[0] | {"timestamp": ""} == {
        "event": "round ended",
        "outcome": "promoted",
        "events": 5,
        "level": "info",
        "timestamp": "",
    }
    assert lines[1]["event"] == "node 7 away"
    assert "old way" in lines[2]["event"]
    assert "no such thing" in lines[3]["exception"]


def test_the_console_is_for_reading() -> None:
    """Text, a line an event, without colours where there is no terminal."""
    lines = lines_of("console", "info")
    assert "round ended" in lines[0]
    assert "outcome=promoted" in lines[0]
    assert "\x1b" not in "".join(lines)


def test_a_traceback_on_a_terminal_shows_no_values() -> None:
    """The values of variables may be secrets, or somebody's events."""
    program = PROGRAM.replace("    raise", "    password = 'hunter' + str(2)\n    raise")
    ours, theirs = os.openpty()
    with subprocess.Popen([sys.executable, "-c", program, "auto", "info"], stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # which is how a terminal says that its last user is gone
            while part := os.read(ours, 65_536):
                said += part
        os.close(ours)
    assert process.returncode == 0
    assert b"no such thing" in said
    assert b"\x1b" in said
    assert b"hunter2" not in said


def test_the_level_is_the_least_that_is_shown() -> None:
    """Debug shows all of ours; error hides warnings, the libraries' too."""
    assert "small matter" in lines_of("json", "debug")[0]
    assert [json.loads(line)["event"] for line in lines_of("json", "error")] == ["request failed"]
