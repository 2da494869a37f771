"""Serving: how many requests, how fast, how many fail, by which checkpoint, and whether a shadow agrees."""

from grafana_foundation_sdk.models import dashboard

from dashboards.frame import PROMOTIONS, Row, assemble, instances
from dashboards.fresh import answering, delays
from dashboards.panels import (
    BYTES,
    CORES,
    COUNT,
    EVENTS,
    EVENTS_PER_SECOND,
    GREEN,
    NUMBER,
    PER_MINUTE,
    RED,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    YELLOW,
    Reading,
    timeseries,
)
from dashboards.queries import (
    PROBES,
    Query,
    ever,
    largest,
    mean,
    of,
    quantile,
    rate,
    summed,
    unless_absent,
)
from dashboards.runbook import Section

REQUESTS = "freshet_request_duration_seconds"
SERVERS = "freshet_requests_in_flight"
COUNT_OF_REQUESTS = f"{REQUESTS}_count"
FAILED = 'status=~"5.."'
PREDICTIONS = 'route=~"/v1/predict|/v2/.*infer"'
BATCHES = "freshet_batch_instances"
SHADOWED = "freshet_shadow_instances_total"
NO_SHADOW = "no shadow is configured"


def serving() -> dashboard.Dashboard:
    """Return the dashboard of the servers."""
    return assemble(
        "Serving",
        "How many requests, how fast, how many fail, by which checkpoint, and whether a shadow agrees.",
        [_requests(), _checkpoints(), _shadow(), _load()],
        [instances(SERVERS)],
        [PROMOTIONS],
    )


def _requests() -> Row:
    by_route = timeseries(
        "Requests by route",
        Reading(
            "Requests answered a second, without those of monitoring. Routes that were never asked are not shown.",
            "what your clients send.",
            "a fall to 0: clients do not reach the servers; look at what stands between.",
            empty="no requests yet",
        ),
        Query(ever(COUNT_OF_REQUESTS, PROBES, label="route", none="no requests yet"), "{{route}}"),
        unit=REQUESTS_PER_SECOND,
    )
    latency = timeseries(
        "Time to answer a prediction",
        Reading(
            "From a prediction request's arrival to the end of its answer, over all servers, whatever its status. No "
            "line: nobody asked.",
            "milliseconds for small requests; the 99% steady.",
            "rising with the rate: add servers. Rising alone: larger requests, or a machine that others use as well.",
            runbook=Section.SLOW,
            empty="no requests",
        ),
        *(
            Query(quantile(share, REQUESTS, PREDICTIONS), name)
            for share, name in ((0.5, "median"), (0.9, "90%"), (0.99, "99%"))
        ),
        unit=SECONDS,
        steps=((0.1, YELLOW), (1.0, RED)),
    )
    batches = timeseries(
        "Instances in a forward pass",
        Reading(
            "How many instances one forward pass answers, of one request or of several that came together.",
            "grows with the load: that is what keeps latency low.",
            "at `serve.max_batch_instances` all the time the servers are at their limit: add some.",
            empty="no predictions",
        ),
        Query(mean(BATCHES), "mean"),
        Query(quantile(0.95, BATCHES), "95%"),
        unit=EVENTS,
    )
    errors = timeseries(
        "Failed requests by status",
        Reading(
            "Answers of 4xx and 5xx a second, without those of monitoring. A status that never occurred is not shown.",
            "0.",
            "422 and 413 are the clients' to mend, 401 and 403 are about tokens, 503 means overload or no checkpoint, "
            "500 is a fault: the log has it, with the request's id.",
            runbook=Section.FAIL,
            empty="no failures",
        ),
        Query(ever(COUNT_OF_REQUESTS, PROBES, 'status=~"[45].."', label="status", none="no failures"), "{{status}}"),
        unit=REQUESTS_PER_SECOND,
    )
    share = timeseries(
        "Share of predictions that failed",
        Reading(
            "Predictions answered with a 5xx of all. No line: nobody asked.",
            "0%, also during a swap of checkpoints.",
            "see the statuses beside; 503 alone is overload: add servers, or let clients wait as `Retry-After` says.",
            runbook=Section.FAIL,
            empty="no requests",
        ),
        Query(f"{rate(COUNT_OF_REQUESTS, PREDICTIONS, FAILED)} / {rate(COUNT_OF_REQUESTS, PREDICTIONS)}", "failed"),
        unit=SHARE,
        steps=((0.001, YELLOW), (0.01, RED)),
    )
    open_now = timeseries(
        "Requests being answered",
        Reading(
            "Requests in each server at this moment, the scrape that counts them included.",
            "a few; far below `serve.max_in_flight`.",
            "near `serve.max_in_flight` servers answer 503: add some.",
        ),
        Query(largest(SERVERS, by="instance"), "{{instance}}"),
        unit=COUNT,
    )
    return "Requests", [[by_route, latency, batches], [errors, share, open_now]]


