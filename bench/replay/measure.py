"""Turns measured seconds into percentiles, and watches the memory of the running system's processes."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import psutil

MEBIBYTE = 1024 * 1024
SAMPLE_SECONDS = 5.0


def latency(seconds: list[float]) -> dict[str, Any]:
    """Count, p50, p99 and the worst, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50_ms": _at(ordered, 0.50),
        "p99_ms": _at(ordered, 0.99),
        "max_ms": _at(ordered, 1.0),
    }


def _at(ordered: list[float], share: float) -> float | None:
    """Nearest rank: the smallest value that is not below the share of all."""
    if not ordered:
        return None
    return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 2)


class Memory:
    """The most that each process of one tree had resident (RSS) and as its proportional share (PSS), in MiB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[int, dict[str, Any]] = {}
        self.total_pss_mib = 0.0

    def sample(self) -> None:
        """Look at the process and all below it; one that ends meanwhile is left as it was."""
        try:
            root = psutil.Process(self._pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        total = sum(self._look(process) for process in processes)
        self.total_pss_mib = max(self.total_pss_mib, round(total, 1))

    def _look(self, process: psutil.Process) -> float:
        """Note one process's peaks; returns its PSS now, which unlike RSS may be summed."""
        try:
            used = process.memory_full_info()
            words = " ".join(process.cmdline()).split()
            name = " ".join(PurePath(word).name for word in words)[:60] or process.name()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return 0.0
        peak = self._peaks.setdefault(process.pid, {"pid": process.pid, "name": name, "rss_mib": 0.0, "pss_mib": 0.0})
        peak["name"] = name
        peak["rss_mib"] = max(peak["rss_mib"], round(used.rss / MEBIBYTE, 1))
        pss = float(used.pss) / MEBIBYTE
        peak["pss_mib"] = max(peak["pss_mib"], round(pss, 1))
        return pss

    def peaks(self) -> list[dict[str, Any]]:
        return sorted(self._peaks.values(), key=lambda peak: int(peak["pid"]))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample now, every few seconds, and at the end."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.sample()

    def _watch(self, over: threading.Event) -> None:
        self.sample()
        while not over.wait(SAMPLE_SECONDS):
            self.sample()
