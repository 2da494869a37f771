"""What the dashboards' PromQL makes of restarts, several servers, a standby, and nothing at all."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.queries import ever, largest, mean, of, quantile, rate, summed, total, unless_absent
from dashboards.scores import gain, score

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")

REFUSED = "freshet_events_rejected_total"
DELAY = "freshet_delay_seconds"
ACCURACY = "freshet_prequential_accuracy"

STEADY = {
    f'{REFUSED}{{reason="not_json",instance="a"}}': "0+50x12",
    f'{REFUSED}{{reason="tombstone",instance="a"}}': "0x12",
}
RESTARTED = STEADY | {
    # Another process that was started over after 25 s, and had counted 50 by the next scrape.
    f'{REFUSED}{{reason="not_json",instance="b"}}': "0 50 100 150 200 250 50 100 150 200 250 300 350",
}
BUCKETS = {
    f'{DELAY}_bucket{{le="{bound}",instance="{instance}"}}': f"0+{step}x12"
    for instance, steps in (("a", (10, 10, 10)), ("b", (0, 10, 10)))
    for bound, step in zip(("0.1", "0.2", "+Inf"), steps, strict=True)
}
NOTHING: dict[str, str] = {}


def series(labels: str, value: float) -> dict[str, Any]:
    """Return a sample that is expected."""
    return {"labels": labels, "value": value}


@pytest.mark.parametrize(
    ("expr", "given", "expected"),
    [
        pytest.param(rate(REFUSED), RESTARTED, [series("{}", 20)], id="a restart is no fall of the sum"),
        pytest.param(
            rate(REFUSED, by="reason"),
            RESTARTED,
            [series('{reason="not_json"}', 20), series('{reason="tombstone"}', 0)],
            id="processes are added up by label",
        ),
        pytest.param(total(REFUSED), RESTARTED, [series("{}", 1_200)], id="nothing is counted twice over a restart"),
        pytest.param(
            ever(REFUSED, label="reason", none="none yet"),
            STEADY,
            [series('{reason="not_json"}', 10)],
            id="reasons that never occurred are left out",
        ),
        pytest.param(
            ever(REFUSED, label="reason", none="none yet", scale="60 * "),
            STEADY,
            [series('{reason="not_json"}', 600)],
            id="what is scaled is the rate",
        ),
        pytest.param(
            ever(REFUSED, label="reason", none="none yet"),
            NOTHING,
            [series('{reason="none yet"}', 0)],
            id="none yet is one line at 0",
        ),
        pytest.param(
            ever(REFUSED, label="reason", none="none yet"),
            {f'{REFUSED}{{reason="tombstone",instance="a"}}': "0x12"},
            [series('{reason="none yet"}', 0)],
            id="counters at 0 are none yet",
        ),
        pytest.param(quantile(0.5, DELAY), BUCKETS, [series("{}", 0.1)], id="a quantile is of all servers together"),
        pytest.param(
            mean(DELAY),
            {f"{DELAY}_sum": "0+3x12", f"{DELAY}_count": "0+6x12"},
            [series("{}", 0.5)],
            id="a mean is a sum over a count",
        ),
        pytest.param(
            largest(ACCURACY, by="model"),
            {
                f'{ACCURACY}{{model="champion",instance="a"}}': "NaN " * 13,
                f'{ACCURACY}{{model="champion",instance="b"}}': "0.9x12",
            },
            [series('{model="champion"}', 0.9)],
            id="a standby has no say",
        ),
        pytest.param(
            summed("freshet_lag", by="topic"),
            {'freshet_lag{topic="t",partition="0"}': "3x12", 'freshet_lag{topic="t",partition="1"}': "4x12"},
            [series('{topic="t"}', 7)],
            id="partitions are added up",
        ),
        pytest.param(
            of("freshet_window_events", "up"),
            {
                'up{job="j",instance="a"}': "1x12",
                'up{job="j",instance="b"}': "1x12",
                'freshet_window_events{job="j",instance="a"}': "0x12",
            },
            [series('up{job="j",instance="a"}', 1)],
            id="one role's processes alone",
        ),
        pytest.param(
            unless_absent("freshet_shadow", "candidate", "none"),
            {'freshet_shadow{candidate="latest"}': "0.5x12"},
            [series('freshet_shadow{candidate="latest"}', 0.5)],
            id="what is there hides the word for nothing",
        ),
        pytest.param(
            gain(),
            {f'{ACCURACY}{{model="champion"}}': "0.75x12", f'{ACCURACY}{{model="frozen"}}': "0.5x12"},
            [series("{}", 0.25)],
            id="accuracy gained",
        ),
        pytest.param(
            gain(),
            {'freshet_prequential_mae{model="champion"}': "2x12", 'freshet_prequential_mae{model="frozen"}': "5x12"},
            [series('{measure=" (mean absolute error)"}', 3)],
            id="error saved in a regression",
        ),
        pytest.param(
            score("champion"),
            {'freshet_prequential_mae{model="champion"}': "2x12"},
            [series('{model="champion",measure=" (mean absolute error)"}', 2)],
            id="a regression is told by its error",
        ),
    ],
)
def test_a_query_gives(expr: str, given: dict[str, str], expected: list[dict[str, Any]], tmp_path: Path) -> None:
    """The expression, after a minute of scrapes each 5 s, as Prometheus' own tool evaluates it."""
    asked = expr.replace("$__rate_interval", "20s").replace("$__range", "1m").replace("$instance", ".*")
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "tests": [
                    {
                        "interval": "5s",
                        "input_series": [{"series": name, "values": values} for name, values in given.items()],
                        "promql_expr_test": [{"expr": asked, "eval_time": "60s", "exp_samples": expected}],
                    }
                ]
            }
        )
    )
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
