"""What docs/SERVING.md tells users to type: run against a real server, as it stands there."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.encoder import Encoder
from service.settings import Settings
from tests.unit.serve import builders
from tests.unit.serve.running import served

PAGE = Path(__file__).parents[2] / "docs" / "SERVING.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## From Python and from the command line\n")[2]
ADDRESS = "http://127.0.0.1:8000"
EXAMPLE_ID = "000042-3f9a1c2b"
TOKEN = "a-token-of-this-test-alone"  # noqa: S105 - lets nobody in


def blocks(kind: str) -> list[str]:
    """Return the section's blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", SECTION.partition("\n## ")[0], flags=re.MULTILINE | re.DOTALL)


COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", flags=re.MULTILINE)
COMMANDS = [command for block in blocks("console") for command in COMMAND.findall(block)]


def encoder_of(settings: Settings) -> Encoder:
    """Return an encoder for the features on the page."""
    return Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=settings.schema_.labels,
        categories={"country": ("NZ",)},
        means=np.array([100.0, 0.5]),
        scales=np.array([50.0, 0.5]),
        target_mean=0.0,
        target_scale=1.0,
    )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Run a server of the page's model, with a token; yield its address and its checkpoint's id."""
    monkeypatch.setattr(builders, "encoder_of", encoder_of)
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"docs:admin:{TOKEN}\n")
    values = builders.settings_in(tmp_path, tokens_file=str(tokens)).model_dump(mode="json", by_alias=True)
    features = {"numeric": ["amount"], "boolean": ["returning"], "categorical": ["country"]}
    settings = Settings.model_validate(values | {"schema": {**features, "labels": ["bad", "good"]}})
    checkpoint_id = builders.publish(settings)
    with served(settings) as client:
        yield str(client.base_url).rstrip("/"), checkpoint_id


def test_the_section_has_what_these_tests_run() -> None:
    """So that none of them passes for want of something to run."""
    assert len(COMMANDS) >= 10
    assert len(blocks("python")) == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_for_curl_work(server: tuple[str, str]) -> None:
    """Each is answered with a status below 300; only address, token and checkpoint are other ones here."""
    base, checkpoint_id = server
    answers: list[dict[str, Any]] = []
    for command in COMMANDS:
        assert command.startswith("curl -s ")
        line = command.replace(ADDRESS, base).replace(EXAMPLE_ID, checkpoint_id).replace("curl -s", "curl -sS --fail")
        environment = {"PATH": os.environ["PATH"], "TOKEN": TOKEN}
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        answers.append(json.loads(done.stdout))
    predicted, explained = (answer for answer in answers if "predictions" in answer)
    assert "explanation" in explained["predictions"][0]
    assert predicted["predictions"][0]["label"] in {"bad", "good"}
    assert predicted["checkpoint"]["id"] == checkpoint_id
    assert next(answer for answer in answers if "accepted" in answer) == {"accepted": 1, "rejected": []}
    assert [entry["event"] for entry in answers[-1]["operations"]] == ["unpinned", "pinned", "promoted"]


def test_the_lines_of_python_work(server: tuple[str, str]) -> None:
    """They print what they promise: labels, the checkpoint, and how many events were taken."""
    base, checkpoint_id = server
    printed: list[str] = []

    def note(*values: object) -> None:
        printed.append(" ".join(map(str, values)))

    for block in blocks("python"):
        assert ADDRESS in block
        names = {"__name__": "__main__", "print": note}
        exec(compile(block.replace(ADDRESS, base), str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert checkpoint_id in printed[0]
    assert printed[1].startswith("Explanation(")
    assert [line.endswith("+00:00") for line in printed[2:-2]] == [True] * 2_500
    assert printed[-2] == "1 []"
    assert printed[-1].count("'good'") + printed[-1].count("'bad'") == 20
