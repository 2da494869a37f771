"""The trainer's status for servers."""

from pathlib import Path

import pytest

from service.store.status import read_status, write_status


def test_a_status_comes_back(tmp_path: Path) -> None:
    """The last one written, as plain JSON."""
    assert read_status(tmp_path / "store") is None
    write_status(tmp_path / "store", {"state": "starting"})
    write_status(tmp_path / "store", {"state": "learning", "loss": float("nan"), "held": (1, 2)})
    assert read_status(tmp_path / "store") == {"state": "learning", "loss": None, "held": [1, 2]}
    assert [entry.name for entry in (tmp_path / "store").iterdir()] == ["status.json"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_no_status(tmp_path: Path, data: bytes) -> None:
    """A server goes on without it."""
    (tmp_path / "status.json").write_bytes(data)
    assert read_status(tmp_path) is None
