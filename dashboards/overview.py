"""Overview: is it healthy, how fresh is it, how accurate is it, and what happened last."""

from grafana_foundation_sdk.models import dashboard

from dashboards.frame import Row, assemble, instances, models
from dashboards.fresh import FRESHNESS, answering, delays
from dashboards.panels import (
    COUNT,
    EVENTS,
    EVENTS_PER_SECOND,
    GREEN,
    RED,
    SECONDS,
    SHARE,
    YELLOW,
    Reading,
    timeseries,
    value,
)
from dashboards.queries import PROBES, Query, at, largest, quantile, rate, summed, total
from dashboards.runbook import Section
from dashboards.scores import UNITS, course, gain, score

REQUESTS = "freshet_request_duration_seconds_count"
FAILED = 'status=~"5.."'


def overview() -> dashboard.Dashboard:
    """Return the dashboard to begin with."""
    return assemble(
        "Overview",
        "Is it healthy, how fresh is it, and what does learning buy: the champion against the frozen model.",
        [_health(), _freshness(), _accuracy()],
        [instances("freshet_ready"), models()],
    )


def _health() -> Row:
    alerts = value(
        "Alerts firing",
        Reading(
            "How many alerts of Freshet's fire now.",
            "0.",
            "see Prometheus' or Alertmanager's page for which; each names its section of the runbook.",
            empty="no alerts",
        ),
        Query('count (ALERTS{alertname=~"Freshet.+",alertstate="firing"}) or vector(0)', "firing"),
        unit=COUNT,
        steps=((1, RED),),
    )
    trainer = value(
        "Trainers that learn",
        Reading(
            "How many trainers say at `/readyz` that they do their work. A standby is not ready.",
            "1: one learns per store, however many stand by.",
            "ask the trainer's `/readyz` why, and read its log: the line names what to do.",
            runbook=Section.TRAINER,
            empty="none is scraped",
        ),
        Query(summed("freshet_ready", 'role="trainer"'), "ready"),
        unit=COUNT,
        first=RED,
        steps=((1, GREEN),),
    )
    servers = value(
        "Servers that answer",
        Reading(
            "How many servers say at `/readyz` that they answer predictions.",
            "as many as you run.",
            "ask that server's `/readyz` why. Without a checkpoint none is: the first comes with the first round.",
            runbook=Section.SERVER,
            empty="none is scraped",
        ),
        Query(summed("freshet_ready", 'role="server"'), "ready"),
        unit=COUNT,
        first=RED,
        steps=((1, GREEN),),
    )
    silent = value(
        "Processes that went silent",
        Reading(
            "How many processes answered Prometheus within the time shown, are still listed, and answer no more.",
            "0, but for a moment while one restarts.",
            "look whether it runs, and whether Prometheus can reach its port.",
            runbook=Section.DOWN,
            empty="none",
        ),
        Query(
            f"count (up == 0 and on (job, instance) last_over_time({at('freshet_ready')}[$__range])) or vector(0)",
            "silent",
            instant=True,
        ),
        unit=COUNT,
        steps=((1, RED),),
    )
    state = value(
        "Learning",
        Reading(
            "Whether rounds may begin. *Suspicious*: what arrives looks like noise, and nothing is published until it "
            "is known whether it is. *Paused*: too many rounds have failed, or nothing can be saved.",
            "on.",
            "suspicion ends by itself within `gate.speculation_max_events`. For a pause the trainer's log names the "
            "cause: a full disk, or a round that fails again and again.",
            runbook=Section.PAUSED,
            empty="no trainer is scraped",
        ),
        Query(f"2 * {largest('freshet_training_paused')} + {largest('freshet_learning_speculative')}", "learning"),
        unit=COUNT,
        words={0: ("on", GREEN), 1: ("suspicious", YELLOW), 2: ("paused", RED), 3: ("paused", RED)},
    )
    failed = value(
        "Requests that failed",
        Reading(
            "Share of requests that the servers answered with a 5xx lately; what monitoring asks does not count.",
            "0%. Some 503 while the queue is full are back-pressure: clients retry them.",
            "*Freshet: Serving* tells which route and status.",
            runbook=Section.FAIL,
            empty="no requests",
        ),
        Query(f"{rate(REQUESTS, PROBES, FAILED)} / {rate(REQUESTS, PROBES)}", "failed", instant=True),
        unit=SHARE,
        steps=((0.001, YELLOW), (0.01, RED)),
        decimals=2,
    )
    return "Is it healthy?", [[alerts, trainer, servers, silent, state, failed]]


