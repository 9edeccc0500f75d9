"""The five promises about speed, each measured: a part takes a Bench and sizes, and returns lines of the table."""

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from redis import Redis
from rq import Queue
from speed.meter import cpu_seconds

from delivery.notifications import alarm, claims
from delivery.ops.cron import sweep
from sending import forked, outbox, processes
from sending.sinks import sink
from tests.servers.waiting import wait_until


@dataclass(frozen=True)
class Line:
    """One line of the table; `met` is None where nothing was promised."""

    what: str
    aim: str
    measured: str
    met: bool | None = None


@dataclass
class Bench:
    """Where a part runs: in the context of an app on `environ`'s database, with sinks that listen."""

    environ: dict
    folder: Path
    smtp: object
    workers: int = 2
    postgres: psutil.Process | None = None
    figures: dict = field(default_factory=dict)

    def log(self, name):
        return self.folder / f"{name}.log"

    def postgres_seconds(self):
        return cpu_seconds(self.postgres) if self.postgres else 0.0


def loads():
    return f"{os.getloadavg()[0]:.1f}"


def settled(states):
    return not states.keys() & {"pending", "sending"}


def all_sent(count):
    """Wait until the outbox says of so many that they were sent, and that nothing else is in it."""
    wait_until(lambda: settled(outbox.states()), what="all settled", seconds=60)
    if (states := outbox.states()) != {"sent": count}:
        raise RuntimeError(f"not all were sent: {states}")


@dataclass(frozen=True)
class Speed:
    """How fast a number of messages went, and the processor seconds for a thousand: sender, PostgreSQL, receiver."""

    per_second: float
    sender: float
    postgres: float
    receiver: float

    @property
    def cpu(self):
        return self.sender + self.postgres


def measured(bench, count, *, began, sender, before):
    """Make a Speed of what the sink took since."""
    came = bench.smtp.came()
    seconds = came[-1].at - began
    postgres, receiver = bench.postgres_seconds() - before[0], receiver_seconds(bench) - before[1]
    return Speed(count / seconds, *(1000 * each / count for each in (sender, postgres, receiver)))


def receiver_seconds(bench):
    return cpu_seconds(psutil.Process(bench.smtp.process.pid))


def mail(bench, *, rounds, mails, forked_mails):
    """Mail through the worker, beside bare smtplib and beside a fork a job, in turn."""
    outbox.clear()
    outbox.fill_mails(2)
    letter, content = outbox.sample()
    file = bench.folder / "mail.eml"
    file.write_bytes(content)
    samples = {"worker": [], "bare": [], "forked": []}
    with processes.workers(*["mail"] * bench.workers, environ=bench.environ, log=bench.log("mail")) as team:
        through_worker(bench, team, min(mails, 200))  # warms up
        for number in range(rounds):
            order = [
                lambda: samples["worker"].append(through_worker(bench, team, mails)),
                lambda: samples["bare"].append(by_bare(bench, file, mails)),
            ]
            for one in order if number % 2 == 0 else order[::-1]:
                one()
            samples["forked"].append(by_forks(bench, letter, forked_mails))
    bench.figures["mail"] = samples
    return mail_lines(samples, size=len(content))


def through_worker(bench, team, count):
    outbox.clear()
    outbox.fill_mails(count)
    bench.smtp.clear()
    before, sender = (bench.postgres_seconds(), receiver_seconds(bench)), team.cpu_seconds()
    began = time.time()
    alarm.wake("mail")
    bench.smtp.wait(count, seconds=600)
    all_sent(count)
    return measured(bench, count, began=began, sender=team.cpu_seconds() - sender, before=before)


def by_bare(bench, file, count):
    each, began = count // bench.workers, []
    bench.smtp.clear()
    before = (bench.postgres_seconds(), receiver_seconds(bench))
    sender = together(bench, ["sending.bare", str(each), str(file)], began)
    return measured(bench, each * bench.workers, began=began[0], sender=sender, before=before)


def by_forks(bench, letter, count):
    with Redis.from_url(bench.environ["REDIS_URL"]) as redis:
        queue, began = Queue(forked.QUEUE, connection=redis), []
        job = Queue.prepare_data(forked.send, (letter.address, letter.subject, letter.text, letter.html))
        queue.enqueue_many([job] * count)
    bench.smtp.clear()
    before = (bench.postgres_seconds(), receiver_seconds(bench))
    sender = together(bench, ["sending.forked", bench.environ["REDIS_URL"]], began)
    return measured(bench, count, began=began[0], sender=sender, before=before)


def together(bench, command, began):
    """Run as many of a command as there are workers; note when they began, and return their processor seconds."""
    return processes.run_together(
        [command] * bench.workers, environ=bench.smtp.settings(), then=lambda: began.append(time.time())
    )


def mail_lines(samples, *, size):
    pairs = {name: list(zip(samples["worker"], samples[name], strict=True)) for name in ("bare", "forked")}
    of_bare, of_forked = (
        statistics.median(worker.per_second / other.per_second for worker, other in pairs[name]) for name in pairs
    )
    yield Line(f"mail ({size:,} bytes), of bare smtplib", ">= 80 %", f"{of_bare:.0%}", of_bare >= 0.8)
    yield Line("mail, times a fork, message and connection a job", ">= 15", f"{of_forked:.1f}", of_forked >= 15)
    for name, speeds in samples.items():
        cpu = " + ".join(
            f"{statistics.median(getattr(one, part) for one in speeds):.2f} {part}"
            for part in ("sender", "postgres", "receiver")
        )
        rate = statistics.median(one.per_second for one in speeds)
        yield Line(f"{name}: mails/s", "", f"{rate:,.0f} ({cpu} CPU s/1k)")


