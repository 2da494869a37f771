"""Whether a process is certainly gone."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from service.store.processes import is_gone, this_process


def test_a_running_process_is_not_gone() -> None:
    """This one runs."""
    mark = this_process()

    assert mark.pid == os.getpid()
    assert not is_gone(mark)


def test_a_process_that_ended_is_gone_even_before_its_parent_looked() -> None:
    """A zombie still has its number, and does nothing more."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    mark = replace(this_process(), pid=child.pid, started=0)
    if sys.platform == "linux":  # elsewhere the state of a zombie cannot be seen
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(mark)
    child.wait()
    assert is_gone(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
def test_a_later_process_with_the_same_number_is_another_one() -> None:
    """The time of its start tells them apart."""
    assert is_gone(replace(this_process(), started=1))


def test_nothing_is_known_of_processes_elsewhere() -> None:
    """A number of another machine, boot or container means nothing here."""
    assert not is_gone(replace(this_process(), machine="0" * 16, pid=2**22 + 1))


def test_a_group_is_no_process() -> None:
    """Number 0 would ask about this process's own group."""
    assert not is_gone(replace(this_process(), pid=0))
