"""PromQL as the dashboards need it: right under counter resets, over several servers, and before anything happened.

Every expression is limited to the instances chosen in the dashboard. A counter is first made a rate, then summed: the
other way round a restart of one process would look like a fall of all. Gauges of trainers are taken at their largest,
since a standby's are NaN or 0, and NaN loses against any number.
"""

from dataclasses import dataclass

HERE = 'instance=~"$instance"'
PROBES = 'route!~"/metrics|/healthz|/readyz"'
"""What monitoring asks itself, told apart from what users ask."""


@dataclass(frozen=True)
class Query:
    """One expression of a panel and how its series are called, with ``{{label}}`` for a label.

    ``instant``: the value now, without history.
    """

    expr: str
    legend: str
    instant: bool = False


def at(metric: str, *matchers: str) -> str:
    """Return the selector of a metric at the chosen instances."""
    return f"{metric}{{{','.join((HERE, *matchers))}}}"


def rate(counter: str, *matchers: str, by: str = "") -> str:
    """Return how much a counter rises a second, summed over processes, ``by`` labels."""
    return f"{_grouped('sum', by)} (rate({at(counter, *matchers)}[$__rate_interval]))"


def total(counter: str, *matchers: str, by: str = "") -> str:
    """Return how much a counter has risen over the time that is shown, summed over processes."""
    return f"{_grouped('sum', by)} (increase({at(counter, *matchers)}[$__range]))"


def largest(gauge: str, *matchers: str, by: str = "") -> str:
    """Return a gauge's largest value, NaN only where all are."""
    return f"{_grouped('max', by)} ({at(gauge, *matchers)})"


def summed(gauge: str, *matchers: str, by: str = "") -> str:
    """Return a gauge summed over processes and partitions."""
    return f"{_grouped('sum', by)} ({at(gauge, *matchers)})"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of what a histogram has seen lately over all processes; NaN where it has seen nothing."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *matchers, by=f'le, {by}' if by else 'le')})"


def mean(histogram: str, *matchers: str, by: str = "") -> str:
    """Return the mean of what a histogram has seen lately over all processes; NaN where it has seen nothing."""
    return f"{rate(f'{histogram}_sum', *matchers, by=by)} / {rate(f'{histogram}_count', *matchers, by=by)}"


def ever(counter: str, *matchers: str, label: str, none: str, by: str = "", scale: str = "") -> str:
    """Return a counter's rate by those values of a label that ever counted; one line at 0, named ``none``, before.

    Labels have all their values from the start: dozens of lines at 0 would hide the two that are not. ``by`` are more
    labels, separated by commas; ``scale`` a factor as in ``"60 * "``.
    """
    by = f"{label}, {by}" if by else label
    counted = f"{_grouped('sum', by)} ({at(counter, *matchers)}) > 0"
    return f"{scale}{rate(counter, *matchers, by=by)} and {counted} or on () {named(label, none, 'vector(0)')}"


def named(label: str, value: str, vector: str) -> str:
    """Return a vector with a label of one value."""
    return f'label_replace({vector}, "{label}", "{value}", "", "")'


def of(processes: str, expr: str) -> str:
    """Return those of an expression's series whose process exports the metric ``processes``: a role's alone."""
    return f"{expr} and on (job, instance) {at(processes)}"


def unless_absent(expr: str, label: str, none: str) -> str:
    """Return an expression's series, or one without a value, named ``none``, where there are none at all."""
    return f"{expr} or on () {named(label, none, 'vector(NaN)')}"


def _grouped(how: str, by: str) -> str:
    return f"{how} by ({by})" if by else how
