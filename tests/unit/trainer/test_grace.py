"""A stop is bounded, whatever is stuck."""

import subprocess
import sys
import threading

from service.trainer.grace import bounded_stop

STUCK = """
import threading
from service.trainer.grace import bounded_stop
stop = threading.Event()
with bounded_stop(stop, 0.5):
    stop.set()
    threading.Event().wait(60)
raise SystemExit(3)
"""


def test_a_stop_that_is_stuck_ends_with_0_and_one_line() -> None:
    """The process leaves by itself before an orchestrator kills it, and says so."""
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0
    assert "the newest snapshot stands" in done.stdout + done.stderr


def test_a_stop_in_time_is_left_alone() -> None:
    """Neither during the block nor after it does anything happen: whoever watched it has gone."""
    stop = threading.Event()
    with bounded_stop(stop, 60):
        (watch,) = [thread for thread in threading.enumerate() if thread.name == "grace"]
        stop.set()
    watch.join(60)
    assert not watch.is_alive()
