"""Work in threads knows whose request it does."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from service.serve.threads import in_thread


def test_work_in_a_thread_bears_the_id_of_its_request() -> None:
    """Two requests that share one thread never share an id."""

    def whose(number: int) -> tuple[int, str, bool]:
        bound = structlog.contextvars.get_contextvars()
        return number, bound["request_id"], threading.current_thread() is threading.main_thread()

    async def request(threads: ThreadPoolExecutor, number: int) -> tuple[int, str, bool]:
        with structlog.contextvars.bound_contextvars(request_id=f"id-{number}"):
            return await in_thread(threads, whose, number)

    async def both() -> list[tuple[int, str, bool]]:
        with ThreadPoolExecutor(1) as threads:
            return await asyncio.gather(request(threads, 1), request(threads, 2))

    assert asyncio.run(both()) == [(1, "id-1", False), (2, "id-2", False)]
