"""Drift: of each feature, of predictions and of the error; alarms, and how old what they are measured against is."""

from grafana_foundation_sdk.models import dashboard

from dashboards.frame import Row, assemble, features, instances, models
from dashboards.panels import (
    COUNT,
    DEVIATIONS,
    NATS,
    PER_MINUTE,
    RED,
    SECONDS,
    SHARE,
    YELLOW,
    Reading,
    bars,
    timeseries,
    value,
)
from dashboards.queries import Query, largest, rate, total, unless_absent
from dashboards.runbook import Section
from dashboards.scores import course

SCORE = "freshet_drift_score"
CHOSEN = 'feature=~"$feature"'
PSI = 'kind="psi"'
DRIFTED = ((0.1, YELLOW), (0.25, RED))
"""By custom, a population stability index below 0.1 is no change, and one above 0.25 a large one."""

PSI_MEANING = (
    "Population stability index of the newest `drift.window_events` events against those that the champion was trained "
    "on, in nats."
)


def drift() -> dashboard.Dashboard:
    """Return the dashboard of drift."""
    return assemble(
        "Drift",
        "What has changed: which features, the predictions or the rule; alarms, and what they are measured against.",
        [_now(), _features(), _model()],
        [instances(SCORE), features(), models()],
    )


def _now() -> Row:
    def alarms(kind: str, shows: str, otherwise: str) -> dashboard.Panel:
        return value(
            f"Alarms: {kind}",
            Reading(
                f"{shows} How often it was found in the time shown.",
                "0 on a stream that stands still. After a change one alarm, then a recovery.",
                otherwise,
                runbook=Section.DRIFT,
            ),
            Query(total("freshet_drift_alarms_total", f'kind="{kind}"'), kind, instant=True),
            unit=COUNT,
            steps=((1, YELLOW),),
            decimals=0,
        )

    data = alarms(
        "data",
        "Features are spread differently than in the champion's training data.",
        "see below which feature; often it is a fault upstream: a unit, a default, a new source.",
    )
    prediction = alarms(
        "prediction",
        "The champion's predictions are spread differently than expected of it.",
        "with data drift it follows from that; without, look at what the champion has learnt lately.",
    )
    concept = alarms(
        "concept",
        "The champion's error has risen: the rule itself has changed.",
        "see whether accuracy recovers below. If it does not, labels may be wrong.",
    )
    age = value(
        "Age of the reference",
        Reading(
            "Time since the newest event of the data that features are compared with: the champion's training window.",
            "about the time between two promotions.",
            "an old reference makes slow seasons look like drift: see *Freshet: Learning* for why nothing is promoted.",
            runbook=Section.STALE,
            empty="no champion yet",
        ),
        Query(f"time() - {largest('freshet_drift_reference_timestamp_seconds')}", "age"),
        unit=SECONDS,
        steps=((3_600, YELLOW), (86_400, RED)),
        width=6,
    )
    worst = value(
        "Farthest feature",
        Reading(
            f"{PSI_MEANING} Of the feature that is farthest.",
            "below 0.1, and soon again after a promotion.",
            "look at that feature upstream; retraining follows it, but cannot mend a broken column.",
            runbook=Section.DRIFT,
            empty="no champion yet",
        ),
        Query(f"topk(1, {largest(SCORE, PSI, CHOSEN, by='feature')})", "{{feature}}", instant=True),
        unit=NATS,
        steps=DRIFTED,
        decimals=3,
        width=6,
        names=True,
    )
    return "Now", [[data, prediction, concept, age, worst]]


def _features() -> Row:
    reading = Reading(
        f"{PSI_MEANING} Each promotion takes a new reference, so that scores fall then.",
        "below 0.1.",
        "above 0.25 the feature has changed: look at it upstream. Narrow the choice of features above.",
        runbook=Section.DRIFT,
        empty="no champion yet",
    )
    scores = largest(SCORE, PSI, CHOSEN, by="feature")
    course_of_psi = timeseries(
        "Drift by feature", reading, Query(scores, "{{feature}}"), unit=NATS, steps=DRIFTED, width=16
    )
    newest = bars(
        "Drift by feature now",
        reading,
        Query(f"sort_desc({scores})", "{{feature}}", instant=True),
        unit=NATS,
        steps=DRIFTED,
    )
    missing = timeseries(
        "Missing values",
        Reading(
            "Share of the newest events in which a feature of `schema.nullable` is missing.",
            "what it always was.",
            "a step up is a fault upstream, or a producer that stopped to send it.",
            empty="no feature may be missing",
        ),
        Query(_of_kind("missing", "no feature may be missing"), "{{feature}}"),
        unit=SHARE,
        most=1,
        width=12,
    )
    unseen = timeseries(
        "New categories",
        Reading(
            "Share of the newest events whose category the champion's training never saw.",
            "near 0; an identifier is always near 1 and should not be a feature.",
            "a step up is a new product, region or spelling; the next rounds learn it.",
            empty="no categories",
        ),
        Query(_of_kind("unseen", "no categories"), "{{feature}}"),
        unit=SHARE,
        most=1,
        width=12,
    )
    return "Features", [[course_of_psi, newest], [missing, unseen]]


def _model() -> Row:
    prediction = timeseries(
        "Drift of predictions",
        Reading(
            "Population stability index of the champion's newest predictions against those expected of it, in nats.",
            "below 0.1.",
            "with drift of features it follows from them; without it see what was promoted last.",
            empty="no champion yet",
        ),
        Query(largest(SCORE, 'kind="prediction"'), "predictions"),
        unit=NATS,
        steps=DRIFTED,
    )
    concept = timeseries(
        "Drift of the rule",
        Reading(
            "By how much the champion's error has risen over its level before, in standard deviations of one error.",
            "about 0; negative after it has become better.",
            "a rise that stays: rounds are rejected or bring nothing, see *Freshet: Learning*.",
            runbook=Section.DRIFT,
            empty="no champion yet",
        ),
        Query(largest(SCORE, 'kind="concept"'), "rise of the error"),
        unit=DEVIATIONS,
        least=None,
        steps=((0.25, YELLOW), (0.5, RED)),
    )
    alarms = timeseries(
        "Alarms",
        Reading(
            "Alarms a minute by kind. One change is one alarm: further ones wait for `drift.cooldown_events`.",
            "none, or one with a recovery after it.",
            "alarms that come again and again: the stream never settles; a shorter window forgets faster.",
            runbook=Section.DRIFT,
        ),
        Query(f"60 * {rate('freshet_drift_alarms_total', by='kind')}", "{{kind}}"),
        unit=PER_MINUTE,
        as_bars=True,
    )
    return "Predictions and the rule", [[prediction, concept, alarms], [course(24)]]


def _of_kind(kind: str, none: str) -> str:
    return unless_absent(largest(SCORE, f'kind="{kind}"', CHOSEN, by="feature"), "feature", none)
