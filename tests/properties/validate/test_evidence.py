"""Paired sums add up, and forward evidence is that of the newest rounds, whatever was told in between."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.validate.evidence import ForwardEvidence, PairedSums
from tests.properties.effort import examples

differences = arrays.arrays(np.float64, st.integers(0, 12), elements=st.floats(-1e3, 1e3))


@examples(100)
@given(differences, differences)
def test_sums_add_up(one: np.ndarray, other: np.ndarray) -> None:
    """Mean and standard error are those of all differences together, in whatever parts they came."""
    whole = np.concatenate([one, other])
    sums = PairedSums.of(one) + PairedSums.of(other)
    assert sums.events == len(whole)
    wanted = whole.mean() if len(whole) else np.nan
    np.testing.assert_allclose(sums.mean, wanted, atol=1e-9)
    error = whole.std(ddof=1) / np.sqrt(len(whole)) if len(whole) > 1 else np.nan
    np.testing.assert_allclose(sums.standard_error, error, atol=1e-3)


steps = st.lists(
    st.one_of(st.tuples(st.sampled_from("ab"), differences), st.just("round"), st.just("reload"), st.just("forget a")),
    max_size=14,
)


@examples(150)
@given(st.integers(1, 3), steps)
def test_evidence_is_of_the_newest_rounds(rounds: int, told: list[object]) -> None:
    """A round without events takes no place; what was forgotten is gone; JSON keeps the rest."""
    evidence = ForwardEvidence(rounds)
    blocks: dict[str, list[list[float]]] = {"a": [[]], "b": [[]]}
    for step in told:
        if isinstance(step, tuple):
            evidence.add(*step)
            blocks[step[0]][-1] += step[1].tolist()
        elif step == "round":
            evidence.end_round()
            for name, held in blocks.items():
                if held[-1]:
                    blocks[name] = [*held, []][-rounds:]
        elif step == "reload":
            evidence = ForwardEvidence.from_json(json.loads(json.dumps(evidence.to_json())), rounds)
        else:
            evidence.forget("a")
            blocks["a"] = [[]]
    for name, held in blocks.items():
        flat = [value for block in held for value in block]
        assert evidence.sums(name).events == len(flat)
        assert evidence.sums(name).total == pytest.approx(sum(flat), abs=1e-6)
