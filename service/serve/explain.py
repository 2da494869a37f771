"""POST /v1/predict?explain=true: which feature adds how much to an answer, where that can be told in time."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import numpy as np
import structlog

from service.model.learned import LearnedModel
from service.records import FloatArray, IntArray
from service.serve.attribution import attributions, library, method, orderings
from service.serve.bounds import Places
from service.serve.predictor import Serving
from service.serve.problems import FieldError, ProblemError, clipped
from service.serve.threads import in_thread
from service.settings.beside import Explain

PARAMETER = "explain"
EXTRA = "explanations need the extra `explain`: pip install captum where this server runs"
NO_ANSWER = "the model has no finite answer for a part of these values"
VALUE = "value"
RETRY_AFTER_SECONDS = 2

Explanation = dict[str, Any]

log = structlog.get_logger(__name__)


def asks_for_explanation(query: bytes) -> bool:
    """Tell whether a request's query asks for explanations; raises ProblemError 422 for any other query."""
    if not query:
        return False
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, value in pairs:
        if name != PARAMETER:
            raise _refusal(f"the query parameter {clipped(name)!r} is not known; there is {PARAMETER}")
        if value not in ("true", "false"):
            raise _refusal(f"the query parameter {PARAMETER} must be true or false, not {clipped(value)!r}")
    if len(pairs) > 1:
        raise _refusal(f"the query parameter {PARAMETER} stands more than once")
    return pairs == [(PARAMETER, "true")]


class Explainer:
    """Explains answers, one request after the other in a thread of its own."""

    def __init__(self, explain: Explain) -> None:
        self._most_instances = explain.max_instances
        self._most_seconds = explain.max_instance_seconds
        self._costs: WeakKeyDictionary[LearnedModel, float] = WeakKeyDictionary()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")
        key = "serve.explain.max_in_flight"
        self._places = Places(explain.max_in_flight, key, retry_after_seconds=RETRY_AFTER_SECONDS)

    def admit(self, instances: int) -> None:
        """Raise ProblemError 413 if these are more instances than one request may have explained."""
        if instances > self._most_instances:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{instances} instances are to be explained, and at most {self._most_instances} may be at once "
                "(serve.explain.max_instances); send fewer, or ask without explain=true",
            )

    async def explain(
        self, serving: Serving, numbers: FloatArray, codes: IntArray, outputs: FloatArray
    ) -> list[Explanation]:
        """Return an explanation of each instance's answer; raises ProblemError 503 if too many others wait for one.

        numbers [n, width], codes [n, categorical] and outputs [n, outputs] are as the model takes and gives them.
        Where it cannot be explained, each explanation is ``{"unavailable": why}``.
        """
        with self._places:
            return await in_thread(self._thread, self.explained, serving.model, numbers, codes, outputs)

    def explained(
        self, model: LearnedModel, numbers: FloatArray, codes: IntArray, outputs: FloatArray
    ) -> list[Explanation]:
        """Return what ``explain`` does, for the thread that calls."""
        why = self.unsupported(model)
        if why is not None:
            return [{"unavailable": why}] * len(outputs)
        of, names = outputs.argmax(axis=1), model.columns.names
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers
                added, baselines = attributions(model, numbers, codes, of, orderings(len(names)))
        except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything
            log.warning("no explanation", problem=f"{type(error).__name__}: {error}")
            return [{"unavailable": NO_ANSWER}] * len(outputs)
        found = zip(of.tolist(), baselines.tolist(), added.tolist(), strict=True)
        return [_explanation(model, label, at_baseline, row) for label, at_baseline, row in found]

    def unsupported(self, model: LearnedModel) -> str | None:
        """Return why a model cannot be explained, None if it can.

        How long it takes is measured once for each model, by a part of an explanation.
        """
        try:
            library()
        except ImportError:
            return EXTRA
        cost = self._costs.get(model)
        if cost is None:
            cost = self._costs[model] = _seconds_for_one(model, self._most_seconds)
        if cost <= self._most_seconds:
            return None
        return (
            f"the model is too slow: to explain one instance takes about {cost:.2g} seconds, and at most "
            f"{self._most_seconds:g} are allowed (serve.explain.max_instance_seconds)"
        )


def _explanation(model: LearnedModel, label: int, at_baseline: float, added: list[float]) -> Explanation:
    names = model.columns.names
    if not all(map(math.isfinite, (at_baseline, *added))):
        return {"unavailable": NO_ANSWER}
    return {
        "of": VALUE if model.task == "regression" else model.labels[label],
        "method": method(len(names)),
        "baseline": at_baseline,
        "attributions": dict(zip(names, added, strict=True)),
    }


def _seconds_for_one(model: LearnedModel, enough: float) -> float:
    """Return about how long it takes to explain an instance; where it is over ``enough``, at least that much."""
    features = len(model.columns.names)
    orders = orderings(features)
    numbers, codes = np.zeros((1, model.columns.width)), np.zeros((1, len(model.columns.categorical)), dtype=np.int64)
    # At least a forward pass of one row for each of the orders.
    least = len(orders) * _quickest(lambda: model.predict(numbers, codes))
    if least > enough:
        return least
    some, of = orders[:2], np.zeros(1, dtype=np.int64)
    return len(orders) / len(some) * _quickest(lambda: attributions(model, numbers, codes, of, some))


def _quickest(work: Callable[[], object]) -> float:
    """Return the seconds of the best of three tries: others may want the processor, too."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _refusal(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=[FieldError("", detail)])
