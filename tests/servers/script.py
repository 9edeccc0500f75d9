"""A fake's script: which faults come next, and how often."""

import threading


class Script:
    """Faults in order; each is taken a number of times, or for ever with times=None. Safe between threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._lines = []

    def add(self, fault, *, times=1, when=lambda _: True):
        """From now on `fault` happens to what `when` accepts, `times` times."""
        with self._lock:
            self._lines.append([fault, times, when])

    def take(self, subject=None):
        """The fault due for this subject, or None; spends one of its times."""
        with self._lock:
            for line in self._lines:
                fault, times, when = line
                if when(subject):
                    if times is not None:
                        line[1] = times - 1
                        if line[1] <= 0:
                            self._lines.remove(line)
                    return fault
        return None

    def clear(self):
        with self._lock:
            self._lines.clear()
