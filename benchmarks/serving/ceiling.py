"""What the load generator can do: its rate against a server that does next to nothing. Prints requests a second.

The server answers any bytes that arrive with the same prepared answer, without looking at them; the rate is the lower
of the two, so the generator can do at least as much. Server on the first core, generator on the second.
"""

import argparse
import multiprocessing
import select
import socket
import statistics

from load import Load, Requests
from made import requests_of, some_instances
from servers import on_core

BODY = b'{"predictions":[{"label":"a","scores":{"a":0.5123456789012345,"b":0.4876543210987655}}]}'


def answer_all(listener: socket.socket) -> None:
    """Answer whatever arrives."""
    on_core(0)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%s" % (len(BODY), BODY)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    buffer = bytearray(65_536)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            elif clients[number].recv_into(buffer):
                clients[number].send(answer)
            else:
                clients.pop(number).close()


def ceiling(seconds: float, repeats: int) -> tuple[float, float]:
    """Return the median rate, and how busy the generator's core was."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=answer_all, args=(listener,), daemon=True)
    server.start()
    on_core(1)
    load = Load(listener.getsockname()[1], Requests(requests_of(some_instances(256), 1), 1, 1_000))
    outcomes = [load.run(seconds=seconds) for _ in range(repeats)]
    load.close()
    server.terminate()
    server.join()
    assert not any(outcome.failures for outcome in outcomes)
    return tuple(statistics.median(values) for values in zip(*((one.rate, one.busy) for one in outcomes), strict=True))


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rate, busy = ceiling(options.seconds, options.repeats)
    print(f"{rate:,.0f} requests/s, generator's core {busy:.0%} busy")


if __name__ == "__main__":
    main()
