"""Waiting for a condition with a limit, so that nobody sleeps and hopes."""

import time


def wait_until(condition, *, what, seconds=10.0):
    """Ask until `condition()` is true and return its value; TimeoutError names `what` was awaited."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return value
