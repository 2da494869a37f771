"""`freshet checkpoints promote`, `pin`, `unpin` and `history`: what they do to a store, and what they say."""

import json
import os
from pathlib import Path

import pytest

from service.cli import operations
from service.store.checkpoints import CheckpointStore
from service.store.pin import PIN, read_pin
from tests.unit.store.conftest import MakeCheckpoint, make_checkpoint
from tests.unit.test_cli import Freshet, freshet

__all__ = ["freshet", "make_checkpoint"]

IDS = ("000000-00000000", "000001-00000001")


@pytest.fixture
def store(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> CheckpointStore:
    """Return the store that commands in the test's folder use by default, with two checkpoints and no pointer."""
    store = CheckpointStore(tmp_path / "freshet-data" / "store", 20)
    for checkpoint_id in IDS:
        store.write(make_checkpoint(checkpoint_id))
    return store


def test_a_pin_is_set_told_and_removed(freshet: Freshet, store: CheckpointStore) -> None:
    """`latest` names what serves now; lists and history tell it; a promotion meanwhile says that it waits."""
    assert "nothing was promoted or pinned by hand" in freshet("checkpoints", "history")[2]
    assert "nothing was pinned" in freshet("checkpoints", "unpin")[2]
    store.point(IDS[0], reason="better", by="gate")

    pinned = json.loads(freshet("checkpoints", "pin", "latest", "--reason", "an\naudit", "--json")[1])
    assert pinned == {"pinned": pinned["pinned"], "replaced": None, "latest": IDS[0]}
    assert (pinned["pinned"]["id"], pinned["pinned"]["reason"]) == (IDS[0], "an audit")
    promoted = freshet("checkpoints", "promote", IDS[1])[2]
    assert f"{IDS[1]} is the latest now; {IDS[0]} is pinned, and serves until" in promoted
    listed = json.loads(freshet("checkpoints", "list", "--json")[1])
    assert (listed["serving"], listed["latest"], listed["pinned"]) == (IDS[0], IDS[1], IDS[0])
    assert [one["role"] for one in listed["checkpoints"]] == ["latest", "pinned"]

    assert f"{IDS[1]} serves" in freshet("checkpoints", "unpin", "--reason", "over")[2]
    assert read_pin(store.path) is None
    told = json.loads(freshet("checkpoints", "history", "--json")[1])["operations"]
    assert [(one["event"], one["checkpoint"], one["reason"]) for one in told] == [
        ("unpinned", IDS[0], "over"),
        ("promoted", IDS[1], "by hand"),
        ("pinned", IDS[0], "an audit"),
    ]
    assert "an audit" not in freshet("checkpoints", "history", "--last", "2")[1]


def test_what_cannot_be_pinned_is_one_line(freshet: Freshet, store: CheckpointStore) -> None:
    """Exit 1 for what is not there or damaged, 2 for too long a reason."""
    code, _, err = freshet("checkpoints", "pin", "000009-00000009")
    assert (code, "no checkpoint" in err) == (1, True)
    code, _, err = freshet("checkpoints", "pin", "latest")
    assert (code, "nothing serves" in err) == (1, True)
    code, _, err = freshet("checkpoints", "pin", IDS[0], "--reason", "x" * 501)
    assert (code, err) == (2, "freshet: --reason is longer than 500 characters; shorten it\n")
    weights = store.path / "checkpoints" / IDS[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    code, _, err = freshet("checkpoints", "pin", IDS[0])
    assert (code, "damaged" in err, err.count("\n")) == (1, True, 1)
    assert read_pin(store.path) is None


def test_a_damaged_pin_is_told_and_mended(freshet: Freshet, store: CheckpointStore) -> None:
    """It hides no checkpoint; to remove it, or to pin again, is what mends it."""
    for mend in (("unpin",), ("pin", IDS[1])):
        (store.path / PIN).write_bytes(b"{}")
        code, out, err = freshet("checkpoints", "list", "--json")
        assert (code, len(json.loads(out)["checkpoints"])) == (0, 2)
        assert "store/pin: damaged" in err
        assert freshet("checkpoints", *mend)[0] == 0
        assert "damaged" not in freshet("checkpoints", "list")[2]


def test_who_acts_is_told_also_without_a_name(
    freshet: Freshet, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the user may have a number alone; the machine may be called anything."""

    def nameless(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(operations.pwd, "getpwuid", nameless)
    monkeypatch.setattr(operations.socket, "gethostname", lambda: "odd\nname" + "x" * 500)
    freshet("checkpoints", "pin", IDS[0])
    pin = read_pin(store.path)
    assert pin is not None
    assert pin.by.startswith(f"{os.getuid()}@oddnamexxx")
    assert len(pin.by) == operations.MAX_NAME_CHARS
