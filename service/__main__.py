"""The program: `freshet`, or `python -m service`."""

import os
import signal
import sys

from service.parent import end_with_parent

ROLES = ("train", "serve", "run")

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""What numpy's linear algebra reads once, when it is loaded. Ours is too small to share: on busy cores a system of 300
equations takes one thread 3 ms, and two of them, which wait for each other, 80.
"""


def main() -> None:
    """Run one command; a role that is told to stop while it is still being loaded has nothing to save: exit 0."""
    if sys.argv[1:2] and sys.argv[1] in ROLES:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        end_with_parent()
    os.environ.setdefault(BLAS_THREADS, "1")
    from service.cli import main as run_command  # noqa: PLC0415 - slow to import, so the signal comes first

    run_command()


if __name__ == "__main__":
    main()
