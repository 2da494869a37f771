"""Structured logs on standard error: ours, and those of the libraries, in one format."""

import logging
import sys

import structlog
from structlog.typing import ExceptionRenderer, Processor

from service.settings import Log

QUIET_LOGGERS = ("kafka", "asyncio", "uvicorn", "httpx", "httpcore", "torch")
"""Libraries that are heard from warnings on: what they say at info, we say in one clear line."""


TRACEBACKS: dict[bool, ExceptionRenderer] = {
    False: structlog.dev.plain_traceback,
    True: structlog.dev.RichTracebackFormatter(show_locals=False),
}
"""Without the values of variables, which may be secrets, or somebody's events."""


def configure_logs(settings: Log) -> None:
    """Send all logs to standard error, as text on a terminal and as JSON lines elsewhere, unless the format is fixed.

    Can be called again, for instance by a child process.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    coloured = sys.stderr.isatty()
    readable = settings.format == "console" or (settings.format == "auto" and coloured)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
    ]
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=coloured, exception_formatter=TRACEBACKS[coloured])]
        if readable
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # It warns of each request that is no HTTP: whoever sends such could fill a disk.
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.ERROR))
