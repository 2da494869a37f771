"""A real server keeps to its own description: schemathesis sends it what OpenAPI allows, and what it forbids.

`make fuzz-http` runs the long form: FRESHET_HTTP_CASES is how many cases there are at least.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import ANSWER_SECONDS, MakeService, Service
from tests.acceptance.streams import events

CASES = int(os.environ.get("FRESHET_HTTP_CASES", "900"))
LONG_FORM = CASES > 1_000
LONGEST_SECONDS = 3_600 if LONG_FORM else 300

TOKEN = "a-token-of-this-test-alone"  # noqa: S105 - lets nobody in

WITH_INPUT = 13
"""Operations that take any: only of these can there be as many cases as one likes."""

UNDESCRIBED = {405}
"""What any path answers to a method that it does not have; OpenAPI describes methods that there are."""


@pytest.fixture
def server(make_service: MakeService, tmp_path: Path) -> Service:
    """Return a server whose model was trained on features of every kind, and that has tokens."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"contract:admin:{TOKEN}\n")
    schema = {"boolean": ["c"], "categorical": ["d"], "vector": {"e": 2, "f": 1}, "nullable": ["b", "d", "f"]}
    # As many instances as come are to be explained: that there is a bound is no fault of theirs.
    serve = {"tokens_file": str(tokens), "explain": {"max_instances": 1_000}}
    service = make_service(schema=schema, serve=serve)
    rows = [
        {**row, "b": row["b"] if row["a"] < 1 else None, "c": row["a"] > 0, "d": "left" if row["b"] < 0 else None}
        | {"e": [row["a"], row["b"]], "f": [row["b"]] if row["a"] < 1 else None}
        for row in events(600)
    ]
    history = service.folder / "history.jsonl"
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    service.run("pretrain", str(history))
    service.start("serve")
    service.await_ready()
    return service


@pytest.mark.timeout(LONGEST_SECONDS + 120)
def test_every_answer_is_one_that_the_description_names(server: Service) -> None:
    """All checks of schemathesis hold, no answer is a 5xx, and none has a status that is not documented."""
    url = f"http://127.0.0.1:{server.server_port}"
    report = server.folder / "schemathesis.json"
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "run", f"{url}/openapi.json", "--checks", "all", "--max-examples", str(-(-CASES // WITH_INPUT))]
    command += ["--header", f"Authorization: Bearer {TOKEN}"]  # left away and spoilt by some checks
    command += ["--continue-on-failure", "--generation-database", "none", "--no-color", "--report", "json"]
    command += ["--report-json-path", str(report), "--request-timeout", "60"]
    command += ["--suppress-health-check", "too_slow"]  # that the machine is busy says nothing of the server
    if not LONG_FORM:
        command += ["--seed", "1"]  # a merge fails for its own faults alone; the long form looks for new ones
    done = subprocess.run(
        command, cwd=server.folder, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-4_000:]
    found = json.loads(report.read_bytes())
    answers = answered(httpx.get(f"{url}/metrics", timeout=ANSWER_SECONDS).text)
    figures = {"cases": found["test_cases"], "seconds": round(found["running_time"], 1), "seed": found["seed"]}
    sys.stdout.write(json.dumps({**figures, "answers": {f"{r} {s}": n for (r, s), n in answers.items()}}) + "\n")
    assert found["test_cases"]["generated"] >= CASES
    assert found["test_cases"]["errored"] == found["test_cases"]["with_failures"] == 0
    assert found["operations"]["tested"] == found["operations"]["total"] > WITH_INPUT
    paths = httpx.get(f"{url}/openapi.json", timeout=ANSWER_SECONDS).json()["paths"]
    for (route, status), count in answers.items():
        ways = paths.get(route, {}).values()
        described = {int(known) for way in ways for known in way["responses"]} | UNDESCRIBED
        assert status < 500, (route, status, count)
        assert not ways or status in described, (route, status, count)


def answered(metrics: str) -> dict[tuple[str, int], int]:
    """Return how many answers a server has given, by route and status."""
    samples = [
        sample
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "freshet_request_duration_seconds_count" and sample.value
    ]
    assert samples
    return {(sample.labels["route"], int(sample.labels["status"])): int(sample.value) for sample in samples}
