"""From the rounds to one table: medians, and how many times the floor each is."""

from statistics import median

AIMS = {"login": 1.3}  # of the floor's processor time
AIM = 2.5
WORKER_AIM_MIB = 90
HEAD = ("request", "server", "req/s", "p50 ms", "p99 ms", "CPU s/1k", "of it PG", "CPU ratio", "aim", "not 2xx")


def summary(samples):
    """Return the medians of one server's rounds of one request."""
    loads = [sample["load"] for sample in samples]
    thousands = [load.requests / 1000 for load in loads]
    server = median(sample["server"] / count for sample, count in zip(samples, thousands, strict=True))
    postgres = median(sample["postgres"] / count for sample, count in zip(samples, thousands, strict=True))
    return {
        "requests_per_second": median(load.requests / load.seconds for load in loads),
        "p50_ms": median(load.p50 for load in loads) * 1000,
        "p99_ms": median(load.p99 for load in loads) * 1000,
        "cpu_server": server,
        "cpu_postgres": postgres,
        "cpu": median(
            (sample["server"] + sample["postgres"]) / count for sample, count in zip(samples, thousands, strict=True)
        ),
        "not_2xx": sum(load.not_2xx + load.broken for load in loads),
    }


def compare(kinds, samples):
    """Return {kind: {server: summary, "ratio": of the processor time, "ratios": round by round, "aim": ...}}."""
    compared = {}
    for kind in kinds:
        both = {server: summary(samples[kind, server]) for server in ("delivery", "floor")}
        ratios = [
            _total(ours) / _total(floor)
            for ours, floor in zip(samples[kind, "delivery"], samples[kind, "floor"], strict=True)
        ]
        compared[kind] = {**both, "ratio": median(ratios), "ratios": ratios, "aim": AIMS.get(kind, AIM)}
    return compared


def _total(sample):
    return (sample["server"] + sample["postgres"]) / sample["load"].requests


def table(compared):
    """Return the table as lines of Markdown."""
    lines = [_line(HEAD), _line("---" for _ in HEAD)]
    for kind, result in compared.items():
        for server in ("delivery", "floor"):
            ours = server == "delivery"
            one = result[server]
            cells = (
                *(kind, server, f"{one['requests_per_second']:,.0f}", f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}"),
                *(f"{one['cpu']:.2f}", f"{one['cpu_postgres']:.2f}"),
                *(f"{result['ratio']:.2f}" if ours else "1", f"{result['aim']}" if ours else "", str(one["not_2xx"])),
            )
            lines.append(_line(cells))
    return lines


def _line(cells):
    return f"| {' | '.join(cells)} |"
