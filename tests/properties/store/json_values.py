"""Strategies for JSON as the store holds it."""

from typing import Any

from hypothesis import strategies as st

from service.store.canonical import DIGEST

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**40), 10**40), st.floats(), st.text(max_size=5)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)
objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(max_size=6).filter(lambda name: name != DIGEST), values, max_size=5
)