def latency(bench, *, fresh, queued, pause_seconds=0.02):
    """From the commit of a message to its arrival: with nothing else to do, and while many wait."""
    with (
        processes.workers(*["mail"] * bench.workers, environ=bench.environ, log=bench.log("latency")),
        processes.flask("cron", environ=bench.environ, log=bench.log("cron")),
    ):
        outbox.clear()
        bench.smtp.clear()
        source = outbox.Fresh(beyond=queued // 2 + 1)
        yield latency_line("idle", 1.0, *delays(bench, source, count=fresh, pause_seconds=pause_seconds))
        outbox.clear()
        outbox.fill_mails(queued)
        bench.smtp.clear()
        alarm.wake("mail")
        bench.smtp.wait(queued // 100, seconds=60)
        found = delays(bench, source, count=fresh, pause_seconds=pause_seconds, while_more_than=queued)
        yield latency_line(f"while {queued:,} wait", 5.0, *found)
        wait_until(lambda: settled(outbox.states()), what="all settled", seconds=600)


def delays(bench, source, *, count, pause_seconds, while_more_than=0):
    """Commit messages one by one; return how long each took, and how many were still queued at the end."""
    committed, left = {}, 0
    for _ in range(count):
        identity = source.commit()
        committed[identity] = time.time()
        time.sleep(pause_seconds)
        if while_more_than:
            left = while_more_than + len(committed) - bench.smtp.count()
            if left <= len(committed):
                break
    wait_until(lambda: committed.keys() <= {one.id for one in bench.smtp.came()}, what="fresh mails", seconds=120)
    arrived = {one.id: one.at for one in reversed(bench.smtp.came())}
    return sorted(arrived[identity] - at for identity, at in committed.items()), left


def latency_line(what, aim, times, left):
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
    still = f", {left:,} still queued at the end" if left else ""
    text = f"{1000 * p99:.0f} ms (median {1000 * p50:.0f}, {len(times)} messages{still})"
    return Line(f"commit to SMTP, p99, {what}", f"< {aim:.0f} s", text, p99 < aim)


def http(bench, *, messages, endpoints, answer_seconds=0.05):
    """Webhooks to many endpoints, each answer a while in coming."""
    with sink("http", bench.folder, delay_seconds=answer_seconds) as receiver:
        outbox.clear()
        outbox.add_endpoints(endpoints, port=receiver.port)
        outbox.fill_webhooks(messages, endpoints=endpoints)
        log = bench.log("webhook")
        with processes.workers(*["webhook"] * bench.workers, environ=bench.environ, log=log) as team:
            before = team.cpu_seconds(), bench.postgres_seconds()
            began = time.time()
            alarm.wake("webhook")
            receiver.wait(messages, seconds=120)
            all_sent(messages)
            came = receiver.came()
            sender, postgres = team.cpu_seconds() - before[0], bench.postgres_seconds() - before[1]
    seconds, at_once = came[-1].at + answer_seconds - began, max(one.at_once for one in came)
    outbox.execute("TRUNCATE webhook_endpoints, outbox_messages, outbox_attempts CASCADE")
    cpu = f"{1000 * sender / messages:.2f} sender + {1000 * postgres / messages:.2f} postgres CPU s/1k"
    what = f"{messages:,} webhooks of {1000 * answer_seconds:.0f} ms, {endpoints} endpoints"
    yield Line(what, "< 20 s", f"{seconds:.1f} s ({cpu})", seconds < 20)
    yield Line("webhooks in hand at one endpoint", "<= 2", str(at_once), at_once <= 2)


def empty_sweep(_bench, *, settled_rows, runs):
    """A sweep that finds nothing, beside so many messages that are settled."""
    from ledger import fill, times_ms  # noqa: PLC0415  a script beside this package

    outbox.clear()
    fill(settled_rows)
    sweep()
    for what, work, promised in (("statement", claims.due_channels, True), ("with heartbeat and feed", sweep, False)):
        times = sorted(times_ms(work, rounds=runs))
        p50, p99 = statistics.median(times), times[min(runs - 1, runs * 99 // 100)]
        aim, met = ("< 1 ms", p50 < 1) if promised else ("", None)
        name = f"empty sweep, {what}, {settled_rows:,} settled"
        yield Line(name, aim, f"{p50:.2f} ms (p99 {p99:.2f})", met)
    outbox.clear()


def memory(bench, *, checkpoints, chunk):
    """A worker's memory over many messages; the outbox is emptied between."""
    sent, found = 0, []
    with processes.workers(*["mail"] * bench.workers, environ=bench.environ, log=bench.log("memory")) as team:
        through_worker(bench, team, min(checkpoints[0], 200))
        found.append((0, *team.memory_mib()))
        for checkpoint in checkpoints:
            while sent < checkpoint:
                some = min(chunk, checkpoint - sent)
                through_worker(bench, team, some)
                sent += some
            found.append((checkpoint, *team.memory_mib()))
    bench.figures["memory"] = found
    grown = found[-1][2] - found[1][2]
    text = "; ".join(f"{sent:,}: {pss:.1f}/{uss:.1f}" for sent, pss, uss in found)
    yield Line("memory of a worker after messages, PSS/USS MiB", "flat", text, grown < 2)
