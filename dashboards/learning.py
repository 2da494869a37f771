"""Learning: rounds, what the gate decides and why, losses by slice, forgetting, the portfolio, and the cost."""

from grafana_foundation_sdk.models import dashboard

from dashboards.frame import Row, assemble, instances, models
from dashboards.panels import (
    BLUE,
    CORE_SECONDS,
    CORES,
    GREEN,
    LOSS,
    NUMBER,
    PER_MINUTE,
    RED,
    ROLE_COLOURS,
    SECONDS,
    SHARE,
    YELLOW,
    Reading,
    bars,
    timeseries,
    value,
)
from dashboards.queries import Query, ever, largest, of, quantile, rate, total
from dashboards.runbook import Section
from dashboards.scores import course

TRAINERS = "freshet_window_events"
PHASES = "freshet_round_duration_seconds"
CPU = "freshet_training_cpu_seconds_total"
TRAINED = 'phase="train"'
A_MINUTE = "60 * "
SLICES = "freshet_heldout_loss"
CHALLENGER, CHAMPION = 'role="challenger"', 'role="champion"'


def learning() -> dashboard.Dashboard:
    """Return the dashboard of rounds and decisions."""
    return assemble(
        "Learning",
        "When it trains, what the gate decides and why, what it forgets, who in the portfolio is heard, what it costs.",
        [_rounds(), _gate(), _losses(), _portfolio(), _cost()],
        [instances(TRAINERS), models()],
    )


def _rounds() -> Row:
    rounds = timeseries(
        "Rounds",
        Reading(
            "Rounds of training that ended a minute, by what became of them.",
            "mostly `promoted` while the stream changes; many `rejected` where it stands still are no harm.",
            "`failed`: the trainer's log and `decisions.jsonl` tell why. `rolled_back`: a predecessor was better.",
            runbook=Section.ROUNDS_FAIL,
        ),
        Query(A_MINUTE + rate("freshet_rounds_total", by="outcome"), "{{outcome}}"),
        unit=PER_MINUTE,
        as_bars=True,
        colours={"promoted": GREEN, "rejected": BLUE, "failed": RED, "rolled_back": YELLOW},
    )
    triggers = timeseries(
        "What called for them",
        Reading(
            "Calls for a round a minute, by reason. Reasons that never called are not shown.",
            "`new_events` as a rule; `drift_alarm`, `score_fall` and `new_concept` after a change.",
            "none while events come: `trigger.every_events` is high, the budget is spent, or training is paused.",
            runbook=Section.PAUSED,
            empty="no round yet",
        ),
        Query(ever("freshet_triggers_total", label="reason", none="no round yet", scale=A_MINUTE), "{{reason}}"),
        unit=PER_MINUTE,
        as_bars=True,
    )
    phases = timeseries(
        "Time of a phase, 95%",
        Reading(
            "How long the phases of a round took, 95 of 100 below. No line: no round ended.",
            "`train` the longest; all together shorter than the time between rounds.",
            "`train` long: fewer `train.steps`, a smaller portfolio or more cores. `prepare`, `publish`: a slow disk.",
            empty="no round lately",
        ),
        Query(quantile(0.95, PHASES, by="phase"), "{{phase}}"),
        unit=SECONDS,
    )
    return "Rounds", [[rounds, triggers, phases]]


def _gate() -> Row:
    decisions = timeseries(
        "The gate's decisions by reason",
        Reading(
            "Decisions a minute: what, and why (docs/LEARNING.md). Reasons that never occurred are not shown.",
            "`promote forward_better` after a change, `promote not_worse` otherwise.",
            "`recent_worse`, `class_floor`: learning does harm, for example by wrong labels. `too_little_evidence`: "
            "too few events are held out. `suspected`: what arrives looks like noise.",
            runbook=Section.REJECTIONS,
            empty="no decision yet",
        ),
        Query(
            ever("freshet_gate_decisions_total", label="reason", none="none yet", by="decision", scale=A_MINUTE),
            "{{decision}} {{reason}}",
        ),
        unit=PER_MINUTE,
        as_bars=True,
        width=12,
    )
    suspicion = timeseries(
        "Suspicions",
        Reading(
            "Turns a minute of suspicions that what arrives is noise: entered, and how they ended.",
            "none; `changed` after `entered`: it was a change, and learning went on.",
            "`noise`: those events were wrong and are not learnt: find who sent them. `expired`: nobody could tell.",
            runbook=Section.SUSPICION,
            empty="no suspicion yet",
        ),
        Query(ever("freshet_suspicion_turns_total", label="what", none="none yet", scale=A_MINUTE), "{{what}}"),
        unit=PER_MINUTE,
        as_bars=True,
        width=6,
    )
    restarts = timeseries(
        "Restarts of the worker",
        Reading(
            "Restarts a minute of the process that trains, by cause.",
            "0.",
            "`crash`: often memory, see the trainer's log; `hang` and `deadline`: rounds longer than `train.worker` "
            "allows. Consumption goes on meanwhile.",
            runbook=Section.WORKER,
        ),
        Query(A_MINUTE + rate("freshet_worker_restarts_total", by="cause"), "{{cause}}"),
        unit=PER_MINUTE,
        as_bars=True,
        width=6,
    )
    return "The gate", [[decisions, suspicion, restarts]]


