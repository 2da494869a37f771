"""Who asks at the same moment is answered together, and pays for nobody else."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.learned import LearnedModel
from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.batching import Batcher
from service.serve.predictor import Serving
from service.serve.problems import ProblemError
from service.settings import Serve
from tests.unit.serve.builders import checkpoint_of, settings_in


@dataclass
class Counting(Observer):
    """Remembers the batches."""

    batches: list[int] = field(default_factory=list)

    def batched(self, instances: int) -> None:
        """Remember one."""
        self.batches.append(instances)


@pytest.fixture
def serving_of(tmp_path: Path) -> Callable[..., Serving]:
    """Return what makes a checkpoint's model serve."""

    def make(seed: int = 0, **options: Any) -> Serving:
        checkpoint = checkpoint_of(settings_in(tmp_path), f"00000{seed + 1}-00000000", seed=seed)
        model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
        return Serving(checkpoint.manifest.id, checkpoint.manifest, model, 0.0, **options)

    return make


def ages(*values: float) -> tuple[FloatArray, IntArray]:
    """Return instances of these ages in columns."""
    return np.array([[value, 1000.0, 1.0] for value in values]), np.full((len(values), 1), 2, dtype=np.int64)


def asked(batcher: Batcher, *questions: tuple[Serving, float]) -> list[Any]:
    """Ask about an age each, all at once; return the answers or errors in order."""

    async def ask() -> list[Any]:
        calls = [batcher.outputs(serving, *ages(age)) for serving, age in questions]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(ask())


def test_who_asks_in_one_turn_shares_a_pass(serving_of: Callable[..., Serving]) -> None:
    """Each gets what they would have got alone."""
    observer = Counting()
    serving = serving_of()
    answers = asked(Batcher(Serve(), observer), *((serving, float(age)) for age in range(40)))
    assert observer.batches == [40]
    for age, answer in enumerate(answers):
        np.testing.assert_allclose(answer, serving.model.predict(*ages(age)), rtol=1e-5)


def test_a_batch_has_one_model(serving_of: Callable[..., Serving]) -> None:
    """Who took the former model is answered by it, also when a swap comes in between."""
    old, new = serving_of(0), serving_of(1)
    observer = Counting()
    answers = asked(Batcher(Serve(), observer), (old, 30.0), (old, 31.0), (new, 30.0), (old, 30.0))
    assert observer.batches == [2, 1, 1]
    np.testing.assert_allclose(answers[0], answers[3], rtol=1e-5)
    assert not np.allclose(answers[0], answers[2])


@pytest.mark.parametrize("inline_rows", [256, 0])
def test_a_batch_has_an_end(serving_of: Callable[..., Serving], inline_rows: int) -> None:
    """What does not fit any more is the next one, on the event loop as in threads."""
    observer = Counting()
    serving = serving_of(inline_rows=inline_rows)
    answers = asked(Batcher(Serve(max_batch_instances=10), observer), *((serving, float(age)) for age in range(25)))
    assert sorted(observer.batches) == [5, 10, 10]
    for age, answer in enumerate(answers):
        np.testing.assert_allclose(answer, serving.model.predict(*ages(age)), rtol=1e-5)


def test_a_wait_gathers_those_who_come_later(serving_of: Callable[..., Serving]) -> None:
    """Only where it is asked for."""

    async def one_after_the_other(batcher: Batcher, serving: Serving) -> None:
        tasks = []
        for age in (1.0, 2.0, 3.0):
            tasks.append(asyncio.create_task(batcher.outputs(serving, *ages(age))))
            for _ in range(5):  # turns of the loop, in which whoever does not wait is answered
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    serving = serving_of()
    for seconds, batches in ((0.0, [1, 1, 1]), (1.0, [3])):
        observer = Counting()
        batcher = Batcher(Serve(batch_wait_seconds=seconds), observer)
        asyncio.run(one_after_the_other(batcher, serving))
        assert observer.batches == batches


def test_a_full_batch_waits_for_nobody(serving_of: Callable[..., Serving]) -> None:
    """The wait ends once nobody else would fit: a wait of an hour comes to its end at once."""
    observer = Counting()
    serve = Serve(max_batch_instances=2).model_copy(update={"batch_wait_seconds": 3_600.0})
    serving = serving_of()
    asked(Batcher(serve, observer), (serving, 1.0), (serving, 2.0))
    assert observer.batches == [2]


class Gated:
    """A model that does not answer until it may; on which thread it was asked is remembered."""

    def __init__(self, model: LearnedModel) -> None:
        self.may = threading.Event()
        self.threads: set[str] = set()
        self._model = model

    def predict(self, numbers: FloatArray, codes: IntArray) -> FloatArray:
        """Answer once it may."""
        self.threads.add(threading.current_thread().name)
        assert self.may.wait(30)
        return self._model.predict(numbers, codes)


def slow(serving: Serving) -> tuple[Serving, Gated]:
    """Return a checkpoint whose model takes as long as a test wants."""
    gated = Gated(serving.model)
    return Serving(serving.checkpoint_id, serving.manifest, gated, 0.0, inline_rows=0), gated  # type: ignore[arg-type]


