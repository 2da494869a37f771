"""How a decision is written down: the same for a live stream and for a recording."""

import math
from collections.abc import Mapping

from service.train.round import Outcome, Round
from service.validate.gate import Decision

Means = Mapping[str, tuple[float, float]]
"""Mean loss and mean error by role, over the newest events."""


def decision_fields(
    decision: Decision, given: Round, outcome: Outcome, checkpoint_id: str | None, means: Means
) -> dict[str, object]:
    """Return a decision with all its numbers, as plain values."""
    return {
        "round": given.number,
        "trigger": given.trigger,
        "decision": decision.decision,
        "reason": decision.reason,
        "challenger": decision.challenger,
        "checkpoint": checkpoint_id,
        "parent": given.parent,
        "numbers": decision.numbers,
        "abstentions": list(decision.abstentions),
        "restarted": list(decision.restart),
        "training": [
            {"challenger": one.name, "steps": one.steps, "loss": one.training_loss, "stopping_loss": one.stopping_loss}
            for one in outcome.trained
        ],
        "prequential": plain_means(means),
        "data": [dict(span) for span in given.data],
    }


def failure_fields(given: Round, cause: str, message: str) -> dict[str, object]:
    """Return what there is to say of a round that brought nothing."""
    return {"round": given.number, "trigger": given.trigger, "cause": cause, "message": message}


def plain_means(means: Means) -> dict[str, dict[str, float | None]]:
    """Return means as JSON can hold them: there is no NaN."""
    return {
        role: {"loss": loss if math.isfinite(loss) else None, "error": error if math.isfinite(error) else None}
        for role, (loss, error) in means.items()
    }
