"""One request and its answer, as uvicorn goes about it, but that an answer in one piece is sent as one."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, which waits with an answer's head for the body: one system call, and one packet, for both."""

    _head: dict[str, Any] | None = None

    async def send(self, message: Any) -> None:  # noqa: ANN401 - a message of ASGI
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            self.response_started = True
            return
        head, self._head = self._head, None
        if head is None:
            await super().send(message)
        elif self.scope["method"] == "HEAD" or message.get("more_body") or not self._has_length(head, message):
            self.response_started = False
            await super().send(head)  # type: ignore[arg-type] # the message that was held back
            await super().send(message)
        else:
            await self._send_whole(head, message["body"])

    def _has_length(self, head: dict[str, Any], message: dict[str, Any]) -> bool:
        length = b"%d" % len(message.get("body", b""))
        return message["type"] == "http.response.body" and (b"content-length", length) in head["headers"]

    async def _send_whole(self, head: dict[str, Any], body: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.waiting_for_100_continue = False
        headers = [*self.default_headers, *head["headers"]]
        if any(name == b"connection" and b"close" in value.lower() for name, value in headers):
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join([name + b": " + value + b"\r\n" for name, value in headers])
        if lines.count(b"\n") != len(headers):
            raise RuntimeError("a header of the answer holds a line break")
        self.transport.write(STATUS_LINE[head["status"]] + lines + b"\r\n" + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
