"""How a client is set up, what it needs to be imported, and what it never shows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import service
from service.client import AsyncClient, Client

TOKEN = "a-token-of-this-test-alone"  # noqa: S105 - lets nobody in

IMPORTED = """
import sys, service.client
print(*(name for name in sys.modules if name.partition(".")[0] in sys.argv[1:] or name.startswith("service.")))
"""
WITHOUT_HTTPX = """
import sys
sys.modules["httpx"] = None
try:
    import service.client
except ModuleNotFoundError as error:
    print(error.name, error, error.__cause__, error.__suppress_context__, sep="|")
"""


def told(program: str, *arguments: str) -> str:
    """Return what a program prints."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_is_imported_without_the_service() -> None:
    """A program that only asks does not load torch, nor any other part of Freshet."""
    names = told(IMPORTED, "torch", "kafka", "numpy", "pydantic", "fastapi", "uvicorn", "structlog").split()
    assert "service.client" in names
    assert not [name for name in names if name.partition(".")[0] != "service" or not name.startswith("service.client")]


def test_type_checkers_of_users_see_its_types() -> None:
    """Only with the marker of PEP 561 beside the package do they look at its annotations."""
    assert (Path(service.__file__).parent / "py.typed").is_file()


def test_without_httpx_one_line_says_what_to_install() -> None:
    """In place of a trace through our modules."""
    name, words, cause, suppressed = told(WITHOUT_HTTPX).strip().split("|")
    assert (name, cause, suppressed) == ("httpx", "None", "True")
    assert "pip install httpx" in words


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_its_text_has_no_token(kind: type[Client | AsyncClient]) -> None:
    """Nor have its options, which a debugger or a crash reporter shows."""
    client = kind("http://127.0.0.1:1/prefix", token=TOKEN)
    assert repr(client) == f"{kind.__name__}('http://127.0.0.1:1/prefix')"
    assert TOKEN not in repr(client) + repr(client._options) + str(vars(client))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"base_url": "127.0.0.1:8000"}, "base_url"),
        ({"base_url": "ftp://host"}, "form http://host:port"),
        ({"base_url": "http://"}, "form http://host:port"),
        ({"base_url": "http://host/?a=b"}, "form http://host:port"),
        ({"base_url": "http://host:port"}, "no URL"),
        ({"base_url": f"http://me:{TOKEN}@host"}, "give token="),
        ({"token": f"{TOKEN} {TOKEN}"}, "not shown"),
        ({"token": f"{TOKEN}\nX-Other: 1"}, "not shown"),
        ({"token": ""}, "not shown"),
        ({"token": "ü"}, "not shown"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"max_connections": 0}, "max_connections"),
    ],
)
def test_what_cannot_work_is_refused_at_once(chosen: dict[str, Any], words: str) -> None:
    """And no secret is in the message."""
    with pytest.raises(ValueError, match=words) as caught:
        Client(**chosen)
    assert TOKEN not in str(caught.value)


def test_a_token_read_from_a_file_may_end_its_line() -> None:
    """As editors leave it."""
    assert Client(token=f"{TOKEN}\n")._http.headers["authorization"] == f"Bearer {TOKEN}"
