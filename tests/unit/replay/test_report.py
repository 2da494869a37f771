"""The report: one page with everything in it, safe against what a file may be called or hold."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from service.errors import UsageError
from service.replay.figures import figures
from service.replay.report import page, plotly_script, write_report
from tests.unit.replay.results import result_of


def data_of(text: str) -> Any:
    """Return the data that a page draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_says_all_without_its_script() -> None:
    """Headline, figures, advice and reasons are text; the curves are data."""
    text = page(result_of(wrong={"champion": 0.2, "frozen": 0.3}, decisions={("reject", "recent_worse"): 7}), "PLOTLY")
    for words in ("Fine-tuning bought 10.0 points", "80.0%", "recent_worse", "provably worse on held-out events"):
        assert words in text
    assert "<script>PLOTLY</script>" in text
    assert data_of(text)["events"] == 1_000
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_no_name_can_break_out_of_the_page() -> None:
    """A file, a feature and a label may hold any characters."""
    wild = "</script><script>alert(1)</script>"
    result = result_of(refusals={"unknown_label": 1}, schema={"numeric": [wild]})
    result.tally.drift.offer(1, {f"psi/{wild}": 1.0})
    text = page(result, "")
    assert "<script>alert" not in text
    assert wild in data_of(text)["drift"]["series"]


def test_curves_are_means_over_the_newest_events() -> None:
    """Each point is the mean error of the events up to it; there is no NaN."""
    drawn = figures(result_of(wrong={"champion": 0.5}))["scores"]
    assert drawn["at"][-1] == 1_000
    assert drawn["span"] == 200
    assert drawn["roles"]["champion"][:3] == [0.0, 0.0, 0.0]
    assert drawn["roles"]["champion"][-1] == 1.0
    middle = drawn["at"].index(600)
    assert drawn["roles"]["champion"][middle] == 0.5


def test_what_was_never_scored_is_no_point() -> None:
    """An empty stretch is a gap, a missing reading too, and a page of no events can be drawn."""
    result = result_of(events=0, rounds={"started": 0})
    result.tally.drift.offer(0, {"psi/x": float("nan")})
    told = json.loads(json.dumps(figures(result), allow_nan=False))
    assert told["scores"]["at"] == []
    assert told["drift"]["series"] == {}
    assert "No event could be scored" in page(result, "")


def test_without_plotly_there_is_no_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: whoever asks for a report is told so."""
    assert "Plotly" in (plotly_script() or "")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert plotly_script() is None


def test_a_folder_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    """The line names the file."""
    with pytest.raises(UsageError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "absent", result_of(), "")
