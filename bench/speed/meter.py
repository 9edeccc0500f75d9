"""Reading processor time and memory of whole families of processes."""

import psutil


def cpu_seconds(root):
    """Return the user and system time that a process and its descendants, also those who are gone, have used."""
    own = root.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in root.children(recursive=True):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def postmaster(folder):
    """Return PostgreSQL's first process, whose descendants are all others."""
    return psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))


def worker_pss_mib(root):
    """Return the largest proportional share of memory among a server's workers, in MiB."""
    return max(worker.memory_full_info().pss for worker in root.children()) / 2**20
