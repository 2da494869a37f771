"""What docs/SERVING.md says of the Open Inference Protocol: run as it stands there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.serve.inference import asking, model_of, settings_of

PAGE = Path(__file__).parents[2] / "docs" / "SERVING.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_in_the_documents_work(tmp_path: Path) -> None:
    """docs/SERVING.md: the lines for curl are answered, and the program for Triton's client runs."""
    section = PAGE.read_text(encoding="utf-8").partition("## Open Inference Protocol\n")[2].partition("\n## ")[0]
    (program,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    (console,) = re.findall(r"^```console\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    schema = {"numeric": ["amount"], "boolean": ["returning"], "categorical": ["country"]}
    settings = settings_of(tmp_path, schema, labels=("bad", "good"))
    with asking(settings, model_of(schema, labels=("bad", "good"))) as server:
        address = f"{server.base_url.host}:{server.base_url.port}"
        commands = console.replace("127.0.0.1:8000", address).removeprefix("$ ").split("\n$ ")
        said = [json.loads(run(["sh", "-c", command])) for command in commands]
        printed = run([sys.executable, "-c", program.replace("127.0.0.1:8000", address)])
    assert said[0]["name"] == "freshet"
    assert said[1]["outputs"][0]["shape"] == [2]
    assert "AU" in said[1]["parameters"]["warnings"]
    assert said[1]["model_version"] in printed


def run(command: list[str]) -> str:
    """Return what a command prints, having checked that it succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