def _freshness() -> Row:
    lag = value(
        "Events waiting",
        Reading(
            "Records in the topic that the trainer has not read yet, over all partitions.",
            "near 0, and falling after a burst.",
            "if it grows, more comes than is taken in: see *Freshet: Stream* for what holds intake back.",
            runbook=Section.LAG,
        ),
        Query(summed("freshet_consumer_lag_events"), "waiting"),
        unit=EVENTS,
        steps=((10_000, YELLOW), (100_000, RED)),
        width=6,
    )
    unserved = value(
        "Oldest event not learnt",
        Reading(
            "Age of the oldest event in the window that the champion was not trained on.",
            "about the time between two promotions.",
            "rounds do not begin, fail, or are rejected: *Freshet: Learning* tells which.",
            runbook=Section.STALE,
        ),
        Query(largest("freshet_unserved_age_seconds"), "age"),
        unit=SECONDS,
        steps=((300, YELLOW), (3_600, RED)),
        width=6,
    )
    age = value(
        "Age of what serves",
        Reading(
            "Time since the newest event that the serving checkpoint was trained on, at the server farthest behind.",
            "about the time between two promotions. It grows while no events come: then there is nothing newer.",
            "see whether events come, rounds are promoted, and the server takes them over (*Freshet: Serving*).",
            runbook=Section.STALE,
            empty="no checkpoint yet",
        ),
        Query(f"time() - min ({at('freshet_trained_until_timestamp_seconds')})", "age"),
        unit=SECONDS,
        steps=((600, YELLOW), (3_600, RED)),
        width=6,
    )
    delay = value(
        "From event to served, 95%",
        Reading(
            "95 of 100 learnable events were served by a model that had learnt them within this time of their `ts`.",
            "a little above the time that `trigger.every_events` events take to come.",
            "shorten `trigger.every_events`, or look at *Freshet: Learning* for rejected rounds.",
            runbook=Section.LATE,
        ),
        Query(quantile(0.95, FRESHNESS), "95%"),
        unit=SECONDS,
        steps=((60, YELLOW), (900, RED)),
        width=6,
    )
    traffic = timeseries(
        "Events in, requests answered",
        Reading(
            "Records read from the topic, accepted or refused, and requests answered, without those of monitoring.",
            "events follow what your producers send.",
            "events at 0 while producers send: see *Freshet: Stream*. Requests at 0: clients do not reach it.",
            runbook=Section.PARTITION,
        ),
        Query(rate("freshet_events_consumed_total"), "events read"),
        Query(rate(REQUESTS, PROBES), "requests answered"),
        unit=EVENTS_PER_SECOND,
        width=12,
    )
    return "How fresh is it?", [[lag, unserved, age, delay], [delays(12), traffic]]


def _accuracy() -> Row:
    def newest(title: str, role: str, shows: str, otherwise: str) -> dashboard.Panel:
        return value(
            title,
            Reading(
                f"{shows} Share of right predictions on the newest `window.events` events (regression: mean absolute "
                "error), each predicted before it was learnt.",
                "what your task needs; compare the two.",
                otherwise,
                runbook=Section.DRIFT,
            ),
            Query(score(role), "{{model}}{{measure}}"),
            unit=SHARE,
            decimals=1,
            units=UNITS,
        )

    champion = newest(
        "Champion", "champion", "The model that serves.", "see whether it recovers: *Freshet: Learning* and *Drift*."
    )
    frozen = newest(
        "Frozen",
        "frozen",
        "The model as it was before the stream, for comparison.",
        "nothing: it is meant to fall behind. If it does not, the stream has not drifted.",
    )
    bought = value(
        "Gain of learning",
        Reading(
            "Accuracy of the champion less that of the frozen model (regression: error of the frozen less that of the "
            "champion): what learning buys now.",
            "at or above 0, and well above it after a drift.",
            "below 0 for long the stream punishes learning: `freshet replay` a recording to choose other settings.",
            runbook=Section.BELOW_FROZEN,
        ),
        Query(gain(), "gain{{measure}}"),
        unit=SHARE,
        first=RED,
        steps=((-0.02, YELLOW), (0, GREEN)),
        decimals=1,
        units=UNITS,
    )
    promoted, rejected, failed = (
        value(
            title,
            Reading(shows, good, otherwise, runbook=runbook),
            Query(total("freshet_rounds_total", f'outcome=~"{outcome}"'), "rounds", instant=True),
            unit=COUNT,
            steps=steps,
            decimals=0,
        )
        for title, outcome, shows, good, otherwise, runbook, steps in (
            (
                "Promoted",
                "promoted",
                "Rounds in the time shown whose model went out.",
                "some, as long as events come.",
                "none while events come: see the gate's reasons in *Freshet: Learning*.",
                Section.REJECTIONS,
                (),
            ),
            (
                "Rejected",
                "rejected",
                "Rounds in the time shown that the gate did not let out.",
                "fewer than are promoted. On a stream that stands still half are no harm.",
                "many in a row: what arrives is noise, or learning does harm. The gate's reasons tell.",
                Section.REJECTIONS,
                (),
            ),
            (
                "Failed or rolled back",
                "failed|rolled_back",
                "Rounds in the time shown that broke off, or were taken back since the predecessor was better.",
                "0.",
                "the trainer's log and `decisions.jsonl` name the cause of each.",
                Section.ROLLBACK,
                ((1, YELLOW), (5, RED)),
            ),
        )
    )
    return "How accurate is it?", [[champion, frozen, bought, promoted, rejected, failed], [course(16), answering(8)]]
