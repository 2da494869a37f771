"""Whatever columns hold, the monitor's scores are numbers, and neither batches nor restarts change what it finds."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.drift.monitor import DriftMonitor, watched
from service.drift.reference import Reference
from service.records import Examples, Scores
from service.settings import Settings
from tests.properties.effort import examples

ROWS = 90
SETTINGS = {
    task: Settings.model_validate(
        {
            "task": task,
            "schema": {"numeric": ["a", "b"], "categorical": ["c"], "nullable": ["a", "b", "c"]},
            "drift": {"window_events": 20, "every_events": 10, "cooldown_events": 15, "least_score": 0.01},
        }
    )
    for task in ("binary", "regression")
}
numbers = arrays.arrays(
    np.float64, (ROWS, 2), elements=st.sampled_from([0.0, 1.0, -1.0, 2.5, 1e-300, 1.7e308, -1.7e308, np.nan])
)
codes = arrays.arrays(np.int64, (ROWS, 1), elements=st.integers(0, 6))
errors = arrays.arrays(np.float64, ROWS, elements=st.sampled_from([0.0, 1.0, 1e-200, 1e100]))
predicted = arrays.arrays(np.float64, ROWS, elements=st.integers(0, 3).map(float))
cuts = st.sets(st.integers(1, ROWS - 1), max_size=6).map(sorted)


@examples(60)
@given(st.sampled_from(["binary", "regression"]), numbers, codes, errors, predicted, cuts, st.integers(1, 40))
def test_cuts_and_restarts_change_nothing_whatever_comes(
    task: str,
    given_numbers: np.ndarray,
    given_codes: np.ndarray,
    given_errors: np.ndarray,
    given_predicted: np.ndarray,
    ends: Sequence[int],
    known: int,
) -> None:
    """Absurd, missing and constant values, and references of few rows, give finite scores of the announced names."""
    settings = SETTINGS[task]
    order = np.arange(ROWS)
    events = Examples(given_numbers, given_codes, given_predicted, order, order.astype(np.uint64))
    scores = Scores(given_errors, np.minimum(given_errors, 1.0) if task == "binary" else given_errors, given_predicted)
    reference = Reference.of(("a", "b"), given_numbers[:known], ("c",), given_codes[:known], stretch=20)
    whole = DriftMonitor(settings)
    whole.follow(reference)
    expected = whole.observe(events, scores, 0)
    cut, found, first = DriftMonitor(settings), [], 0
    cut.follow(reference)
    for end in [*ends, ROWS]:
        found += cut.observe(events.take(slice(first, end)), scores.take(slice(first, end)), first)
        saved, cut = cut.snapshot(), DriftMonitor(settings)
        cut.restore(*saved, Reference.from_json(reference.to_json()))
        first = end
    assert found == expected
    assert cut.scores() == whole.scores()
    assert set(whole.scores()) <= set(watched(settings.schema_))
    assert np.isfinite(list(whole.scores().values())).all()