def _checkpoints() -> Row:
    age = timeseries(
        "Age of the checkpoint",
        Reading(
            "How long ago the serving checkpoint was made, by server. It falls at every swap.",
            "a saw that all servers draw alike.",
            "one that only rises: nothing is promoted (*Freshet: Learning*), or that server does not swap.",
            runbook=Section.STALE,
            empty="no checkpoint yet",
        ),
        Query(f"time() - {largest('freshet_checkpoint_timestamp_seconds', by='instance')}", "{{instance}}"),
        unit=SECONDS,
        width=12,
    )
    swaps = timeseries(
        "Swaps",
        Reading(
            "Checkpoints that servers took over a minute, and tries that came to nothing.",
            "`swapped` alone: as many as promotions, times the servers.",
            "`damaged`: verify the store, `freshet checkpoints verify`. `failed`: the store could not be read.",
            runbook=Section.PASSED_OVER,
        ),
        Query(f"60 * {rate('freshet_swaps_total', by='outcome')}", "{{outcome}}"),
        unit=PER_MINUTE,
        as_bars=True,
        colours={"swapped": GREEN, "damaged": RED, "failed": YELLOW},
        width=6,
    )
    pinned = timeseries(
        "Pinned servers",
        Reading(
            "How many servers an operator's pin holds at a checkpoint, whatever is promoted.",
            "0, unless you pinned one.",
            "`GET /v1/status` tells who pinned which and why; `DELETE /v1/pin` lets go.",
            runbook=Section.PINNED,
        ),
        Query(summed("freshet_pinned"), "pinned"),
        unit=COUNT,
        steps=((1, YELLOW),),
        width=6,
    )
    store = timeseries(
        "Store last reached",
        Reading(
            "Time since a process could read or write the store, by process.",
            "below a few seconds.",
            "rising: the volume is away, full or not permitted. Servers go on with the checkpoint that they have.",
            runbook=Section.STORE,
        ),
        Query(f"time() - {largest('freshet_store_last_reached_timestamp_seconds', by='instance')}", "{{instance}}"),
        unit=SECONDS,
        steps=((10, YELLOW), (30, RED)),
        width=6,
    )
    return "Checkpoints", [[answering(12), age], [swaps, pinned, store, delays(6)]]


def _shadow() -> Row:
    def compared(counter: str) -> str:
        ratio = f"{rate(counter, by='candidate')} / {rate(SHADOWED, by='candidate')}"
        return unless_absent(ratio, "candidate", NO_SHADOW)

    agreement = timeseries(
        "Shadow's agreement",
        Reading(
            "Share of sampled instances for which a candidate of `serve.shadow` says the label that was answered. A "
            "regression has none. No line: no shadow is configured, or nobody asks.",
            "near 100%; lower where the candidate has learnt something that what serves has not.",
            "compare its accuracy before you promote or pin it: `GET /v1/checkpoints/{id}`.",
            empty=NO_SHADOW,
        ),
        Query(compared("freshet_shadow_agreed_total"), "{{candidate}}"),
        unit=SHARE,
        most=1,
    )
    difference = timeseries(
        "Shadow's difference",
        Reading(
            "Mean distance of a candidate's scores from those that were answered: between 0 and 1, or in units of the "
            "label in a regression.",
            "small.",
            "large with full agreement: the candidate is surer or less sure, but decides alike.",
            empty=NO_SHADOW,
        ),
        Query(compared("freshet_shadow_score_difference_total"), "{{candidate}}"),
        unit=NUMBER,
    )
    dropped = timeseries(
        "Shadow's gaps",
        Reading(
            "Sampled instances a second that a candidate was not compared on, by reason.",
            "0.",
            "`queue_full`: lower `serve.shadow.share`. `unknown_category`: a category is newer than it. `no_answer`: "
            "it cannot be read, or is gone.",
            empty=NO_SHADOW,
        ),
        Query(
            unless_absent(rate("freshet_shadow_dropped_total", by="candidate, reason"), "candidate", NO_SHADOW),
            "{{candidate}} {{reason}}",
        ),
        unit=EVENTS_PER_SECOND,
    )
    return "Shadow", [[agreement, difference, dropped]]


def _load() -> Row:
    cores = timeseries(
        "Processor",
        Reading(
            "Cores that each server uses. One process answers by one thread of Python, so 1 is about its limit.",
            "below 0.8.",
            "add servers: they share nothing but the store.",
        ),
        Query(of(SERVERS, rate("process_cpu_seconds_total", by="job, instance")), "{{instance}}"),
        unit=CORES,
        steps=((0.8, YELLOW), (1.0, RED)),
        width=12,
    )
    memory = timeseries(
        "Memory",
        Reading(
            "Resident memory of each server.",
            "flat after a few swaps.",
            "rising for hours: keep a log of it and report it; the limit of the container restarts it meanwhile.",
        ),
        Query(of(SERVERS, largest("process_resident_memory_bytes", by="job, instance")), "{{instance}}"),
        unit=BYTES,
        width=12,
    )
    return "Load", [[cores, memory]]
