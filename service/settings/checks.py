"""Checks of settings that a type and bounds cannot express, and the error for keys that do not go together."""

import os
import re

from pydantic_core import PydanticCustomError

HIGHEST_PORT = 65_535
CLASH = "clash"
"""The type of a ``clash``."""
SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:/@\[\]]+):([0-9]{1,5})")


def clash(message: str, *keys: str) -> PydanticCustomError:
    """Return an error about keys that do not go together; its context has both, so that their origins can be named."""
    return PydanticCustomError(CLASH, "{message}", {"message": message, "keys": keys})


def possible_topic(name: str) -> str:
    """Return the name; raises ValueError for the two that Kafka refuses although their characters are allowed."""
    if name in (".", ".."):
        message = f"{name!r} is no name for a topic; Kafka refuses it"
        raise ValueError(message)
    return name


def reachable_servers(text: str) -> str:
    """Return the text; raises ValueError unless it is ``host:port``, several joined by commas."""
    for server in text.split(","):
        found = SERVER.fullmatch(server.strip())
        if not found or not 1 <= int(found[1]) <= HIGHEST_PORT:
            message = f"{server.strip()!r} is not host:port (an IPv6 address in brackets, as in [::1]:9092)"
            raise ValueError(message)
    return text


def plain_path(path: os.PathLike[str]) -> str:
    """Return the path in the one form in which two spellings of a place are the same."""
    return os.path.abspath(path)  # noqa: PTH100 - decisions import the settings, and must not see pathlib
