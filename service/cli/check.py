"""`freshet check`: what the configuration comes to, or what is wrong with it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from service.cli.options import AsJson, Config, Overrides, answer, show, tell
from service.configuration import load_settings
from service.configuration_text import as_tree, to_yaml
from service.errors import DeviceMissingError
from service.settings import Settings
from service.tracing.needs import require_tracing

SECURITY_FILES = ("ca_file", "certificate_file", "key_file", "password_file", "key_password_file")


def check(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print the effective configuration, or say in one line what is wrong with it and exit 2.

    Files that it names and that cannot be read, and a device that is not there, are warned of: they may be elsewhere,
    or come later.
    """
    settings = load_settings(config, overrides or ())
    tree = as_tree(settings)
    ready = bool(settings.schema_.names)
    if not ready:
        tell(
            "freshet: the configuration is valid, but names no features yet; run, train and serve need a schema "
            "(`freshet init FILE --label COLUMN` writes one)"
        )
    require_tracing(settings)
    for key, path in _files(settings):
        trouble = _trouble(path)
        if trouble is not None:
            tell(f"freshet: warning: {key}: {path} cannot be read now ({trouble})")
    if ready and settings.train.model.module is not None:
        _try_module(settings)
    if as_json:
        answer({"valid": True, "has_schema": ready, "configuration": tree})
    else:
        show(to_yaml(tree))


def _try_module(settings: Settings) -> None:
    """Make and try the user's own network; raises ConfigurationError for what is wrong with it."""
    from service.model.trial import require_module  # noqa: PLC0415 - slow to import, and seldom needed
    from service.train.device import require_device  # noqa: PLC0415 - likewise

    weights = settings.train.model.weights
    require_module(settings, weights=weights is not None and weights.exists())
    try:
        require_device(settings)
    except DeviceMissingError as error:
        tell(f"freshet: warning: {error}; the trainer may have it")


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the files of keys, certificates and secrets that are in use, by their settings."""
    security = settings.source.kafka.security
    for name in SECURITY_FILES if settings.source.kind == "kafka" else ():
        path = getattr(security, name)
        if path is not None:
            yield f"source.kafka.security.{name}", path
    if settings.serve.tokens_file is not None:
        yield "serve.tokens_file", settings.serve.tokens_file
    if settings.train.model.weights is not None:
        yield "train.model.weights", settings.train.model.weights


def _trouble(path: Path) -> str | None:
    """Return why a file cannot be read, None if it can."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # a pipe that nobody writes to must not hold us up
    except OSError as error:
        return error.strerror
    return os.strerror(errno.EISDIR) if path.is_dir() else None
