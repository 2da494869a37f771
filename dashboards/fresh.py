"""How fresh the answers are: what more than one dashboard shows of it."""

from grafana_foundation_sdk.models import dashboard

from dashboards.panels import SECONDS, Reading, listing, timeseries
from dashboards.queries import Query, at, quantile
from dashboards.runbook import Section

FRESHNESS = "freshet_event_to_served_seconds"


def answering(width: int) -> dashboard.Panel:
    """Return the checkpoint that each server answers by, with its age."""
    age = f"time() - {at('freshet_checkpoint_timestamp_seconds')}"
    return listing(
        "Checkpoint by server",
        Reading(
            "The checkpoint that each server answers by, and how old it is.",
            "one checkpoint at every server, but for a moment after a promotion.",
            "a server that stays behind is pinned, cannot read the store, or found the newer one damaged: see its "
            "swaps in *Freshet: Serving*, and its log.",
            runbook=Section.BEHIND,
            empty="no checkpoint yet",
        ),
        Query(f"{age} * on (job, instance) group_left (id) {at('freshet_checkpoint_info')}", "{{id}}", instant=True),
        unit=SECONDS,
        columns={"instance": "Server", "id": "Checkpoint", "Value": "Age"},
        width=width,
    )


def delays(width: int) -> dashboard.Panel:
    """Return the time from an event until it has been learnt and served."""
    return timeseries(
        "From event to served",
        Reading(
            "Time from a learnable event's `ts` to the first answer by a model that has learnt it. No line: no event "
            "was served for the first time.",
            "a little above the time between two rounds.",
            "steps up are rounds that the gate rejected, see *Freshet: Learning*; or servers that do not swap.",
            runbook=Section.LATE,
        ),
        Query(quantile(0.5, FRESHNESS), "median"),
        Query(quantile(0.95, FRESHNESS), "95%"),
        unit=SECONDS,
        width=width,
    )
