"""`python -m service.health [trainer|server]`: whether the role in this container lives; the image's health check.

Without a role it asks every port that a role listens on, so an image need not be told which role it is. Where
containers share a network (the host's, or that of a pod) that would take the other one's answer for this one's: there
the role is named. It is asked every few seconds, beside whatever the role does: so it imports next to nothing, and
reads no configuration.
"""

import http.client
import os
import sys

PORTS = {"server": ("FRESHET_SERVE__PORT", 8000), "trainer": ("FRESHET_TRAINER__PORT", 8001)}
"""What sets the port of each role in a container's environment, and the default."""

PATIENCE_SECONDS = 3.0


def trouble(role: str | None = None) -> str | None:
    """Return why this container is not well in one line; None if the role, or each that listens, says that it lives.

    Raises KeyError if there is no such role.
    """
    asked = PORTS.values() if role is None else [PORTS[role]]
    ports = [int(os.environ.get(variable) or port) for variable, port in asked]
    answers = {port: answer for port in ports if (answer := _ask(port)) is not None}
    if not answers:
        return f"nothing listens on {' or '.join(map(str, ports))}"
    return next((f"{port}: {answer}" for port, answer in answers.items() if answer != "200"), None)


def _ask(port: int) -> str | None:
    """Return the status that /healthz answers with, or what went wrong; None if nothing listens there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return str(connection.getresponse().status)
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({error or type(error).__name__})"
    finally:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1:] not in ([], *([name] for name in PORTS)):
        sys.exit(f"usage: python -m service.health [{'|'.join(PORTS)}]")
    found = trouble(*sys.argv[1:])
    sys.stdout.write(f"{found or 'alive'}\n")
    sys.exit(found is not None)
