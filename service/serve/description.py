"""The page /docs, on which the routes can be read and tried: Swagger UI, served from here and never from elsewhere.

Its two files come with the package `fastapi-offline`; only they are used.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

OPENAPI_PATH = "/openapi.json"
PATH = "/docs"
SCRIPT_PATH = f"{PATH}/swagger-ui-bundle.js"
STYLE_PATH = f"{PATH}/swagger-ui.css"
STATUSES = dict.fromkeys((PATH, SCRIPT_PATH, STYLE_PATH, OPENAPI_PATH), (200,))

# Swagger UI asks a site of its makers whether the description is valid, unless validatorUrl is null.
_START = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
});
"""

# Addresses are relative, so that the page also works behind a proxy that puts a prefix before every path.
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Freshet: HTTP interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{STYLE_PATH[1:]}">
<style>body {{ margin: 0 }}</style>
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> says the same.</noscript>
<script src="{SCRIPT_PATH[1:]}"></script>
<script>{_START}</script>
</body>
</html>
"""

_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()

# Swagger UI writes style attributes, and has its icons as data; nothing else may come from outside its two files.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_START_HASH}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_PAGE_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
_FILE_HEADERS = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}


def add_description_routes(app: FastAPI) -> None:
    """Add the page and its two files; the description itself is FastAPI's, at OPENAPI_PATH."""

    async def page(_: Request) -> Response:
        return Response(_PAGE, headers=_PAGE_HEADERS, media_type="text/html")

    async def script(_: Request) -> Response:
        return FileResponse(_asset("swagger-ui-bundle.js"), headers=_FILE_HEADERS, media_type="text/javascript")

    async def style(_: Request) -> Response:
        return FileResponse(_asset("swagger-ui.css"), headers=_FILE_HEADERS, media_type="text/css")

    for path, endpoint in ((PATH, page), (SCRIPT_PATH, script), (STYLE_PATH, style)):
        app.add_route(path, endpoint, include_in_schema=False)


@cache
def _asset(name: str) -> Path:
    """Return where a file lies; looked for at the first visit, which most servers never get."""
    return Path(str(files("fastapi_offline") / "static" / name))