def test_a_slow_model_leaves_the_loop_free_and_gathers_meanwhile(serving_of: Callable[..., Serving]) -> None:
    """While threads are busy, what comes waits together: two batches at work, then all others in one."""
    observer = Counting()
    serving, gated = slow(serving_of())
    batcher = Batcher(Serve(), observer)

    async def ask() -> None:
        tasks = []
        for age in range(12):
            tasks.append(asyncio.create_task(batcher.outputs(serving, *ages(age))))
            await asyncio.sleep(0.005)  # the loop turns although nobody is answered
        gated.may.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert sorted(observer.batches) == [1, 1, 10]
    assert threading.current_thread().name not in gated.threads


def test_too_many_that_wait_are_asked_to_come_back(serving_of: Callable[..., Serving]) -> None:
    """503 with Retry-After; what waits already is answered, and afterwards there is room again."""
    serving, gated = slow(serving_of())
    batcher = Batcher(Serve(max_queue_instances=2), Observer())

    async def ask() -> None:
        first = asyncio.create_task(batcher.outputs(serving, *ages(1, 2, 3)))  # one request may be as large as it likes
        await asyncio.sleep(0)
        with pytest.raises(ProblemError, match="max_queue_instances") as caught:
            await batcher.outputs(serving, *ages(1))
        assert caught.value.status == 503
        assert int(caught.value.headers["Retry-After"]) > 0
        gated.may.set()
        assert len(await first) == 3
        assert len(await batcher.outputs(serving, *ages(1))) == 1

    asyncio.run(ask())


class Choosy:
    """A model that fails at one age, and has no number for another."""

    def __init__(self, model: LearnedModel, error: type[Exception] = ArithmeticError) -> None:
        self.error = error
        self._model = model

    def predict(self, numbers: FloatArray, codes: IntArray) -> FloatArray:
        """Answer, or raise."""
        if 13 in numbers[:, 0]:
            message = "unlucky"
            raise self.error(message)
        outputs = self._model.predict(numbers, codes)
        outputs[numbers[:, 0] == 17] = np.nan
        return outputs


@pytest.mark.parametrize("inline_rows", [256, 0])
def test_what_one_asks_costs_nobody_else_their_answer(serving_of: Callable[..., Serving], inline_rows: int) -> None:
    """A model that fails at one instance of a batch answers the others; so does one that overflows."""
    serving = serving_of()
    choosy: Any = Choosy(serving.model)
    failing = Serving(serving.checkpoint_id, serving.manifest, choosy, 0.0, inline_rows)
    fine, broken, overflown, also_fine = asked(
        Batcher(Serve(), Observer()), (failing, 1.0), (failing, 13.0), (failing, 17.0), (failing, 2.0)
    )
    np.testing.assert_allclose(fine, serving.model.predict(*ages(1)), rtol=1e-5)
    np.testing.assert_allclose(also_fine, serving.model.predict(*ages(2)), rtol=1e-5)
    assert isinstance(broken, ArithmeticError)
    assert isinstance(overflown, ProblemError)
    assert [error.pointer for error in overflown.errors] == ["/instances/0"]


@pytest.mark.parametrize("inline_rows", [256, 0])
def test_nobody_waits_for_ever_whatever_a_model_raises(serving_of: Callable[..., Serving], inline_rows: int) -> None:
    """No future takes a StopIteration; after many failures batches are as they were."""
    observer = Counting()
    serving = serving_of()
    choosy: Any = Choosy(serving.model, StopIteration)
    failing = Serving(serving.checkpoint_id, serving.manifest, choosy, 0.0, inline_rows)
    batcher = Batcher(Serve(), observer)

    async def ask(*ages_asked: float) -> list[Any]:
        calls = [batcher.outputs(failing, *ages(age)) for age in ages_asked]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)

    async def both() -> None:
        answers = await ask(1.0, *[13.0] * 40, 2.0)
        assert [isinstance(answer, RuntimeError) for answer in answers] == [False, *[True] * 40, False]
        observer.batches.clear()
        await ask(*map(float, range(20, 60)))
        assert sorted(observer.batches) == [40]

    asyncio.run(both())


def test_who_has_gone_disturbs_nobody(serving_of: Callable[..., Serving]) -> None:
    """A request that was cut off while it waited gives up its place; the rest of its batch is answered."""
    batcher = Batcher(Serve(max_queue_instances=2), Observer())

    async def ask() -> FloatArray:
        gone = asyncio.create_task(batcher.outputs(serving, *ages(1)))
        stays = asyncio.create_task(batcher.outputs(serving, *ages(2)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    serving = serving_of()
    np.testing.assert_allclose(asyncio.run(ask()), serving.model.predict(*ages(2)), rtol=1e-5)
    assert len(asked(batcher, (serving, 1.0), (serving, 2.0))[1]) == 1


def test_listeners_are_told_of_each_batch(serving_of: Callable[..., Serving]) -> None:
    """Model, numbers, codes and outputs, row by row as they were answered; and the rows, for those who gave them."""
    heard: list[tuple[Any, ...]] = []
    batcher = Batcher(Serve(), Observer())
    batcher.listeners.append(lambda *told: heard.append(told))
    serving = serving_of()
    answers = asked(batcher, (serving, 1.0), (serving, 2.0))
    ((told, numbers, codes, outputs, rows),) = heard
    assert told is serving
    np.testing.assert_array_equal(numbers, ages(1, 2)[0])
    np.testing.assert_array_equal(codes, ages(1, 2)[1])
    np.testing.assert_array_equal(outputs, np.concatenate(answers))
    asyncio.run(batcher.outputs(serving, *ages(3), [(3.0, None, True, "Rome")]))
    assert heard[-1][-1] == [(3.0, None, True, "Rome")]
    assert rows == [None, None]  # nobody said what they were made of
