"""Ties a role to the `freshet run` that started it: when that one is killed, its children stop too."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

PARENT_VARIABLE = "FRESHET_RUN_PID"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in Linux' prctl.h


def variables() -> Mapping[str, str]:
    """Return what a child's environment must hold so that it ends with this process."""
    return {PARENT_VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """Have the system send SIGTERM once the process named in the environment is gone; only Linux can do so."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if str(os.getppid()) != parent:  # it went before the system knew
        os.kill(os.getpid(), signal.SIGTERM)
