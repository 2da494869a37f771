"""Print the alert rules of `config/prometheus/rules/` as a PrometheusRule, for the Prometheus Operator.

    python deploy/kubernetes/prometheus_rule.py | kubectl apply --namespace freshet --filename -

Kustomize cannot put one YAML file into another; a copy beside the manifests would sooner or later say something else.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "rules"
LABELS = {"app.kubernetes.io/name": "freshet", "app.kubernetes.io/part-of": "freshet"}


def prometheus_rule(folder: Path) -> dict[str, Any]:
    """Return the groups of all rule files in a folder as one resource; raises OSError, or YAMLError."""
    groups: list[Any] = []
    for path in sorted(folder.glob("*.yml")):
        groups += yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "freshet", "labels": LABELS},
        "spec": {"groups": groups},
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=RULES, help="where the rule files lie")
    yaml.safe_dump(prometheus_rule(parser.parse_args().folder), sys.stdout, sort_keys=False, width=120)


if __name__ == "__main__":
    main()
