"""The page /docs: whole without any other server, and closed to whatever comes from elsewhere."""

import base64
import hashlib
import re
from urllib.parse import urljoin

from service.serve.description import PATH, SCRIPT_PATH, STYLE_PATH
from tests.unit.serve.running import Service


def policy_of(service: Service) -> dict[str, list[str]]:
    """Return the page's Content-Security-Policy: from each directive to its sources."""
    text = service.client.get(PATH).headers["content-security-policy"]
    return {name: sources for name, *sources in (directive.split() for directive in text.split("; "))}


def test_everything_on_the_page_comes_from_this_server(ready: Service) -> None:
    """Each address on the page, resolved as a browser would, is a route of ours that answers."""
    page = ready.client.get(PATH)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in page.text
    addresses = re.findall(r'(?:href|src|url)(?:=|: )"([^"]+)"', page.text)
    paths = {urljoin(PATH, address) for address in addresses if address != "data:,"}
    assert paths == {SCRIPT_PATH, STYLE_PATH, "/openapi.json"}
    for path in paths:
        assert ready.client.get(path).status_code == 200


def test_the_script_and_the_style_are_those_of_swagger_ui(ready: Service) -> None:
    """They have the types that a browser insists on, and define what the page calls."""
    script, style = ready.client.get(SCRIPT_PATH), ready.client.get(STYLE_PATH)
    assert script.headers["content-type"].startswith("text/javascript")
    assert style.headers["content-type"].startswith("text/css")
    assert "SwaggerUIBundle=" in script.text
    assert "html.dark-mode" in style.text
    assert not re.search(r"@import|url\(\s*[\"']?https?:", style.text)
    assert ready.client.get(f"{PATH}/redoc.standalone.js").status_code == 404


def test_the_policy_lets_in_nothing_from_elsewhere(ready: Service) -> None:
    """All sources are this server, data, or the one script on the page, which is named by its hash."""
    policy = policy_of(ready)
    assert policy["default-src"] == ["'none'"]
    for directive in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[directive] == ["'none'"]
    inline = re.findall(r"<script>(.*?)</script>", ready.client.get(PATH).text, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert policy["script-src"] == ["'self'", *(f"'sha256-{found}'" for found in hashes)]
    sources = {source for sources in policy.values() for source in sources}
    assert sources - set(policy["script-src"]) == {"'none'", "'unsafe-inline'", "data:"}
    assert "'unsafe-inline'" in policy["style-src"]