def _losses() -> Row:
    arriving = timeseries(
        "Loss on new events",
        Reading(
            "Mean loss on the newest `window.events` events, each predicted before it was learnt: nats, or in a "
            "regression squared label units.",
            "`champion` at or below `frozen`.",
            "a rise of all models alike: the stream has become harder, or labels wrong.",
            runbook=Section.DRIFT,
        ),
        Query(largest("freshet_prequential_loss", 'model=~"$model"', by="model"), "{{model}}"),
        unit=LOSS,
        colours=ROLE_COLOURS,
    )
    slices = timeseries(
        "Loss by slice",
        Reading(
            "Mean loss on held-out events when a candidate was last judged. *recent*: the newest held-out events; "
            "*memory*: a sample of all there were, told after every tenth round.",
            "the challenger at or below the champion on *recent*.",
            "far above on *recent* it is rejected: see the gate's decisions.",
            runbook=Section.REJECTIONS,
            empty="no round judged yet",
        ),
        Query(largest(SLICES, by="slice, role"), "{{slice}}: {{role}}"),
        unit=LOSS,
    )
    forgetting = timeseries(
        "Forgetting",
        Reading(
            "By how much the newest weights lose more on *memory*, a sample of all held-out events, than the champion; "
            "and how much more the champion loses there than on *recent*.",
            "the first about 0. The second rises after a drift: old events follow an old rule.",
            "the first above 0 round by round: raise `window.replay_events` or the replay shares of the portfolio, or "
            "bound it by `gate.max_memory_loss_increase`.",
            empty="no round judged yet",
        ),
        Query(f"{_slice('memory', CHALLENGER)} - {_slice('memory', CHAMPION)}", "newest weights over champion"),
        Query(f"{_slice('memory', CHAMPION)} - {_slice('recent', CHAMPION)}", "champion: memory over recent"),
        unit=LOSS,
        least=None,
        steps=((0.1, YELLOW),),
    )
    training = timeseries(
        "Training loss",
        Reading(
            "Loss of the leading challenger at the end of the newest round, on what it was trained on.",
            "near the loss on new events.",
            "far below it the model overfits: fewer `train.steps`, or a longer window.",
            empty="no round yet",
        ),
        Query(largest("freshet_training_loss"), "newest round"),
        unit=LOSS,
    )
    return "Losses and forgetting", [[course(16), arriving], [slices, forgetting, training]]


def _portfolio() -> Row:
    reading = Reading(
        "How much of the challenger's prediction is each member's: by how well each predicted the newest events. A "
        "name tells the recipe: window, recency, replay share, step size.",
        "it changes: members that forget quickly rise after a drift, those with long memory where nothing changes.",
        "a member near 0 for days costs time for nothing: leave it out of `train.portfolio`.",
        empty="no round yet",
    )
    shares = largest("freshet_portfolio_share_ratio", by="member")
    history = timeseries(
        "Shares of the portfolio", reading, Query(shares, "{{member}}"), unit=SHARE, most=1, stacked=True, width=16
    )
    newest = bars("Shares now", reading, Query(shares, "{{member}}", instant=True), unit=SHARE, most=1)
    return "Portfolio", [[history, newest]]


def _cost() -> Row:
    cores = timeseries(
        "Processor",
        Reading(
            "Cores in use: by the process that trains, and by the one that takes events in, scores and decides.",
            "together below the cores that the trainer has.",
            "bound training by `trigger.budget_share`, or make rounds cheaper: fewer steps, a smaller portfolio.",
        ),
        Query(rate(CPU), "training"),
        Query(of(TRAINERS, rate("process_cpu_seconds_total", by="job, instance")), "intake of {{instance}}"),
        unit=CORES,
    )
    per_round = timeseries(
        "Cost of a round",
        Reading(
            "Core-seconds of training that a round took on average. No line: no round was trained.",
            "steady; about `trigger.assumed_round_seconds` for the built-in network.",
            "a rise: the window grew, rounds take more steps after jumps, or other work takes the cores.",
            empty="no round lately",
        ),
        Query(f"{rate(CPU)} / {rate(f'{PHASES}_count', TRAINED)}", "a round"),
        unit=CORE_SECONDS,
    )
    spent = value(
        "Spent",
        Reading(
            "Core-seconds that training took in the time shown.",
            "what you are ready to pay.",
            "bound it by `trigger.budget_share`.",
        ),
        Query(total(CPU), "spent", instant=True),
        unit=CORE_SECONDS,
        decimals=1,
        height=8,
    )
    spacing = value(
        "Spacing of rounds",
        Reading(
            "How many times wider than usual rounds are spaced, since those before brought nothing.",
            "1 on a stream that changes; more where it stands still saves cost.",
            "it goes back to 1 with the first drift; `trigger.backoff_max` bounds it.",
        ),
        Query(largest("freshet_round_spacing_ratio"), "times"),
        unit=NUMBER,
        decimals=1,
        height=8,
    )
    return "Cost", [[cores, per_round, spent, spacing]]


def _slice(name: str, role: str) -> str:
    return largest(SLICES, f'slice="{name}"', role)
