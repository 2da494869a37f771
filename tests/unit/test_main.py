"""What the program settles before anything large is loaded."""

import os

import pytest

import service.cli
from service.__main__ import BLAS_THREADS, main


@pytest.mark.parametrize(("given", "found"), [(None, "1"), ("4", "4")])
def test_linear_algebra_is_left_to_one_thread(monkeypatch: pytest.MonkeyPatch, given: str | None, found: str) -> None:
    """Before numpy is loaded, for the trainer's worker too; whoever knows better is not overruled."""
    seen = []
    monkeypatch.delenv(BLAS_THREADS, raising=False)
    if given is not None:
        monkeypatch.setenv(BLAS_THREADS, given)
    monkeypatch.setattr(service.cli, "main", lambda: seen.append(os.environ[BLAS_THREADS]))
    monkeypatch.setattr("sys.argv", ["freshet", "check"])
    main()
    assert seen == [found]
