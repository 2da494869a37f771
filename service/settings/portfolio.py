"""The challengers that a round trains side by side."""

from typing import Annotated, Literal

from pydantic import Field

from service.settings.base import Section, Share


class Member(Section):
    """One challenger of the portfolio: what it is, how fast it learns, and how fast it forgets."""

    kind: Literal["network", "ridge"] = Field(
        "network", description="`network`: trained by steps; `ridge`: linear, least squares in closed form"
    )
    bins: bool = Field(
        default=False,
        description="numbers are shown piecewise linearly encoded on their quantiles too (Gorishniy et al. 2022)",
    )
    window_events: Annotated[int, Field(ge=10, le=10_000_000)] = Field(
        2_000, description="newest events of the window that it is trained on; `ridge`: after so many one has faded"
    )
    recency: Annotated[float, Field(ge=1, le=10)] = Field(
        1.0, description="1 draws all of them alike; at 2 an event of age a of n comes up in proportion to sqrt(n / a)"
    )
    since_jump: bool = Field(
        default=False, description="what came before the last jump of the error is forgotten at once"
    )
    replay_share: Share = Field(0.0, description="share of each batch drawn from the replay memory")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(3e-3, description="AdamW's step size")

    @property
    def name(self) -> str:
        """What it is called in reports: its recipe in short."""
        words = [self.kind, *(["bins"] if self.bins else []), f"{self.window_events}"]
        words += ["recent"] if self.recency > 1 else []
        words += ["jump"] if self.since_jump else []
        words += [f"replay{self.replay_share:g}"] if self.replay_share else []
        words += [f"rate{self.learning_rate:g}"] if self.kind != "ridge" else []
        return "-".join(words)


NETWORKS = (
    Member(window_events=100, learning_rate=5e-3),
    Member(recency=2.0, learning_rate=1e-2),
    Member(since_jump=True, learning_rate=5e-3),
    Member(replay_share=0.3, learning_rate=3e-3),
    Member(bins=True, window_events=500, recency=2.0, learning_rate=3e-3),
    Member(bins=True, recency=2.0, learning_rate=1e-2),
    Member(bins=True, since_jump=True, learning_rate=5e-3),
)
RIDGE = Member(kind="ridge", bins=True, window_events=1_750, since_jump=True)
PORTFOLIO = (*NETWORKS, Member(kind="ridge", bins=True, window_events=250), RIDGE)
REGRESSION_PORTFOLIO = (*NETWORKS, Member(kind="ridge", window_events=1_750), RIDGE)
"""The built-in network's challengers; docs/LEARNING.md has what each of them is worth."""
