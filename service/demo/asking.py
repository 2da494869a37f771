"""What the demo's stream is for: somebody who asks what becomes of a loan, before its label is known."""

import http.client
import json
import threading
import urllib.request
from typing import Any

ASK_SECONDS = 0.05
AWAY_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class Asker:
    """Asks a server about the newest loan, twenty times a second, in a thread of its own, until it is closed.

    Every question is a connection of its own, so that several servers behind one name are all asked. One that is away,
    or has no model yet, is asked again a second later.
    """

    def __init__(self, url: str) -> None:
        self.answers = 0
        self._url = f"{url.rstrip('/')}/v1/predict"
        self._features: dict[str, Any] | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()

    def see(self, features: dict[str, Any]) -> None:
        """Take note of a loan that is about to be sent."""
        self._features = features

    def close(self) -> None:
        """Ask no more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(ASK_SECONDS):
            if self._features is None:
                continue
            body = json.dumps({"instances": [self._features]}).encode()
            request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
                    answer.read()
                self.answers += 1
            except (OSError, http.client.HTTPException):
                self._end.wait(AWAY_SECONDS)
