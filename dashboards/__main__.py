"""Writes every dashboard as JSON to where Grafana's provisioning reads, or to the folder that is named."""

import sys
from pathlib import Path

from dashboards.every import EVERY
from dashboards.frame import as_text

FOLDER = Path(__file__).parents[1] / "config" / "grafana" / "dashboards"


def write(folder: Path) -> None:
    """Write one file a dashboard."""
    for name, make in EVERY.items():
        (folder / f"{name}.json").write_text(as_text(make()), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
