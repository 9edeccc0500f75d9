"""Starting calls at the same moment, each in its own thread with its own connections."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

PATIENCE_SECONDS = 30


def race(*calls):
    """Run calls at once; returns what they return, in their order, and raises what they raise."""
    start = Barrier(len(calls))

    def run(call):
        start.wait(PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(PATIENCE_SECONDS) for future in [threads.submit(run, call) for call in calls]]
