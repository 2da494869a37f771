"""A module that cannot be imported."""

raise RuntimeError("a user's own mistake")
