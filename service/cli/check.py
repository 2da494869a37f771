"""`freshet check`: what the configuration comes to, or what is wrong with it."""

from service.cli.options import AsJson, Config, Overrides, answer, show, tell
from service.configuration import load_settings
from service.configuration_text import as_tree, to_yaml


def check(*, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print the effective configuration, or say in one line what is wrong with it and exit 2."""
    settings = load_settings(config, overrides or ())
    tree = as_tree(settings)
    ready = bool(settings.schema_.names)
    if not ready:
        tell(
            "freshet: the configuration is valid, but names no features yet; run, train and serve need a schema "
            "(`freshet init FILE --label COLUMN` writes one)"
        )
    if as_json:
        answer({"valid": True, "has_schema": ready, "configuration": tree})
    else:
        show(to_yaml(tree))
