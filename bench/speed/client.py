"""A small load generator where there is no wrk: `client.py REQUESTS PORT SECONDS CONNECTIONS`, answered as by wrk.lua.

Its processor time is nobody's; but it competes with the server for the processors, so requests a second come out lower.
"""

import socket
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from pathlib import Path

PROCESSES = 2


class Connection:
    """One kept connection that sends requests one after another."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def ask(self, request):
        """Send a request, read the whole answer, return its status."""
        self.socket.sendall(request)
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.file.read(length)
        return status


def keep_asking(port, requests, end, answers):
    connection = Connection(port)
    for request in requests:
        began = time.monotonic()
        if began >= end:
            break
        try:
            status = connection.ask(request)
        except (OSError, IndexError):  # the server hung up
            status = 0
        answers.append((status, time.monotonic() - began))
        if not status:
            break
    connection.socket.close()


def work(path, port, seconds, connections):
    """Ask over so many connections, a thread each; return (status, seconds) of every answer."""
    with Path(path).open("rb") as file:
        requests = list(iter(lambda: file.read(int(file.readline() or 0)), b""))
    answers, end = [], time.monotonic() + seconds
    threads = [
        threading.Thread(target=keep_asking, args=(port, in_turn(requests, offset=number * 97), end, answers))
        for number in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def in_turn(requests, *, offset):
    while True:
        yield from islice(requests, offset % len(requests), None)
        offset = 0


def main():
    path, port, seconds, connections = sys.argv[1], *map(int, sys.argv[2:])
    began = time.monotonic()
    with ProcessPoolExecutor(PROCESSES) as pool:
        share = max(1, connections // PROCESSES)
        runs = [pool.submit(work, path, port, seconds, share) for _ in range(PROCESSES)]
        answers = list(chain.from_iterable(run.result() for run in runs))
    duration = time.monotonic() - began
    times = sorted(time for _, time in answers)
    p50, p99 = (times[int(len(times) * part)] for part in (0.5, 0.99))
    wrong = sum(not 200 <= status < 300 for status, _ in answers)
    print("RESULT", len(answers), *(round(1e6 * value) for value in (duration, p50, p99)), wrong, 0)


if __name__ == "__main__":
    main()
