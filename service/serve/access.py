"""Who is let in: roles by bearer tokens, and what is open to this machine alone."""

import ipaddress
from collections.abc import Callable
from http import HTTPStatus

from fastapi import Request

from service.serve.problems import ProblemError
from service.serve.tokens import Holder, Role, Tokens

SCHEME = "bearer"
"""The name of the security scheme in OpenAPI."""

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that a proxy adds: with one of them a client on loopback speaks for somebody else."""


def require_role(role: Role) -> Callable[[Request], Holder]:
    """Return a FastAPI dependency that lets holders of a role pass, and returns who it is.

    It raises ProblemError: 403 where no tokens are configured, 401 without a token or with a wrong one, 403 where the
    token's role is another.
    """

    def authorised(request: Request) -> Holder:
        return authorise(request, role)

    return authorised


def authorise(request: Request, role: Role, why: str = "") -> Holder:
    """Return who sent the request, if they have the role; raises as ``require_role`` says.

    ``why`` begins what is said to those who are not let in: the reason why a token is needed.
    """
    tokens: Tokens = request.app.state.tokens
    needed = f"{why}this needs a token of role {role}"
    if not tokens.configured:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"{needed}, and no serve.tokens_file is configured")
    sent = request.headers.getlist("authorization")
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    holder = tokens.holder(token.strip().encode("latin-1")) if scheme.lower() == SCHEME else None
    if holder is None:
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            f"{needed}: send Authorization: Bearer and a token that is known here",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not holder.may(role):
        raise ProblemError(HTTPStatus.FORBIDDEN, f"{needed}; yours has role {holder.role}")
    return holder


def admit_local_or(request: Request, role: Role, *, bound_to: str) -> None:
    """Let a client on this machine pass that meant to speak to this machine, else want a role.

    ``bound_to`` is the address the server listens on; where others can reach it, this machine needs the role as well:
    what forwards to it there may look local. Raises ProblemError as ``require_role`` says.
    """
    remote = _remoteness(request, bound_to)
    if remote is not None:
        authorise(request, role, f"{remote}; otherwise ")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _remoteness(request: Request, bound_to: str) -> str | None:
    """Return why a request does not count as this machine's own, None if it does."""
    client = request.client.host if request.client else ""
    if not is_loopback(bound_to):
        return f"this is open where the server listens on loopback only, but it listens on {bound_to}"
    if not is_loopback(client) or any(name in request.headers for name in FORWARDED):
        return "this is open to this machine only"
    if not is_loopback(_host_named(request)):
        # A web page can make a browser come here under a name of its own (DNS rebinding).
        return "this is open under the name localhost or a loopback address only"
    return None


def _host_named(request: Request) -> str:
    header = request.headers.get("host", "")
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
