"""A pin holds real server processes at one checkpoint, also through restarts, while the trainer goes on learning."""

from contextlib import ExitStack
from typing import Any

import httpx

from service.settings import Settings
from service.store.status import read_status
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.integration.test_server_process import program
from tests.integration.test_trainer import Make, Running, learnt, make
from tests.ports import free_port

__all__ = ["make"]

ADMIN = "admin-token-0123456789"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}


class Answering:
    """A server process, as its clients see it."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        url = f"http://127.0.0.1:{settings.serve.port}"
        self._client = stack.enter_context(httpx.Client(base_url=url, timeout=30))

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """Act as an administrator."""
        answer = self._client.post(path, json=body, headers=AS_ADMIN)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def delete(self, path: str) -> dict[str, Any]:
        """Act as an administrator."""
        answer = self._client.delete(path, headers=AS_ADMIN)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def status(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        return dict(self._client.get("/v1/status").json())

    def names(self) -> set[str]:
        """Return every checkpoint that status, metrics and a prediction say serves."""
        answer = self._client.post("/v1/predict", json={"instances": [{"a": 1.0, "b": 1.0}]})
        text = self._client.get("/metrics").text
        info = [line.split('"')[1] for line in text.splitlines() if line.startswith("freshet_checkpoint_info{")]
        return {answer.json()["checkpoint"]["id"], self.status()["serving"]["id"], *info}


def servers_of(running: Running) -> list[Settings]:
    """Return the settings of two servers of the trainer's store, with a token for an administrator."""
    tokens = running.folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"ops:admin:{ADMIN}\n")
    values = running.settings.model_dump(mode="json", by_alias=True)
    return [
        Settings.model_validate(
            values | {"serve": {"port": free_port(), "watch_seconds": 0.05, "tokens_file": str(tokens)}}
        )
        for _ in range(2)
    ]


def one_more(running: Running, seed: int) -> None:
    """Let the trainer publish another checkpoint, and wait until it rests."""
    before = running.serving()
    accepted = running.accepted()
    running.send(events(200, seed=seed))

    def rests() -> bool:
        status = read_status(running.folder / "store") or {}
        rounds = dict(status["rounds"])
        return bool(
            status["events"]["accepted"] == accepted + 200
            and status["new_events"] < 200
            and rounds.pop("started") == 1 + sum(rounds.values())  # the first checkpoint is no promotion
            and before != running.serving() == running.champion()
        )

    eventually(rests, "the next checkpoint, and the trainer to rest")


def test_what_is_pinned_serves_everywhere_until_it_is_unpinned(make: Make) -> None:
    """The trainer goes on publishing and pruning; no server follows, not even a new one, until the pin is gone."""
    running = learnt(make(gate={"enabled": False}, store={"keep": 3}))
    one_more(running, 1)
    chosen = running.serving()
    one, other = servers_of(running)
    with ExitStack() as stack:
        stack.enter_context(program(other))
        beside = Answering(other, stack)
        with program(one):
            asked = Answering(one, stack)
            pinned = asked.post("/v1/pin", {"id": chosen, "reason": "audit"})["pinned"]
            for server in (asked, beside):
                eventually(lambda server=server: server.names() == {chosen}, "the server to serve what is pinned")
            for seed in range(2, 6):
                one_more(running, seed)
                assert asked.names() == beside.names() == {chosen}
        stack.enter_context(program(one))  # the one that was asked is no longer: another process takes its place
        again = Answering(one, stack)
        eventually(lambda: again.status()["serving"], "the new process to serve")
        for server in (again, beside):
            status = server.status()
            assert (status["pinned"], status["trouble"]) == (pinned, None)
            assert status["latest"]["id"] == running.serving()
            assert server.names() == {chosen}
        eventually(lambda: len(running.store.entries()) == 5, "all to be pruned but three, the pinned one and the root")
        assert (read_status(running.folder / "store") or {})["pinned"] == pinned

        promoted = next(entry.id for entry in running.store.entries() if entry.id not in (chosen, running.serving()))
        assert again.post(f"/v1/checkpoints/{promoted}/promote")["pinned"] == pinned
        eventually(lambda: running.champion() == promoted, "the trainer to follow the promotion")
        assert again.names() == beside.names() == {chosen}

        assert beside.delete("/v1/pin")["was"] == pinned
        for server in (again, beside):
            eventually(lambda server=server: server.names() == {promoted}, "the server to follow the pointer again")
        one_more(running, 6)
        eventually(lambda: again.names() == beside.names() == {running.serving()}, "the servers to follow the trainer")
    running.stop()
    assert running.failure is None
