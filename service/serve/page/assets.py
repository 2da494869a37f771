"""The page's files as they lie in the package: what they are, and how a browser may keep them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from starlette.responses import Response

INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

SOURCES = {
    "default-src": "'none'",
    **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
    **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
    "require-trusted-types-for": "'script'",  # what users named is text, and never becomes markup
}
POLICY = "; ".join(f"{directive} {source}" for directive, source in SOURCES.items())
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, but asked for: a new version of Freshet shows at once
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, its media type and its entity tag."""

    body: bytes
    media_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return all files of the page by name; read at the first visit, which most servers never get."""
    folder = files("service.serve.page") / "files"
    found = {}
    for entry in folder.iterdir():
        kind = TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            body = entry.read_bytes()
            found[entry.name] = Asset(body, kind, etag_of(body))
    return found


def etag_of(body: bytes) -> str:
    """Return the entity tag of some content."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Tell whether a client holds this content already (RFC 9110, If-None-Match, compared weakly)."""
    if if_none_match is None:
        return False
    held = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in held or "*" in held


def answer_of(asset: Asset, if_none_match: str | None, headers: Mapping[str, str] = HEADERS) -> Response:
    """Return a file, or word that the client's is the same."""
    sent = {**headers, "ETag": asset.etag}
    if matches(if_none_match, asset.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=sent)
    return Response(asset.body, headers={**sent, "Content-Type": asset.media_type})
