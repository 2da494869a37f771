"""How hard the properties are tried: HYPOTHESIS_PROFILE=long tries twenty times as many examples."""

import os

from hypothesis import settings

LONG = 20


def examples(count: int) -> settings:
    """Return settings for so many examples, of the profile that is in force."""
    return settings(max_examples=count * (LONG if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1))
